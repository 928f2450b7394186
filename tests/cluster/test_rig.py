"""The rig itself: what the tests of this tier take for granted of the control plane and of the hollow nodes."""

from __future__ import annotations

import base64
import urllib.request
from typing import TYPE_CHECKING, Any

import yaml

from tests.rig.hollow.container import BROKEN_IMAGE
from tests.rig.kubeapi import (
    CLAIMS,
    CONFIG_MAPS,
    JOBS,
    PODS,
    SECRETS,
    STATEFUL_SETS,
    VOLUMES,
    Kind,
    Object,
    condition,
    wait_for,
)

if TYPE_CHECKING:
    from tests.rig.controlplane import ControlPlane
    from tests.rig.kubelet import Kubelet

SETTINGS = {
    "destination": {"path": "/bucket"},
    "partitioning": {"regex": r"^(?P<path>\S+) (?P<content>.+)$"},
    "buffer": {"path": "/var/lib/s3sink", "size": "1Gi"},
}


def by_hand(namespace: str, **container: Any) -> Object:
    """A StatefulSet of one ingester, written without the operator."""
    probe = {"httpGet": {"path": "/readyz", "port": "admin"}, "periodSeconds": 2}
    ingester = {
        "name": "ingester",
        "image": "registry.example/s3sink-ingester:1",
        "command": ["s3sink-ingester", "serve", "--config", "/etc/s3sink/settings.yaml"],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
        ],
        "ports": [{"name": "http", "containerPort": 8888}, {"name": "admin", "containerPort": 8889}],
        "startupProbe": {**probe, "failureThreshold": 100},
        "readinessProbe": probe,
        "livenessProbe": {"httpGet": {"path": "/livez", "port": 8889}},
        "volumeMounts": [
            {"name": "buffer", "mountPath": "/var/lib/s3sink"},
            {"name": "bucket", "mountPath": "/bucket"},
            {"name": "settings", "mountPath": "/etc/s3sink"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **container,
    }
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"namespace": namespace, "name": "hand"},
        "spec": {
            "serviceName": "hand",
            "selector": {"matchLabels": {"app": "hand"}},
            "template": {
                "metadata": {"labels": {"app": "hand"}},
                "spec": {
                    "containers": [ingester],
                    "automountServiceAccountToken": False,
                    "volumes": [
                        {"name": "settings", "configMap": {"name": "hand"}},
                        {"name": "bucket", "emptyDir": {}},
                    ],
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "buffer"}, "spec": claim}],
        },
    }


def make(plane: ControlPlane, kind: Kind, namespace: str, name: str, **fields: Any) -> Object:
    """Create an object of few fields."""
    return plane.api.create(kind, {"metadata": {"namespace": namespace, "name": name}, **fields})


def settings_map(plane: ControlPlane, namespace: str) -> None:
    make(plane, CONFIG_MAPS, namespace, "hand", data={"settings.yaml": yaml.safe_dump(SETTINGS)})


def waiting_reason(plane: ControlPlane, namespace: str, name: str = "hand-0") -> str:
    pod = plane.api.get(PODS, namespace, name)
    statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
    return str(statuses[0]["state"].get("waiting", {}).get("reason", "")) if statuses else ""


def is_ready(plane: ControlPlane, namespace: str, name: str = "hand-0") -> Object | None:
    pod = plane.api.get(PODS, namespace, name)
    return pod if condition(pod, "Ready").get("status") == "True" else None


