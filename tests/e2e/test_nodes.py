"""A sink on several nodes, of which one is drained or lost under load: those on the others go on taking records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rig.agents import NAMESPACE
from tests.rig.clustersinks import HOUR, PATIENCE
from tests.rig.kubeapi import ENDPOINT_SLICES, PODS, condition
from tests.rig.sinks import SINK_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.ledger import Verdict
    from tests.rig.clusternodes import Nodes
    from tests.rig.clustersinks import ClusterSink
    from tests.rig.witness import Witness

    Record = Callable[[str, ClusterSink, Verdict], None]

REFUSED = "Cannot evict pod as it would violate the pod's disruption budget"
EVICTION = 600.0
"""Seconds: Kubernetes deletes the pods of a lost node after 5 minutes, unless it is told otherwise."""
FIRST, SECOND = "events-s3sink-0", "events-s3sink-1"


def test_a_pod_on_each_node(sink: ClusterSink, nodes: Nodes, record: Record) -> None:
    """Though one node is busier than others. And whoever connects from a node, or from a pod on it, gets either."""
    neighbour = sink.another("neighbour")
    with nodes.cordoned(*nodes.names()[1:]):
        neighbour.apply(podTemplate={"resources": {"requests": {"cpu": "300m"}}})
        neighbour.wait_ready(1)
    sink.apply(replicas=2, batch={"window": "1s"})
    sink.wait_ready(2)
    assert len(places(sink)) == len(set(places(sink).values())) == 2
    sink.wait_served()
    for node in nodes.names():
        for agent in ("load", "host"):
            sink.wait(lambda: not sink.missing(), "records in the bucket")
            before = sink.records_by_pod()
            run = sink.agents.start(
                sink.ledger, *sink.address, agent=agent, node=node, count=50, kept=1, pause=0.0
            )
            sink.wait_done(run)
            assert run.acked == 50, run.last
            sink.wait(lambda: not sink.missing(), "records in the bucket")
            assert (sink.records_by_pod() - before).keys() == {FIRST, SECOND}, f"{agent} on {node}"
    record("a pod on each node", sink, sink.verdict())


def test_a_node_is_drained(sink: ClusterSink, nodes: Nodes, witness: Witness, record: Record) -> None:
    """Its pod, whose volume is there, waits for the node; meanwhile no other one may be evicted."""
    kept, drained = spread(sink, nodes)
    with sink.load(node=kept) as traffic:
        sink.wait_held()
        witness.begin()
        with nodes.cordoned(drained):
            is_done, told = nodes.drain(drained, PATIENCE)
            assert is_done, told
            traffic.wait_acked(100)
            with nodes.cordoned(kept):
                is_done, told = nodes.drain(kept, 20.0)
                assert not is_done
                assert REFUSED in told
                traffic.wait_acked(100)
            assert [pod["metadata"]["name"] for pod in sink.ready_pods()] == [FIRST]
        sink.wait_ready(2)
    assert witness.fewest_ready == 1, "the first one took records all the time"
    assert len(witness.pods[FIRST]) == 1
    record("node drained", sink, emptied(sink))


def test_a_node_is_lost_and_comes_back(
    sink: ClusterSink, losable_nodes: Nodes, witness: Witness, record: Record
) -> None:
    kept, lost = spread(sink, losable_nodes)
    with sink.load(node=kept) as traffic:
        sink.wait_held()
        with losable_nodes.lost(lost):
            sink.wait(lambda: served_by(sink) == {FIRST}, "Service that sends nothing there")
            traffic.wait_acked(200)
            assert len(sink.claims()) == 2
        sink.wait_ready(2)
        traffic.wait_acked(20)
    assert len(witness.pods[FIRST]) == 1, "nobody touched the other one"
    record("node lost, comes back", sink, emptied(sink))


def test_scaled_down_or_deleted_while_a_node_is_lost(
    sink: ClusterSink, losable_nodes: Nodes, witness: Witness, record: Record
) -> None:
    """What is on the node's volumes is nowhere else: the operator waits for it, and says for what."""
    deleted = sink.another("deleted")
    kept, lost = spread(sink, losable_nodes)
    spread(deleted, losable_nodes)
    with sink.load(node=kept) as traffic, deleted.load(node=kept):
        sink.wait_held()
        deleted.wait_held()
        with losable_nodes.lost(lost):
            sink.scale(1)
            deleted.delete()
            said = f"{lost}, which doesn't answer"
            for one in (sink, deleted):
                one.wait(lambda one=one: said in said_of_draining(one), said, EVICTION)
            traffic.wait_acked(100)
            assert set(sink.claims()) == {f"buffer-{FIRST}", f"buffer-{SECOND}"}
            assert "buffer-deleted-s3sink-1" in deleted.claims()
        sink.wait_ready(1)
        deleted.wait_gone()
        sink.wait(lambda: set(sink.claims()) == {f"buffer-{FIRST}"}, "end of a claim")
        deleted.wait(lambda: not deleted.claims(), "end of the claims")
    assert len(witness.pods[FIRST]) == 1, "nobody touched the other one"
    record("scale-down 2→1, node lost", sink, emptied(sink))
    record("deleted, node lost", deleted, deleted.verdict())


def spread(sink: ClusterSink, nodes: Nodes) -> tuple[str, str]:
    """Apply it with two replicas; returns the node of the first one, which is that of S3, and of the second one."""
    (s3,) = sink.plane.api.find(PODS, NAMESPACE, app="s3")
    kept = s3["spec"]["nodeName"]
    apart = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {SINK_LABEL: sink.name}},
    }
    with nodes.cordoned(*(name for name in nodes.names() if name != kept)):
        sink.apply(replicas=1, podTemplate={"topologySpreadConstraints": [apart]}, **HOUR)
        sink.wait_ready(1)
    sink.scale(2)
    sink.wait_ready(2)
    where = places(sink)
    assert where[f"{sink.name}-s3sink-0"] == kept != where[f"{sink.name}-s3sink-1"]
    return kept, where[f"{sink.name}-s3sink-1"]


def places(sink: ClusterSink) -> dict[str, str]:
    """Its pods' nodes."""
    return {name: pod["spec"]["nodeName"] for name, pod in sink.pods().items()}


def served_by(sink: ClusterSink) -> set[str]:
    """The pods that its Service sends records to."""
    slices = sink.plane.api.find(
        ENDPOINT_SLICES, sink.namespace, **{"kubernetes.io/service-name": f"{sink.name}-s3sink"}
    )
    return {
        endpoint["targetRef"]["name"]
        for found in slices
        for endpoint in found["endpoints"] or ()
        if endpoint["conditions"]["ready"]
    }


def said_of_draining(sink: ClusterSink) -> str:
    """What its condition of that name tells, if it is one to worry about."""
    found = condition(sink.get(), "Draining")
    return found["message"] if found.get("reason") == "Blocked" else ""


def emptied(sink: ClusterSink) -> Verdict:
    """Scale to none and judge."""
    sink.scale(0)
    sink.wait_ready(0)
    return sink.verdict()
