"""What others do to children and pods: webhooks that change them, quotas, nodes and finalizers that hold them up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.rig.hollow.status import now
from tests.rig.kubeapi import NODES, PODS, STATEFUL_SETS, Kind, Object
from tests.rig.webhook import mutating_webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.controlplane import ControlPlane
    from tests.rig.operators import Operator
    from tests.rig.sinks import LiveSink

QUOTAS: Final = Kind("v1", "ResourceQuota", "resourcequotas")
IMAGE_PATH: Final = "/spec/template/spec/containers/0/image"
OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
MIRRORED: Final = "mirror.example/s3sink-ingester:1"


def uids(sink: LiveSink) -> set[str]:
    return {pod["metadata"]["uid"] for pod in sink.pods().values()}


def test_what_a_webhook_makes_of_a_stateful_set_stays_and_is_told(
    control_plane: ControlPlane, operator: Operator, sink: LiveSink
) -> None:
    mirror: list[Object] = [
        {"op": "replace", "path": IMAGE_PATH, "value": MIRRORED},
        {"op": "add", "path": "/spec/template/metadata/labels/injected", "value": "yes"},
        {"op": "add", "path": "/spec/revisionHistoryLimit", "value": 7},
    ]
    with mutating_webhook(control_plane, sink.namespace, mirror):
        sink.apply(replicas=2)
        sink.wait_ready(2)
        told = sink.wait_condition("Reconciling", "False", "UpToDate")
        assert told["message"] == (
            "everything is as it was applied, but for what admission made of it: StatefulSet events-s3sink "
            "spec.revisionHistoryLimit, StatefulSet events-s3sink spec.template.spec.containers[ingester].image"
        )
        assert sink.now["status"]["image"] == MIRRORED, "what runs"
        before, child = uids(sink), sink.child(STATEFUL_SETS)
        assert child is not None
        looks = operator.reconciles()
        sink.wait(lambda: operator.reconciles() >= looks + 2, "two looks more")
        again = sink.child(STATEFUL_SETS)
        assert again is not None
        assert again["metadata"]["managedFields"] == child["metadata"]["managedFields"], "nothing is applied"

        # What a person changes is put back, however often admission changes the rest.
        api = sink.plane.api
        api.patch(STATEFUL_SETS, sink.namespace, "events-s3sink", {"spec": {"minReadySeconds": 3}})
        sink.wait(
            lambda: (found := sink.child(STATEFUL_SETS)) and found["spec"]["minReadySeconds"] == 10,
            "the field as it was",
        )
        sink.kubectl("label", "statefulset", "events-s3sink", "team=data")
        sink.scale(3)
        sink.wait_ready(3)
        sink.wait_condition("Reconciling", "False", "UpToDate")
        assert before < uids(sink), "none of it rolls a pod"

        before = uids(sink)
        sink.patch({"batch": {"maxBytes": "2Mi"}})
        sink.wait(lambda: not before & uids(sink) and len(sink.ready_pods()) == 3, "roll of every pod")
        sink.wait_condition("Reconciling", "False", "UpToDate")
        sink.send(3)

    # The policy went: a person who edits what it changed is somebody else, and put right.
    sink.kubectl("set", "image", "statefulset/events-s3sink", "ingester=elsewhere.example/other:1")
    sink.wait(lambda: sink.now["status"]["image"] not in (MIRRORED, "elsewhere.example/other:1"), "our image")
    told = sink.wait_condition("Reconciling", "False", "UpToDate")
    assert told["message"] == "everything is as it should be"
    sink.wait_ready(3)
    sink.verdict()


def test_replicas_that_a_webhook_made_fewer_come_back_once_it_is_gone(
    control_plane: ControlPlane, operator: Operator, sink: LiveSink
) -> None:
    fewer: list[Object] = [{"op": "replace", "path": "/spec/replicas", "value": 1}]
    with mutating_webhook(control_plane, sink.namespace, fewer):
        sink.apply(replicas=2)
        sink.wait(lambda: len(sink.ready_pods()) == 1, "one pod")
        told = sink.wait_condition("Reconciling", "True", "ScalingUp")
        assert told["message"] == "1 replicas become 2"
    sink.wait_ready(2)
    sink.wait_condition("Reconciling", "False", "UpToDate")
    sink.verdict()


def test_pods_that_a_quota_refuses_are_told(operator: Operator, sink: LiveSink) -> None:
    api, quota = sink.plane.api, {"metadata": {"namespace": sink.namespace, "name": "few"}}
    api.create(QUOTAS, {**quota, "spec": {"hard": {"pods": "1"}}})
    sink.apply(replicas=2)
    told = sink.wait_condition("Ready", "False", "PodsNotCreated")
    assert told["message"].startswith("1 of 2 ingesters are ready; events-s3sink-")
    assert "kubectl describe statefulset events-s3sink" in told["message"]
    assert "exceeded quota" in sink.kubectl("describe", "statefulset", "events-s3sink"), "there it is"
    assert sink.condition("Stalled")["reason"] == "PodsNotCreated"
    sink.send(3)
    api.patch(QUOTAS, sink.namespace, "few", {"spec": {"hard": {"pods": "9"}}})
    sink.kubectl("annotate", "statefulset", "events-s3sink", "retry=1", "--overwrite")
    sink.wait_ready(2)
    sink.wait_condition("Stalled", "False")
    sink.verdict()


@pytest.fixture
def lost_node(control_plane: ControlPlane) -> Iterator[str]:
    """A node that says it is ready, and whose machine is off: nobody starts or ends its pods."""
    api, name = control_plane.api, "lost-node"
    capacity = {"cpu": "8", "memory": "16Gi", "pods": "10"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now()}
    status = {"capacity": capacity, "allocatable": capacity, "conditions": [ready]}
    api.create(NODES, {"metadata": {"name": name, "labels": {"rig": "lost"}}})
    api.patch(NODES, "", name, {"status": status}, subresource="status")
    yield name
    api.delete(NODES, "", name)


def test_a_pod_of_a_lost_node_is_told_with_what_helps(
    operator: Operator, sink: LiveSink, lost_node: str
) -> None:
    there = {"nodeSelector": {"rig": "lost"}, "terminationGracePeriodSeconds": 6}
    sink.apply(podTemplate=there)
    sink.wait(
        lambda: [pod["spec"].get("nodeName") for pod in sink.pods().values()] == [lost_node],
        "pod on the node",
    )
    before = uids(sink)
    sink.patch({"podTemplate": {"nodeSelector": None}})
    sink.kubectl("delete", "pod", "events-s3sink-0", "--wait=false")
    told = sink.wait_condition("Ready", "False", "PodStuckTerminating")["message"]
    assert f"events-s3sink-0 is Terminating on {lost_node} though its grace period ended at" in told
    way_out = (
        f"kubectl delete pod events-s3sink-0 --force --grace-period=0, or taint the node {OUT_OF_SERVICE}"
    )
    assert told.endswith(way_out)
    assert sink.condition("Reconciling")["message"].endswith(way_out)
    assert uids(sink) == before
    sink.kubectl("delete", "pod", "events-s3sink-0", "--force", "--grace-period=0")
    sink.wait_ready(1)
    sink.send(3)
    sink.verdict()


def test_a_pod_that_doesnt_end_is_told(operator: Operator, sink: LiveSink) -> None:
    sink.apply(replicas=2, podTemplate={"terminationGracePeriodSeconds": 6})
    sink.wait_ready(2)
    api = sink.plane.api
    finalizer = {"metadata": {"finalizers": ["backup.example/wait"]}}
    api.patch(PODS, sink.namespace, "events-s3sink-1", finalizer)
    sink.kubectl("delete", "pod", "events-s3sink-1", "--wait=false")
    told = sink.wait_condition("Ready", "False", "PodStuckTerminating")
    assert "events-s3sink-1 is Terminating on" in told["message"]
    assert "held by its finalizers backup.example/wait" in told["message"]
    sink.send(3)
    api.patch(PODS, sink.namespace, "events-s3sink-1", {"metadata": {"finalizers": None}})
    sink.wait_ready(2)
    sink.verdict()
