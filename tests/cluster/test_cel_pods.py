"""What an S3Sink takes of a pod's spec is what Kubernetes takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from s3sink_operator.crd.cut_pod_schemas import KINDS, cut
from s3sink_operator.crd.pod_schemas import pod_schema

from tests.cluster.cel_cases import Case
from tests.cluster.cel_table import answer
from tests.rig import kubetools

if TYPE_CHECKING:
    from tests.rig.controlplane import ControlPlane

PARTS: dict[str, Any] = {
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["a"]}]}
                ]
            }
        },
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 10,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {"s3sink.dev/sink": "events"}},
                    },
                }
            ]
        },
    },
    "tolerations": [{"key": "spot", "operator": "Exists"}, {"effect": "NoExecute", "tolerationSeconds": 5}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2}
    ],
    "resources": {"requests": {"cpu": "500m", "memory": 2**28}, "limits": {"ephemeral-storage": "1e9"}},
    "env": [
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "D", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ],
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
}


def test_the_schemas_are_those_of_this_kubernetes(control_plane: ControlPlane) -> None:
    """To renew them: see ``cut_pod_schemas``. Then the CRD."""
    openapi = control_plane.api.request("GET", "/openapi/v3/api/v1")
    assert cut(openapi) == {kind: pod_schema(kind) for kind in KINDS}


@pytest.mark.parametrize("part", PARTS)
def test_what_pods_have_is_taken(control_plane: ControlPlane, part: str) -> None:
    assert answer(control_plane, Case("", {f"spec.podTemplate.{part}": PARTS[part]})) == ""


def test_the_crd_can_be_applied_by_the_client(control_plane: ControlPlane) -> None:
    """``kubectl apply`` without ``--server-side`` keeps the whole of it in an annotation of bounded size."""
    crd = kubetools.ROOT / "crds" / "s3sinks.s3sink.dev.yaml"
    large = crd.read_text().replace("description: Size of each volume.", f"description: {'x' * 250_000}")
    for manifest, is_taken in ((crd.read_text(), True), (large, False)):
        said = control_plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest, check=False)
        assert (said.returncode == 0) is is_taken, said.stderr
