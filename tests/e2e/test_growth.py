"""``buffer.size`` is raised under load: volumes grow under running pods, and no pod ends for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s3sink_operator.planner import quantities

from tests.rig.clustersinks import HOUR, PATIENCE
from tests.rig.kubeapi import CLAIMS, STATEFUL_SETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.ledger import Verdict
    from tests.rig.clustersinks import ClusterSink
    from tests.rig.release import Release
    from tests.rig.s3pod import S3Pod
    from tests.rig.witness import Witness

    Record = Callable[[str, ClusterSink, Verdict], None]

SMALL, LARGE = "512Mi", "1Gi"
FILE_SYSTEM = "import os; found = os.statvfs('/var/lib/s3sink'); print(found.f_blocks * found.f_frsize)"


@dataclass(frozen=True)
class Before:
    """What is there while volumes are small."""

    stateful_set: str
    pods: dict[str, list[str]]
    capacity: int

    @classmethod
    def of(cls, sink: ClusterSink, witness: Witness) -> Before:
        """Of now."""
        pods = {name: list(uids) for name, uids in witness.pods.items()}
        return cls(stateful_set_of(sink), pods, capacity(sink))


def test_grown(sink: ClusterSink, witness: Witness, expanding_class: str, record: Record) -> None:
    """And what is added later is as large."""
    apply_small(sink, expanding_class, replicas=2, **HOUR)
    with sink.load():
        witness.begin()
        before = Before.of(sink, witness)
        sink.patch({"buffer": {"size": LARGE}})
        wait_grown(sink, before)
    check_grown(sink, witness, before)
    assert witness.fewest_ready == 2, "nobody noticed"
    sink.scale(3)
    sink.wait_ready(3)
    assert {size_of(claim) for claim in sink.claims().values()} == {quantities.parse(LARGE)}
    record(f"buffer.size {SMALL}→{LARGE}", sink, emptied(sink))


def test_a_full_volume_grows(
    sink: ClusterSink, witness: Witness, s3: S3Pod, expanding_class: str, record: Record
) -> None:
    """While S3 is away there is no other way to take records again."""
    apply_small(
        sink,
        expanding_class,
        replicas=1,
        batch={"window": "1h", "maxBytes": "1Mi"},
        object={"compression": "none"},
        buffer={"highWatermarkPercent": 50},
    )
    with sink.load(records=200, size=10_000, pause=0.02) as traffic:
        s3.away()
        sink.wait_condition("BufferPressure", "True", "Full")
        sink.wait(lambda: not sink.ready_pods(), "pod that the Service sends nothing to any more")
        before = Before.of(sink, witness)
        sink.patch({"buffer": {"size": LARGE}})
        sink.wait(sink.ready_pods, "pod that takes records again")
        traffic.wait_acked(5, PATIENCE)
        wait_grown(sink, before)
        s3.back()
    check_grown(sink, witness, before)
    record("full volume grown, S3 away", sink, emptied(sink))


def test_the_operator_is_killed_while_volumes_grow(
    sink: ClusterSink, witness: Witness, release: Release, expanding_class: str, record: Record
) -> None:
    """After each of its steps."""
    apply_small(sink, expanding_class, replicas=2, **HOUR)
    with sink.load():
        before = Before.of(sink, witness)
        sink.patch({"buffer": {"size": LARGE}})
        for step, is_done in steps(sink, before).items():
            sink.wait(is_done, step)
            release.kill()
            release.delete_pod()
            release.back()
        wait_grown(sink, before)
    check_grown(sink, witness, before)
    record("volumes grown, operator killed 4 times", sink, emptied(sink))


def test_volumes_that_cant_grow_hold_up_nothing(
    sink: ClusterSink, witness: Witness, fixed_class: str, record: Record
) -> None:
    sink.apply(replicas=1, buffer={"storageClassName": fixed_class})
    sink.wait_ready(1)
    with sink.load() as traffic:
        sink.patch({"buffer": {"size": "2Gi"}})
        sink.wait_condition("StorageResized", "False", "NotExpandable")
        sink.scale(2)
        sink.wait_ready(2)
        traffic.wait_acked(20)
        sizes = {
            claim["spec"]["resources"]["requests"]["storage"]
            for claim in sink.plane.api.find(CLAIMS, sink.namespace)
        }
        assert sizes == {"1Gi"}
        sink.patch({"buffer": {"size": "2Gi"}, "batch": {"maxBytes": "2Mi"}})
        sink.wait(lambda: sink.condition("Reconciling").get("status") == "False", "roll of the pods")
        sink.wait_ready(2)
    record("size can't grow; scaled and edited", sink, emptied(sink))


def apply_small(sink: ClusterSink, storage_class: str, *, replicas: int, **spec: Any) -> None:
    """One with small volumes of a class whose volumes can grow; returns when it is ready."""
    buffer = {"size": SMALL, "storageClassName": storage_class, **spec.pop("buffer", {})}
    sink.apply(replicas=replicas, buffer=buffer, **spec)
    sink.wait_ready(replicas)


def steps(sink: ClusterSink, before: Before) -> dict[str, Callable[[], bool]]:
    """What happens when volumes are to grow, and how each step shows."""
    return {
        "size that is asked for": lambda: True,
        "larger claims": lambda: any(
            claim["spec"]["resources"]["requests"]["storage"] == LARGE for claim in sink.claims().values()
        ),
        "end of the first StatefulSet": lambda: stateful_set_of(sink) != before.stateful_set,
        "larger buffers": lambda: capacity(sink) > before.capacity,
    }


def wait_grown(sink: ClusterSink, before: Before) -> None:
    """All has come to rest: volumes are large, and so are those that a scale-up would add."""

    def look() -> bool:
        found = sink.child(STATEFUL_SETS)
        if found is None or found["metadata"]["uid"] == before.stateful_set:
            return False
        (template,) = found["spec"]["volumeClaimTemplates"]
        assert template["spec"]["resources"]["requests"]["storage"] == LARGE
        return sink.condition("Reconciling").get("status") == "False"

    sink.wait_condition("StorageResized", "True", "UpToDate", 2 * PATIENCE)
    sink.wait(look, "StatefulSet that is made again", 2 * PATIENCE)
    sink.wait_ready(len(before.pods))


def check_grown(sink: ClusterSink, witness: Witness, before: Before) -> None:
    """Each volume is large in every respect, and each pod is still the one that it was."""
    assert witness.pods == before.pods
    assert {size_of(claim) for claim in sink.claims().values()} == {quantities.parse(LARGE)}
    for pod in sink.pods():
        size = int(sink.python(pod, FILE_SYSTEM))
        assert size > 0.85 * float(quantities.parse(LARGE)), f"the file system of {pod} has {size} bytes"
    sink.wait(lambda: capacity(sink) > 1.5 * before.capacity, "status that tells of larger buffers")


def stateful_set_of(sink: ClusterSink) -> str:
    """Its UID; empty for a moment while it is made again."""
    found = sink.child(STATEFUL_SETS)
    return found["metadata"]["uid"] if found is not None else ""


def size_of(claim: Any) -> Any:
    """What its volume has."""
    return quantities.parse(claim["status"]["capacity"]["storage"])


def capacity(sink: ClusterSink) -> int:
    """Of all buffers, as the status tells, once every pod could be asked."""
    found: int = sink.wait(lambda: sink.now["status"].get("buffer", {}).get("capacity"), "capacity")
    return found


def emptied(sink: ClusterSink) -> Verdict:
    """Scale to none and judge."""
    sink.scale(0)
    sink.wait_ready(0)
    return sink.verdict()
