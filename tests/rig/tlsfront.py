"""HTTPS in front of the S3 server of a cluster, with a certificate of an authority that nobody knows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tests.rig.agents import NAMESPACE
from tests.rig.kubeapi import CONFIG_MAPS, PODS, SECRETS, SERVICES, condition, wait_for
from tests.rig.kubetools import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.anycluster import AnyCluster
    from tests.rig.certificates import Authority, Certificate
    from tests.rig.kubeapi import Object

PORT: Final = 7443
_NAME: Final = "s3-tls"
_MOUNT: Final = "/front"


@contextmanager
def front(cluster: AnyCluster, image: str, authority: Authority, endpoint: str) -> Iterator[str]:
    """Gives the URL for pods. ``image``: any with Python, the ingester's. ``endpoint``: of the server behind it."""
    api = cluster.api
    service = {"spec": {"selector": {"app": _NAME}, "ports": [{"port": PORT}]}}
    api.apply(SERVICES, _object("v1", "Service", service), "tests")
    found = api.get(SERVICES, NAMESPACE, _NAME)
    assert found is not None
    address: str = found["spec"]["clusterIP"]
    host = f"[{address}]" if ":" in address else address
    certificate = authority.issue(_NAME, addresses=[address])
    script = {"data": {"tls_front.py": (ROOT / "tests" / "e2e" / "tls_front.py").read_text()}}
    api.apply(CONFIG_MAPS, _object("v1", "ConfigMap", script), "tests")
    api.apply(SECRETS, _object("v1", "Secret", tls_secret(certificate)), "tests")
    api.create(PODS, _object("v1", "Pod", {"spec": _pod(image, endpoint)}, app=_NAME))
    try:
        wait_for(
            lambda: condition(api.get(PODS, NAMESPACE, _NAME), "Ready").get("status") == "True",
            _NAME,
            why=lambda: cluster.kubectl("-n", NAMESPACE, "describe", "pod", _NAME, check=False).stdout,
        )
        yield f"https://{host}:{PORT}"
    finally:
        api.delete(PODS, NAMESPACE, _NAME, grace_seconds=0)


def tls_secret(certificate: Certificate) -> Object:
    """What a Secret of this type holds."""
    data = {"tls.crt": certificate.certificate.read_text(), "tls.key": certificate.key.read_text()}
    return {"type": "kubernetes.io/tls", "stringData": data}


def _pod(image: str, endpoint: str) -> Object:
    behind = urlsplit(endpoint)
    command = [f"{_MOUNT}/script/tls_front.py", str(PORT), behind.hostname, str(behind.port)]
    return {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "front",
                "image": image,
                "command": ["python3", *command, f"{_MOUNT}/tls/tls.crt", f"{_MOUNT}/tls/tls.key"],
                "volumeMounts": [{"name": one, "mountPath": f"{_MOUNT}/{one}"} for one in ("script", "tls")],
                "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
            }
        ],
        "volumes": [
            {"name": "script", "configMap": {"name": _NAME}},
            {"name": "tls", "secret": {"secretName": _NAME}},
        ],
    }


def _object(api_version: str, kind: str, fields: Object, **labels: str) -> Object:
    meta = {"namespace": NAMESPACE, "name": _NAME, "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **fields}
