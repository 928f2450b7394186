"""Pods that end and come back under load: by edits, upgrades, drains of nodes, and kill -9."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.rig.clusternodes import Nodes
from tests.rig.clustersinks import HOUR, PATIENCE
from tests.rig.kubeapi import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.ledger import Verdict
    from tests.rig.anycluster import AnyCluster
    from tests.rig.clustersinks import ClusterSink
    from tests.rig.kubeapi import Object
    from tests.rig.release import Release
    from tests.rig.witness import Witness

    Record = Callable[[str, ClusterSink, Verdict], None]


def uids(sink: ClusterSink) -> dict[str, str]:
    """Of its pods, by name."""
    return {name: pod["metadata"]["uid"] for name, pod in sink.pods().items()}


def wait_rolled(sink: ClusterSink, before: dict[str, str]) -> None:
    """Every pod is another one, and all is well again."""

    def look() -> bool:
        now = uids(sink)
        return now.keys() == before.keys() and all(now[name] != before[name] for name in now)

    sink.wait(look, "roll of every pod", 2 * PATIENCE)
    sink.wait_ready(len(before))


def test_new_settings(sink: ClusterSink, witness: Witness, record: Record) -> None:
    sink.apply(replicas=3, **HOUR)
    sink.wait_ready(3)
    before = uids(sink)
    with sink.load():
        witness.begin()
        sink.patch({"batch": {"maxBytes": "2Mi"}})
        wait_rolled(sink, before)
    assert witness.fewest_ready == 2, "one pod after the other"
    record("settings changed", sink, emptied(sink))


def test_a_new_image(
    sink: ClusterSink, witness: Witness, release: Release, record: Record, newer: str
) -> None:
    """And the operator is killed in the middle of it."""
    sink.apply(replicas=3, **HOUR)
    sink.wait_ready(3)
    before = uids(sink)
    try:
        with sink.load():
            witness.begin()
            release.upgrade(newer)
            sink.wait(lambda: uids(sink) != before, "first new pod")
            release.kill()
            wait_rolled(sink, before)
        assert witness.fewest_ready == 2, "one pod after the other"
        assert sink.now["status"]["image"] == newer
        record("image upgraded, operator killed", sink, emptied(sink))
    finally:
        release.install()


def test_a_broken_image_is_taken_back(
    sink: ClusterSink, witness: Witness, release: Release, record: Record, newer: str
) -> None:
    sink.apply(replicas=3, **HOUR)
    sink.wait_ready(3)
    before = uids(sink)
    try:
        with sink.load() as traffic:
            witness.begin()
            release.upgrade(f"{newer}-that-nobody-has-built")
            sink.wait(lambda: sink.condition("Stalled").get("status") == "True", "trouble that is told")
            assert "nobody-has-built" in str(sink.condition("Ready").get("message"))
            traffic.wait_acked(20)
            release.install()
            sink.wait(lambda: sink.condition("Stalled").get("status") == "False", "end of the trouble")
            sink.wait_ready(3)
        after = uids(sink)
        assert sum(after[name] != before[name] for name in before) == 1, "it stopped at the first pod"
        assert witness.fewest_ready == 2
    finally:
        release.install()
    record("broken image, rolled back by old values", sink, emptied(sink))


def test_kubectl_drain(cluster: AnyCluster, sink: ClusterSink, witness: Witness, record: Record) -> None:
    """The budget lets one pod go at a time; the node is uncordoned so that they may come back to their volumes."""
    sink.apply(replicas=3, **HOUR)
    sink.wait_ready(3)
    before = uids(sink)
    nodes = Nodes(cluster)
    ((node, count),) = Counter(pod["spec"]["nodeName"] for pod in sink.pods().values()).most_common(1)
    with sink.load(), ThreadPoolExecutor(1) as pool:
        witness.begin()
        draining = pool.submit(nodes.drain, node, 2 * PATIENCE)
        wait_for(lambda: nodes.is_cordoned(node), "node that is cordoned")
        sink.wait(lambda: uids(sink) != before, "first eviction")
        cluster.kubectl("uncordon", node)
        is_done, told = draining.result()
        assert is_done, told
        assert (count > 1) == ("Cannot evict pod as it would violate the pod's disruption budget" in told)
        sink.wait_ready(3)
    assert witness.fewest_ready == 2, "one pod after the other"
    record("kubectl drain", sink, emptied(sink))


def test_pods_are_killed(sink: ClusterSink, record: Record) -> None:
    """kill -9 of the ingester's processes, in turn; each is started again on its volume."""
    sink.apply(replicas=2, **HOUR)
    sink.wait_ready(2)
    with sink.load(senders=6, pause=0.01) as traffic:
        for name in ("events-s3sink-0", "events-s3sink-1", "events-s3sink-0"):
            kill(sink, name)
            sink.wait_ready(2)
            traffic.wait_acked(20)
    record("ingesters killed with -9, 3 times", sink, emptied(sink))


def kill(sink: ClusterSink, name: str) -> None:
    """kill -9 of what runs in a pod; returns when the kubelet has started it again."""
    pod = sink.pods()[name]
    sink.agents.kill(pod, "s3sink-ingester")
    sink.wait(lambda: restarts(sink.pods()[name]) > restarts(pod), f"restart of {name}")


def restarts(pod: Object) -> int:
    """How often its container was started again."""
    (container,) = pod["status"]["containerStatuses"]
    count: int = container["restartCount"]
    return count


def emptied(sink: ClusterSink) -> Verdict:
    """Scale to none and judge."""
    sink.scale(0)
    sink.wait_ready(0)
    return sink.verdict()
