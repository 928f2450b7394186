"""Scaling: a volume is emptied before it goes, whoever asks for the number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rig.kubeapi import AUTOSCALERS, CLAIMS, SINKS, STATEFUL_SETS, VOLUMES, condition
from tests.rig.metricsapi import metrics_api

if TYPE_CHECKING:
    from tests.rig.controlplane import ControlPlane
    from tests.rig.flaky_proxy import FlakyProxy
    from tests.rig.operators import Operator
    from tests.rig.sinks import LiveSink

HOUR = {"batch": {"window": "1h"}}
"""Records stay in the buffer until something empties it."""


def phases(sink: LiveSink) -> dict[int, str]:
    return {one["ordinal"]: one["phase"] for one in sink.now["status"].get("volumes", [])}


def test_scaled_down_volumes_are_emptied_then_deleted(
    operator: Operator, control_plane: ControlPlane, sink: LiveSink
) -> None:
    sink.apply(replicas=3, **HOUR)
    sink.wait_ready(3)
    volume = sink.claims()["buffer-events-s3sink-2"]["spec"]["volumeName"]
    with sink.traffic():
        sink.wait(lambda: len(sink.ledger.sent) > 30, "records on all volumes")
        sink.scale(1)
        sink.wait_ready(1)
        sink.wait(lambda: list(sink.claims()) == ["buffer-events-s3sink-0"], "end of two claims")
    sink.wait(lambda: control_plane.api.get(VOLUMES, "", volume) is None, "end of the volume")
    sink.wait(lambda: phases(sink) == {0: "Active"}, "status of one volume")
    sink.wait_condition("Draining", "False")
    sink.scale(0)
    sink.wait_ready(0)
    sink.wait_condition("Ready", "True", "ScaledToZero")
    sink.wait(lambda: phases(sink) == {0: "Drained"}, "drained volume, which is kept")
    sink.verdict()

    sink.scale(2)
    sink.wait_ready(2)
    sink.send(4)


def test_retained_volumes_take_records_again(operator: Operator, sink: LiveSink) -> None:
    sink.apply(replicas=2, buffer={"whenScaled": "Retain"}, **HOUR)
    sink.wait_ready(2)
    sink.send(8)
    before = {name: claim["metadata"]["uid"] for name, claim in sink.claims().items()}
    sink.scale(1)
    sink.wait_ready(1)
    sink.wait(lambda: phases(sink) == {0: "Active", 1: "Drained"}, "drained volume")
    sink.scale(2)
    sink.wait_ready(2)
    sink.wait(lambda: phases(sink) == {0: "Active", 1: "Active"}, "volume in use again")
    assert {name: claim["metadata"]["uid"] for name, claim in sink.claims().items()} == before
    sink.send(8)
    sink.scale(0)
    sink.wait_ready(0)
    sink.verdict()


def test_scaled_up_while_a_drain_is_held_up(operator: Operator, sink: LiveSink, proxied: FlakyProxy) -> None:
    sink.apply(replicas=2, **HOUR)
    sink.wait_ready(2)
    sink.send(8)
    proxied.stop()
    sink.scale(1)
    told = sink.wait_condition("Draining", "True", "Blocked")
    assert "events-s3sink-1" in told["message"]
    assert sorted(sink.pods()) == ["events-s3sink-0", "events-s3sink-1"], "its pod stays until it is empty"
    assert phases(sink) == {0: "Active", 1: "Draining"}
    sink.wait(lambda: len(sink.ready_pods()) == 1, "probe that sees the draining pod")
    sink.send(4)  # the other one takes records meanwhile
    sink.scale(2)
    sink.wait_ready(2)
    sink.wait_condition("Draining", "False")
    proxied.start()
    sink.send(8)
    sink.scale(0)
    sink.wait_ready(0)
    sink.verdict()


def test_a_stateful_set_that_is_scaled_by_hand_is_put_right(operator: Operator, sink: LiveSink) -> None:
    sink.apply(replicas=2, **HOUR)
    sink.wait_ready(2)
    sink.send(8)
    sink.kubectl("scale", "statefulset", "events-s3sink", "--replicas=0")
    sink.wait(lambda: (sink.child(STATEFUL_SETS) or {})["spec"]["replicas"] == 2, "right number of replicas")
    sink.wait_ready(2)
    assert len(sink.claims()) == 2
    sink.scale(0)
    sink.wait_ready(0)
    sink.verdict()


def test_the_autoscaler_scales_the_sink_itself(
    operator: Operator, control_plane: ControlPlane, sink: LiveSink
) -> None:
    """The controller of HorizontalPodAutoscalers reads and writes the S3Sink's scale; the metrics are made up."""
    api = control_plane.api
    with metrics_api(control_plane) as metrics:
        metrics.set(sink.namespace, "ingester", cpu="50m")
        sink.apply(autoscaling={"minReplicas": 2, "maxReplicas": 3, "targetCPUUtilizationPercentage": 70})
        # minReplicas is the autoscaler's to see to.
        sink.wait_ready(2)
        autoscaler = sink.wait(
            lambda: (
                (one := sink.child(AUTOSCALERS))
                and condition(one, "ScalingActive").get("status") == "True"
                and one
            ),
            "autoscaler at work",
        )
        assert condition(autoscaler, "AbleToScale")["status"] == "True"
        metrics.set(sink.namespace, "ingester", cpu="2")
        sink.wait_ready(3)
        assert sink.now["spec"]["replicas"] == 3
        scale = api.request("GET", SINKS.path(sink.namespace, sink.name, "scale"))
        assert scale["status"] == {"replicas": 3, "selector": "s3sink.dev/sink=events"}
        # The operator doesn't argue with it.
        managers = {
            one["manager"]
            for one in sink.now["metadata"]["managedFields"]
            if one.get("subresource") == "scale"
        }
        assert managers == {"kube-controller-manager"}
    assert len(api.find(CLAIMS, sink.namespace)) == 3
