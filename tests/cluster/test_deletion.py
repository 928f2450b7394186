"""A sink that is deleted: its records come first, then whatever its policy says of the volumes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig.kubeapi import CONFIG_MAPS, NAMESPACES, SERVICES, STATEFUL_SETS, wait_for

if TYPE_CHECKING:
    from tests.rig.controlplane import ControlPlane
    from tests.rig.flaky_proxy import FlakyProxy
    from tests.rig.operators import Operator
    from tests.rig.sinks import LiveSink

HOUR = {"batch": {"window": "1h"}}


def uids(things: dict[str, Any]) -> set[str]:
    return {one["metadata"]["uid"] for one in things.values()}


def has_no_children(sink: LiveSink) -> bool:
    return not any(sink.owned(kind) for kind in (STATEFUL_SETS, SERVICES, CONFIG_MAPS))


def test_what_becomes_of_the_volumes(operator: Operator, sink: LiveSink) -> None:
    """The four policies at once, a sink each."""
    sinks = {
        policy: sink.another(policy.lower())
        for policy in ("DrainThenDelete", "DrainThenRetain", "Retain", "DiscardData")
    }
    for policy, one in sinks.items():
        one.apply(buffer={"whenDeleted": policy}, **HOUR)
    for one in sinks.values():
        one.wait_ready(1)
        one.send(5)
    claims = {policy: one.claims() for policy, one in sinks.items()}
    for one in sinks.values():
        one.delete()
    for one in sinks.values():
        one.wait_gone()
        one.wait(partial(has_no_children, one), "end of the children")

    kept = {policy for policy, one in sinks.items() if one.claims()}
    assert kept == {"DrainThenRetain", "Retain"}
    for policy in ("DrainThenDelete", "DrainThenRetain"):
        assert sinks[policy].verdict().acked == 25
    proof = next(iter(sinks["DrainThenRetain"].claims().values()))["metadata"]["annotations"]
    assert "s3sink.dev/drained" in proof

    # A new sink of that name finds the records that were kept, and uploads them.
    retained = sinks["Retain"]
    assert uids(retained.claims()) == uids(claims["Retain"])
    retained.apply(**HOUR)
    retained.wait_ready(1)
    retained.send(5)
    retained.scale(0)
    retained.wait_ready(0)
    assert retained.verdict().acked == 50


@pytest.mark.parametrize("way_out", ["retain", "force-release", "S3 comes back"])
def test_a_deletion_waits_for_s3_and_says_so(
    operator: Operator, sink: LiveSink, proxied: FlakyProxy, way_out: str
) -> None:
    # Pods try to upload for as long as they may when they are told to end.
    sink.apply(podTemplate={"terminationGracePeriodSeconds": 6}, **HOUR)
    sink.wait_ready(1)
    sink.send(5)
    claims = uids(sink.claims())
    proxied.stop()
    sink.delete()
    told = sink.wait_condition("Draining", "True", "Blocked")
    assert "whenDeleted" in told["message"]
    assert "force-release" in told["message"]
    assert "Deleting" in sink.kubectl("get", "s3sink", sink.name)
    sink.wait(lambda: sink.ready_pods() == [], "pod that takes no records any more")
    assert len(sink.pods()) == 1
    if way_out == "retain":
        sink.patch({"buffer": {"whenDeleted": "Retain"}})
    elif way_out == "force-release":
        sink.annotate(force_release="true")
    else:
        proxied.start()
    sink.wait_gone(timeout=90.0)
    if way_out == "S3 comes back":
        assert not sink.claims()
    else:
        assert uids(sink.claims()) == claims
        proxied.start()
        sink.apply(**HOUR)
        sink.wait_ready(1)
        sink.scale(0)
        sink.wait_ready(0)
    sink.verdict()


def test_orphaned_children_are_adopted_by_the_same_sink(operator: Operator, sink: LiveSink) -> None:
    sink.apply(**HOUR)
    sink.wait_ready(1)
    sink.send(5)
    before = uids(sink.pods()), uids(sink.claims())
    sink.delete("--cascade=orphan")
    sink.wait(lambda: sink.get() is None, "end of the sink alone")
    assert (uids(sink.pods()), uids(sink.claims())) == before
    orphan = sink.child(STATEFUL_SETS)
    assert orphan is not None
    assert not orphan["metadata"].get("ownerReferences")

    sink.apply(**HOUR)
    sink.wait_ready(1)
    assert (uids(sink.pods()), uids(sink.claims())) == before, "no pod was restarted for it"
    for kind in (STATEFUL_SETS, SERVICES, CONFIG_MAPS):
        for child in sink.owned(kind):
            (owner,) = child["metadata"]["ownerReferences"]
            assert owner["uid"] == sink.now["metadata"]["uid"]
    sink.delete()
    sink.wait_gone()
    sink.verdict()


def test_deleted_in_the_foreground_jobs_empty_the_volumes(operator: Operator, sink: LiveSink) -> None:
    """The garbage collector ends the pods at once; what they could not upload is uploaded all the same."""
    sink.apply(replicas=2, **HOUR)
    sink.wait_ready(2)
    sink.send(10)
    for name in sink.pods():
        sink.kubelet.pod(sink.namespace, name).crash()
    sink.delete("--cascade=foreground")
    sink.wait_gone(timeout=120.0)
    sink.wait(lambda: not sink.claims(), "end of the claims")
    sink.verdict()


def test_a_drain_job_that_cant_upload_says_so(
    operator: Operator, sink: LiveSink, proxied: FlakyProxy
) -> None:
    """Nobody but the Job's pod is left to ask; the deletion goes on by itself when S3 is back."""
    sink.apply(podTemplate={"terminationGracePeriodSeconds": 6}, **HOUR)
    sink.wait_ready(1)
    sink.send(5)
    proxied.stop()
    sink.kubelet.pod(sink.namespace, "events-s3sink-0").crash()
    sink.delete("--cascade=foreground")

    def word_of_the_job() -> Any:
        """The pod says the same until it has ended."""
        found = sink.condition("Draining")
        told = "the Job drain-events-s3sink-0 can't upload: " in found.get("message", "")
        return found if told else None

    told = sink.wait(word_of_the_job, "word of the drain Job")
    assert told["reason"] == "Blocked"
    assert "force-release" in told["message"]
    assert sink.wait_condition("DestinationReachable", "False")["message"].startswith(
        "drain-events-s3sink-0-"
    )
    assert sink.now["status"]["buffer"]["bytes"] > 0
    proxied.start()
    sink.wait_gone(timeout=120.0)
    assert not sink.claims()
    sink.verdict()


