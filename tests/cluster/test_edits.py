"""A sink that is edited: what rolls its pods and what doesn't, and that no record is lost meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from tests.rig.hollow.container import BROKEN_IMAGE
from tests.rig.kubeapi import AUTOSCALERS, CONFIG_MAPS, POLICIES, SERVICES, STATEFUL_SETS, wait_for
from tests.rig.operators import IMAGE, Operator

if TYPE_CHECKING:
    from tests.rig.controlplane import ControlPlane
    from tests.rig.sinks import LiveSink


def uids(sink: LiveSink) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in sink.pods().items()}


def wait_rolled(sink: LiveSink, before: dict[str, str]) -> None:
    """Every pod is another one, and all is well again."""

    def look() -> bool:
        now = uids(sink)
        return now.keys() == before.keys() and all(now[name] != before[name] for name in now)

    sink.wait(look, "roll of every pod")
    sink.wait_condition("Reconciling", "False")
    sink.wait_ready(len(before))


def test_new_settings_roll_the_pods_without_a_lost_record(operator: Operator, sink: LiveSink) -> None:
    sink.apply(replicas=2)
    sink.wait_ready(2)
    before = uids(sink)
    with sink.traffic() as sender:
        sink.patch({"batch": {"maxBytes": "2Mi"}})
        # What is true of the earlier spec must not be told of the new one.
        told = sink.wait(lambda: sink.condition("Reconciling"), "condition about the new spec")
        assert told["status"] == "True", told
        wait_rolled(sink, before)
        assert sender.acked > 0
    settings = sink.child(CONFIG_MAPS)
    assert settings is not None
    assert yaml.safe_load(settings["data"]["settings.yaml"])["batch"]["maxBytes"] == "2Mi"
    sink.verdict()


def test_what_the_ingesters_dont_read_rolls_nothing(operator: Operator, sink: LiveSink) -> None:
    sink.apply()
    sink.wait_ready(1)
    before = uids(sink)
    sink.patch(
        {
            "service": {"port": 8080, "annotations": {"team": "data"}},
            "networkPolicy": {"enabled": True},
            "autoscaling": {"minReplicas": 1, "maxReplicas": 4},
        }
    )
    sink.wait(lambda: sink.child(POLICIES) and sink.child(AUTOSCALERS), "policy and autoscaler")
    service = sink.wait(
        lambda: (one := sink.child(SERVICES)) and one["spec"]["ports"][0]["port"] == 8080 and one, "port"
    )
    assert service["metadata"]["annotations"]["team"] == "data"
    sink.wait(lambda: sink.now["status"]["endpoint"].endswith(":8080"), "endpoint with its port")
    # A field that isn't wanted any more goes, and so does a child.
    sink.patch({"service": {"annotations": None}, "networkPolicy": None, "autoscaling": None})
    sink.wait(lambda: not sink.child(POLICIES) and not sink.child(AUTOSCALERS), "end of both")
    sink.wait(
        lambda: "team" not in (sink.child(SERVICES) or {})["metadata"]["annotations"], "end of the annotation"
    )
    sink.wait_ready(1)
    assert uids(sink) == before


def test_a_bad_config_is_told_and_what_runs_stays(operator: Operator, sink: LiveSink) -> None:
    sink.apply(replicas=2)
    sink.wait_ready(2)
    before, revision = uids(sink), (sink.child(STATEFUL_SETS) or {})["status"]["currentRevision"]
    good = sink.now["spec"]["partitioning"]["regex"]

    # The API server can't tell: it has no Python to compile it with.
    sink.patch({"partitioning": {"regex": r"^(?P<path>\S+) (?P<content>.+$"}, "batch": {"maxBytes": "3Mi"}})
    told = sink.wait_condition("ConfigValid", "False")
    assert "regex" in told["message"]
    assert sink.wait_condition("Stalled", "True")["reason"] == "ConfigInvalid"
    assert sink.wait_condition("Ready", "False")["reason"] == "ConfigInvalid"
    assert "ConfigInvalid" in sink.kubectl("get", "s3sink")
    assert uids(sink) == before
    sink.send(4)

    # Scaling still works, with the earlier config.
    sink.scale(3)
    sink.wait(lambda: len(sink.ready_pods()) == 3, "third pod")
    found = sink.child(STATEFUL_SETS)
    assert found is not None
    assert found["status"]["currentRevision"] == found["status"]["updateRevision"] == revision
    sink.scale(2)
    sink.wait(lambda: len(sink.pods()) == len(sink.claims()) == 2, "end of the third pod and its volume")
    sink.send(4)

    sink.patch({"partitioning": {"regex": good}})
    sink.wait_condition("ConfigValid", "True")
    wait_rolled(sink, before)
    sink.verdict()


def test_paused_nothing_is_changed(operator: Operator, sink: LiveSink) -> None:
    sink.apply()
    sink.wait_ready(1)
    sink.annotate(paused="true")
    sink.wait_condition("ReconciliationPaused", "True")
    sink.kubectl("delete", "configmap", "events-s3sink")
    sink.scale(2)
    sink.wait_condition("Ready", "False")  # it has seen the new number
    assert sink.child(CONFIG_MAPS) is None
    assert len(sink.pods()) == 1
    sink.annotate(paused=None)
    sink.wait_ready(2)
    assert sink.child(CONFIG_MAPS) is not None


def test_a_new_image_that_is_broken_stops_at_one_pod_and_is_taken_back(
    operator: Operator, control_plane: ControlPlane, sink: LiveSink
) -> None:
    sink.apply(replicas=2)
    sink.wait_ready(2)
    before = uids(sink)
    operator.stop()
    broken = IMAGE.replace("s3sink-ingester", BROKEN_IMAGE)
    with Operator(control_plane, image=broken):
        told = sink.wait_condition("Ready", "False", "ImagePullBackOff")
        assert broken in told["message"]
        assert sink.condition("Stalled")["status"] == "True"
        assert len(sink.ready_pods()) == 1
        sink.send(3)
    newer = IMAGE.replace(":1", ":2")
    with Operator(control_plane, image=newer):
        wait_rolled(sink, before)
        assert sink.now["status"]["image"] == newer
        assert newer in sink.kubectl("get", "s3sink", "-o", "wide")
    sink.verdict()


def test_an_operators_upgrade_rolls_one_sink_after_the_other(
    operator: Operator, control_plane: ControlPlane, sink: LiveSink
) -> None:
    others = [sink.another(name) for name in ("orders", "clicks")]
    for one in (sink, *others):
        one.apply()
    for one in (sink, *others):
        one.wait_ready(1)
    operator.stop()
    with Operator(control_plane, image=IMAGE.replace(":1", ":2")):

        def rolled() -> list[str]:
            """Sinks whose every pod is of the new image and ready; at most one other may be without a ready pod."""
            done = []
            without = 0
            for one in (sink, *others):
                ready = one.ready_pods()
                without += not ready
                done += [one.name for pod in ready if pod["spec"]["containers"][0]["image"].endswith(":2")]
            assert without <= 1, "two sinks roll at once"
            return done

        wait_for(lambda: len(rolled()) == 3, "three rolled sinks", why=sink.describe)
