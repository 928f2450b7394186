"""Scaling under load: a volume goes only after the proof that nothing is left on it, which ``witness`` sees to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rig.clustersinks import HOUR
from tests.rig.kubeapi import JOBS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.ledger import Verdict
    from tests.rig.clustersinks import ClusterSink
    from tests.rig.release import Release
    from tests.rig.s3pod import S3Pod
    from tests.rig.witness import Witness

    Record = Callable[[str, ClusterSink, Verdict], None]


def test_scaled_down(sink: ClusterSink, witness: Witness, record: Record) -> None:
    sink.apply(replicas=3, **HOUR)
    sink.wait_ready(3)
    with sink.load() as traffic:
        sink.scale(1)
        sink.wait_ready(1)
        sink.wait(lambda: list(sink.claims()) == ["buffer-events-s3sink-0"], "end of two claims")
        traffic.wait_acked(20)  # the one that is left takes them all
    assert {ordinal for _, ordinal, _ in witness.shrinks} == {1, 2}
    empty(sink)
    record("scale-down 3→1", sink, sink.verdict())


def test_scaled_down_while_s3_is_away_and_comes_back(
    sink: ClusterSink, witness: Witness, s3: S3Pod, record: Record
) -> None:
    sink.apply(replicas=3, **HOUR)
    sink.wait_ready(3)
    with sink.load() as traffic:
        sink.wait_held()
        s3.away()
        sink.scale(1)
        sink.wait_condition("Draining", "True", "Blocked")
        traffic.wait_acked(20)
        assert len(sink.pods()) == 3, "their pods stay until they are empty"
        assert not witness.shrinks
        s3.back()
        sink.wait_ready(1)
        sink.wait(lambda: len(sink.claims()) == 1, "end of two claims")
    empty(sink)
    record("scale-down, S3 away meanwhile", sink, sink.verdict())


def test_scaled_up_in_the_middle_of_scaling_down(
    sink: ClusterSink, witness: Witness, s3: S3Pod, record: Record
) -> None:
    sink.apply(replicas=3, **HOUR)
    sink.wait_ready(3)
    before = {name: claim["metadata"]["uid"] for name, claim in sink.claims().items()}
    with sink.load() as traffic:
        sink.wait_held()
        s3.away()
        sink.scale(1)
        sink.wait_condition("Draining", "True", "Blocked")
        sink.scale(3)
        sink.wait_ready(3)
        sink.wait_condition("Draining", "False")
        s3.back()
        traffic.wait_acked(20)
    assert not witness.shrinks
    assert {name: claim["metadata"]["uid"] for name, claim in sink.claims().items()} == before
    empty(sink)
    record("upscale in the middle of scale-down", sink, sink.verdict())


def test_the_operator_is_killed_again_and_again_meanwhile(
    sink: ClusterSink, witness: Witness, release: Release, record: Record
) -> None:
    sink.apply(replicas=3, **HOUR)
    sink.wait_ready(3)
    with sink.load():
        for replicas in (1, 2):
            sink.scale(replicas)
            for _ in range(2):
                release.kill()
                release.delete_pod()
                release.back()
        sink.wait_ready(2)
        sink.wait(lambda: len(sink.claims()) == 2, "end of a claim")
    empty(sink)
    record("scaling, operator killed 4 times", sink, sink.verdict())


def test_volumes_that_lost_their_pods_are_emptied_by_jobs(
    sink: ClusterSink, witness: Witness, release: Release, s3: S3Pod, record: Record
) -> None:
    """The StatefulSet is scaled by hand while no operator is there, and S3 isn't either."""
    sink.apply(replicas=3, **HOUR)
    sink.wait_ready(3)
    with sink.load():
        sink.wait_held()
        s3.away()
        release.away()
        sink.kubectl("scale", "statefulset", "events-s3sink", "--replicas=1")
        sink.wait(lambda: len(sink.pods()) == 1, "end of two pods")
        sink.scale(1)
        assert len(sink.claims()) == 3
        witness.shrinks.clear()  # that wasn't the operator
        s3.back()
        release.back()
        jobs = sink.wait(lambda: sink.plane.api.find(JOBS, sink.namespace), "drain Jobs")
        assert all("ownerReferences" not in job["metadata"] for job in jobs)
        sink.wait(lambda: len(sink.claims()) == 1, "end of two claims")
        sink.wait_ready(1)
    assert not sink.plane.api.find(JOBS, sink.namespace)
    empty(sink)
    record("StatefulSet scaled by hand, Jobs drain", sink, sink.verdict())


def empty(sink: ClusterSink) -> None:
    """Scale to none: what is left comes into the bucket, the volumes stay."""
    sink.scale(0)
    sink.wait_ready(0)
