"""Samples, columns, explanations and the scale of S3Sinks, as kubectl and a real API server have them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from s3sink_operator.spec import parse

from tests.rig import kubetools
from tests.rig.kubeapi import SINKS, ApiError, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.controlplane import ControlPlane

SAMPLES = sorted((kubetools.ROOT / "docs" / "samples").glob("*.yaml"))
CONDITION = {"lastTransitionTime": "2026-11-24T10:00:00Z", "observedGeneration": 1}


def status(**changes: Any) -> dict[str, Any]:
    """A whole status, as the operator writes it."""
    long_ago = datetime.now(UTC) - timedelta(minutes=90)
    return {
        "observedGeneration": 1,
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "PodsNotReady", "message": "2 of 3", **CONDITION},
            {"type": "ConfigValid", "status": "True", "reason": "Valid", "message": "", **CONDITION},
        ],
        "replicas": 3,
        "readyReplicas": 2,
        "updatedReplicas": 3,
        "selector": "s3sink.dev/sink=events",
        "image": "registry.example/ingester:1",
        "endpoint": "http://events-s3sink.default.svc",
        "buffer": {
            "bytes": 1288490189,
            "capacity": 29633740800,
            "used": "1.2Gi",
            "oldestRecordTime": f"{long_ago:%Y-%m-%dT%H:%M:%SZ}",
        },
        "uploads": {"lastSuccess": "2026-11-24T10:00:00Z", "failures": 3},
        "volumes": [
            {
                "ordinal": 0,
                "pvc": "buffer-events-s3sink-0",
                "phase": "Active",
                "capacity": "10Gi",
                "bufferedBytes": 7,
            }
        ],
        **changes,
    }


def apply_story(control_plane: ControlPlane, namespace: str) -> None:
    sample = kubetools.ROOT / "docs" / "samples" / "story-2018.yaml"
    control_plane.kubectl("apply", "-n", namespace, "-f", str(sample))


def test_all_samples_apply(control_plane: ControlPlane, namespace: str) -> None:
    folder = str(kubetools.ROOT / "docs" / "samples")
    for _ in range(2):  # the second time nothing is left to do
        said = control_plane.kubectl("apply", "-n", namespace, "-f", folder).stdout
    assert said.count("unchanged") == len(SAMPLES)
    for sink in control_plane.api.find(SINKS, namespace):
        parse(sink)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_defaults_of_the_api_server_are_those_of_the_types(
    control_plane: ControlPlane, namespace: str, sample: Path
) -> None:
    manifest = yaml.safe_load(sample.read_text(encoding="utf-8"))
    made = control_plane.api.request("POST", SINKS.path(namespace), manifest, dryRun="All")
    assert parse(made) == parse(manifest)


def test_columns(control_plane: ControlPlane, namespace: str) -> None:
    apply_story(control_plane, namespace)
    control_plane.api.patch(SINKS, namespace, "events", {"status": status()}, subresource="status")
    for word in ("s3sink", "s3s", "s3sinks"):
        head, line = control_plane.kubectl("get", word, "-n", namespace).stdout.splitlines()
        assert head.split() == ["NAME", "READY", "REASON", "REPLICAS", "DESIRED", "BUFFERED", "OLDEST", "AGE"]
        assert line.split()[:-1] == ["events", "False", "PodsNotReady", "3", "3", "1.2Gi", "90m"]
    head, line = control_plane.kubectl("get", "s3s", "-n", namespace, "-o", "wide").stdout.splitlines()
    assert head.split()[-2:] == ["BUCKET", "IMAGE"]
    assert line.split()[-2:] == ["the-output-bucket", "registry.example/ingester:1"]


def test_a_new_sinks_columns_are_empty(control_plane: ControlPlane, namespace: str) -> None:
    apply_story(control_plane, namespace)
    _, line = control_plane.kubectl("get", "s3s", "-n", namespace).stdout.splitlines()
    assert line.split()[:-1] == ["events", "3"]


def test_the_status_is_kept_whole(control_plane: ControlPlane, namespace: str) -> None:
    """Nothing of it is pruned or refused, and a write of it changes nothing else."""
    apply_story(control_plane, namespace)
    written = control_plane.api.patch(
        SINKS, namespace, "events", {"status": status(), "spec": {"replicas": 9}}, subresource="status"
    )
    assert written["status"] == status(buffer=written["status"]["buffer"])
    assert written["spec"]["replicas"] == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"volumes": [{"ordinal": 0, "pvc": "a", "phase": "Gone"}]},
        {"volumes": [{"ordinal": 0, "pvc": "a", "phase": "Active"}] * 2},
        {"conditions": [{"type": "Ready", "status": "Maybe", "reason": "No", "message": "", **CONDITION}]},
        {
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "two words", "message": "", **CONDITION}
            ]
        },
        {"buffer": {"oldestRecordTime": "yesterday"}},
    ],
    ids=["phase", "two of an ordinal", "condition's status", "reason", "time"],
)
def test_a_status_that_is_wrong_is_refused(
    control_plane: ControlPlane, namespace: str, wrong: dict[str, Any]
) -> None:
    apply_story(control_plane, namespace)
    with pytest.raises(ApiError) as caught:
        control_plane.api.patch(SINKS, namespace, "events", {"status": status(**wrong)}, subresource="status")
    assert caught.value.status == 422


def test_every_group_is_explained(control_plane: ControlPlane) -> None:
    # What is explained is published a little after the kind is served.
    said = wait_for(
        lambda: control_plane.kubectl("explain", "s3sink.spec.buffer.whenDeleted", check=False).stdout,
        "explanation",
    )
    assert said.split("ENUM:")[1].split()[:4] == [
        "DrainThenDelete",
        "DrainThenRetain",
        "Retain",
        "DiscardData",
    ]
    assert "What becomes of the volumes when the S3Sink is deleted" in said
    whole = control_plane.kubectl("explain", "s3sink", "--recursive").stdout
    assert "targetCPUUtilizationPercentage" in whole
    assert "topologySpreadConstraints" in whole


def test_scale(control_plane: ControlPlane, namespace: str) -> None:
    apply_story(control_plane, namespace)
    control_plane.api.patch(SINKS, namespace, "events", {"status": status()}, subresource="status")
    control_plane.kubectl("scale", "s3sink/events", "-n", namespace, "--replicas=5", "--current-replicas=3")
    scale = control_plane.api.request("GET", SINKS.path(namespace, "events", "scale"))
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 3, "selector": "s3sink.dev/sink=events"}


def test_scale_beyond_what_autoscaling_may(control_plane: ControlPlane, namespace: str) -> None:
    sample = kubetools.ROOT / "docs" / "samples" / "autoscaled.yaml"
    control_plane.kubectl("apply", "-n", namespace, "-f", str(sample))
    scale = ("scale", "s3sink/bursts", "-n", namespace)
    refused = control_plane.kubectl(*scale, "--replicas=11", check=False)
    assert "more than autoscaling.maxReplicas; take replicas out" in refused.stderr
    control_plane.kubectl(*scale, "--replicas=10")
    control_plane.kubectl(*scale, "--replicas=0")


def test_two_appliers_share_lists(control_plane: ControlPlane, namespace: str) -> None:
    """A variable that another applier adds stays when the first one applies again."""
    apply_story(control_plane, namespace)
    for manager in ("platform", "team", "platform"):
        env = [{"name": manager.upper(), "value": "1"}]
        patch = {
            "apiVersion": SINKS.api_version,
            "kind": SINKS.kind,
            "metadata": {"name": "events", "namespace": namespace},
            "spec": {"podTemplate": {"env": env}},
        }
        made = control_plane.api.apply(SINKS, patch, manager)
    assert [entry["name"] for entry in made["spec"]["podTemplate"]["env"]] == ["PLATFORM", "TEAM"]


def test_the_crd_has_no_warnings(control_plane: ControlPlane) -> None:
    crd = str(kubetools.ROOT / "crds" / "s3sinks.s3sink.dev.yaml")
    applied = control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", crd)
    assert "Warning" not in applied.stderr
    conditions = json.loads(control_plane.kubectl("get", "crd", "s3sinks.s3sink.dev", "-o", "json").stdout)[
        "status"
    ]
    assert not [one for one in conditions["conditions"] if one["type"] == "NonStructuralSchema"]