def test_a_namespace_that_ends_takes_its_sinks_with_it(
    operator: Operator, control_plane: ControlPlane, sink: LiveSink
) -> None:
    """Nothing can be made in it any more; pods upload what they can as they end."""
    sink.apply(**HOUR)
    sink.wait_ready(1)
    sink.send(5)
    control_plane.api.delete(NAMESPACES, "", sink.namespace)
    wait_for(
        lambda: control_plane.api.get(NAMESPACES, "", sink.namespace) is None,
        "end of the namespace",
        why=sink.describe,
    )
    sink.verdict()


def test_a_name_that_is_taken_is_left_alone(operator: Operator, sink: LiveSink) -> None:
    sink.kubectl("create", "configmap", "events-s3sink", "--from-literal=theirs=1")
    sink.apply(**HOUR)
    told = sink.wait_condition("Stalled", "True", "NameConflict")
    assert "ConfigMap" in told["message"]
    assert "events-s3sink" in told["message"]
    found = sink.child(CONFIG_MAPS)
    assert found is not None
    assert found["data"] == {"theirs": "1"}
    assert "ownerReferences" not in found["metadata"]
    sink.kubectl("delete", "configmap", "events-s3sink")
    sink.wait_ready(1)
    sink.wait_condition("Stalled", "False")
    sink.delete()
    sink.wait_gone()
