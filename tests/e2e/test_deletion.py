"""Sinks that are deleted under load: their records come first, then whatever the policy says of the volumes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.rig.clustersinks import HOUR, PATIENCE
from tests.rig.kubeapi import NAMESPACES, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.ledger import Verdict
    from tests.rig.anycluster import AnyCluster
    from tests.rig.clustersinks import ClusterSink
    from tests.rig.release import Release
    from tests.rig.s3pod import S3Pod

    Record = Callable[[str, ClusterSink, Verdict], None]

POLICIES = ("DrainThenDelete", "DrainThenRetain", "Retain", "DiscardData")


def test_what_becomes_of_the_volumes(sink: ClusterSink, record: Record) -> None:
    """The four policies at once, a sink each. ``DiscardData`` promises nothing of what isn't in the bucket yet."""
    sinks = {policy: sink.another(policy.lower()) for policy in POLICIES}
    for policy, one in sinks.items():
        one.apply(buffer={"whenDeleted": policy}, **HOUR)
    for one in sinks.values():
        one.wait_ready(1)
    with ExitStack() as stack:
        for one in sinks.values():
            stack.enter_context(one.load(senders=1))
        for one in sinks.values():
            one.delete()
        for one in sinks.values():
            one.wait_gone()
    left = {policy: len(one.claims()) for policy, one in sinks.items()}
    assert left == {"DrainThenDelete": 0, "DrainThenRetain": 1, "Retain": 1, "DiscardData": 0}
    for policy in ("DrainThenDelete", "DrainThenRetain"):
        record(f"deleted, {policy}", sinks[policy], sinks[policy].verdict())
    record("deleted, DiscardData (by design)", sinks["DiscardData"], sinks["DiscardData"].judge())
    revived(sinks["Retain"])
    record("deleted, Retain, then applied again", sinks["Retain"], sinks["Retain"].verdict())


def test_deleted_in_the_foreground_while_s3_is_away(sink: ClusterSink, s3: S3Pod, record: Record) -> None:
    """The garbage collector ends the pods at once; what they can't upload is on volumes that Jobs empty."""
    sink.apply(replicas=2, **HOUR)
    sink.wait_ready(2)
    with sink.load():
        s3.away()
        sink.delete("--cascade=foreground")
        sink.wait(lambda: not sink.pods(), "end of the pods")
        assert len(sink.claims()) == 2
    s3.back()
    sink.wait_gone()
    sink.wait(lambda: not sink.claims(), "end of the claims")
    record("--cascade=foreground, S3 away", sink, sink.verdict())


def test_released_by_force(sink: ClusterSink, s3: S3Pod, record: Record) -> None:
    """While S3 is away a deletion waits; whoever can't wait keeps the volumes."""
    sink.apply(replicas=2, **HOUR)
    sink.wait_ready(2)
    with sink.load():
        s3.away()
        sink.delete()
        sink.wait_condition("Draining", "True", "Blocked")
        sink.annotate(force_release="true")
        sink.wait_gone()
    assert len(sink.claims()) == 2
    s3.back()
    revived(sink, replicas=2)
    record("force-release, S3 away, then applied again", sink, sink.verdict())


def test_the_operator_is_killed_while_it_deletes(sink: ClusterSink, release: Release, record: Record) -> None:
    sink.apply(replicas=3, **HOUR)
    sink.wait_ready(3)
    with sink.load():
        sink.delete()
        for _ in range(3):
            release.kill()
            release.delete_pod()
            release.back()
    sink.wait_gone()
    sink.wait(lambda: not sink.claims(), "end of the claims")
    record("deleted, operator killed 3 times", sink, sink.verdict())


def test_a_namespace_that_ends(cluster: AnyCluster, sink: ClusterSink, record: Record) -> None:
    """Nothing can be made in it any more: pods upload what they can as they end."""
    sink.apply(replicas=2, **HOUR)
    sink.wait_ready(2)
    with sink.load():
        cluster.api.delete(NAMESPACES, "", sink.namespace)
        wait_for(
            lambda: cluster.api.get(NAMESPACES, "", sink.namespace) is None,
            "end of the namespace",
            PATIENCE,
            why=sink.describe,
        )
    record("namespace deleted", sink, sink.verdict())


def revived(sink: ClusterSink, replicas: int = 1) -> None:
    """A new sink of the name takes over the volumes that were kept, and uploads what is on them."""
    sink.apply(replicas=replicas, **HOUR)
    sink.wait_ready(replicas)
    sink.scale(0)
    sink.wait_ready(0)