def test_a_pod_waits_for_what_it_needs_then_takes_records(
    control_plane: ControlPlane, kubelet: Kubelet, namespace: str
) -> None:
    api = control_plane.api
    api.create(STATEFUL_SETS, by_hand(namespace))
    wait_for(lambda: waiting_reason(control_plane, namespace) == "ContainerCreating", "pod without settings")
    settings_map(control_plane, namespace)
    wait_for(
        lambda: waiting_reason(control_plane, namespace) == "CreateContainerConfigError",
        "pod without its Secret",
    )
    make(control_plane, SECRETS, namespace, "keys", data={"key": base64.b64encode(b"k").decode()})
    pod = wait_for(
        lambda: is_ready(control_plane, namespace),
        "ready pod",
        why=lambda: kubelet.logs(namespace, "hand-0") + str(api.get(PODS, namespace, "hand-0")),
    )

    url = f"http://{pod['status']['podIP']}:8888/ingest"
    with urllib.request.urlopen(url, data=b"customer-1 hello", timeout=10) as answer:
        assert answer.status == 200

    # A crash is seen and made good, on the same volume.
    kubelet.pod(namespace, "hand-0").crash()
    restarted = wait_for(
        lambda: (
            (one := is_ready(control_plane, namespace))
            and one["status"]["containerStatuses"][0]["restartCount"] == 1
            and one
        ),
        "restarted pod",
    )
    assert restarted["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
    claim = api.get(CLAIMS, namespace, "buffer-hand-0")
    assert claim is not None
    folder = kubelet.volume(claim["spec"]["volumeName"])
    assert any(folder.iterdir()), "records are on the claim's volume"

    # Deleted in order: the pod goes when its process is gone; a volume goes with its claim.
    api.patch(STATEFUL_SETS, namespace, "hand", {"spec": {"replicas": 0}})
    wait_for(lambda: api.get(PODS, namespace, "hand-0") is None, "end of the pod")
    assert "SIGTERM: sealing and uploading" in kubelet.logs(namespace, "hand-0")
    api.delete(CLAIMS, namespace, "buffer-hand-0")
    wait_for(lambda: api.get(VOLUMES, "", claim["spec"]["volumeName"]) is None, "end of the volume")
    assert not folder.exists()


def test_a_broken_image_and_a_crash_are_told(
    control_plane: ControlPlane, kubelet: Kubelet, namespace: str
) -> None:
    api = control_plane.api
    settings_map(control_plane, namespace)
    make(control_plane, SECRETS, namespace, "keys", data={"key": base64.b64encode(b"k").decode()})
    api.create(STATEFUL_SETS, by_hand(namespace, image=f"registry.example/{BROKEN_IMAGE}:1"))
    wait_for(lambda: waiting_reason(control_plane, namespace) == "ImagePullBackOff", "broken image")
    api.delete(PODS, namespace, "hand-0")
    api.patch(
        STATEFUL_SETS,
        namespace,
        "hand",
        [
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "s3sink-ingester:2"},
            {"op": "replace", "path": "/spec/template/spec/containers/0/command/3", "value": "/nowhere"},
        ],
        content_type="application/json-patch+json",
    )
    wait_for(
        lambda: waiting_reason(control_plane, namespace) == "CrashLoopBackOff",
        "crash loop",
        why=lambda: api.get(PODS, namespace, "hand-0"),
    )


def test_a_job_runs_to_its_end(control_plane: ControlPlane, kubelet: Kubelet, namespace: str) -> None:
    settings_map(control_plane, namespace)
    template = by_hand(namespace)["spec"]["template"]["spec"]
    container = {
        **template["containers"][0],
        "env": [],
        "args": ["drain", "--config", "/etc/s3sink/settings.yaml"],
    }
    del container["command"]
    volumes = [*template["volumes"], {"name": "buffer", "emptyDir": {}}]
    pod = {**template, "containers": [container], "restartPolicy": "Never", "volumes": volumes}
    make(control_plane, JOBS, namespace, "drain", spec={"template": {"spec": pod}})
    wait_for(
        lambda: (
            condition(control_plane.api.get(JOBS, namespace, "drain"), "Complete").get("status") == "True"
        ),
        "end of the Job",
        why=lambda: control_plane.kubectl("-n", namespace, "describe", "pods").stdout,
    )


def test_a_claim_grows_where_its_class_allows_it(
    control_plane: ControlPlane, kubelet: Kubelet, namespace: str
) -> None:
    api = control_plane.api
    settings_map(control_plane, namespace)
    make(control_plane, SECRETS, namespace, "keys", data={"key": base64.b64encode(b"k").decode()})
    api.create(STATEFUL_SETS, by_hand(namespace))
    wait_for(lambda: is_ready(control_plane, namespace), "ready pod")
    larger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    api.patch(CLAIMS, namespace, "buffer-hand-0", larger)
    wait_for(
        lambda: (api.get(CLAIMS, namespace, "buffer-hand-0") or {})["status"]["capacity"]["storage"] == "2Gi",
        "larger volume",
        why=lambda: control_plane.kubectl("-n", namespace, "describe", "pvc").stdout,
    )


def test_records_and_rights_outlive_the_api_server(control_plane: ControlPlane, namespace: str) -> None:
    settings_map(control_plane, namespace)
    limited = control_plane.kubeconfig_for(namespace, "default")
    control_plane.restart_apiserver()
    assert control_plane.api.get(CONFIG_MAPS, namespace, "hand")
    refused = control_plane.kubectl("--kubeconfig", str(limited), "get", "pods", check=False)
    assert "forbidden" in refused.stderr
