"""A metrics API (metrics.k8s.io) with made-up figures, aggregated by the API server, as that of metrics-server is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qs, urlsplit

from tests.rig.controlplane import ControlPlane
from tests.rig.hollow.status import now
from tests.rig.jsonserver import Reply, serving
from tests.rig.kubeapi import PODS, Kind, Object, condition, wait_for

API_SERVICES: Final = Kind("apiregistration.k8s.io/v1", "APIService", "apiservices", namespaced=False)
_SERVICES: Final = Kind("v1", "Service", "services")
_GROUP: Final = "metrics.k8s.io"
_VERSION: Final = f"{_GROUP}/v1beta1"
_NAME: Final = "metrics-server"
_NAMESPACE: Final = "kube-system"


class Metrics:
    """What is said of all pods of a namespace."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._usage: dict[str, list[Object]] = {}

    def set(self, namespace: str, container: str, **usage: str) -> None:
        """Each pod's container uses so much from now on, such as ``cpu="50m"``."""
        self._usage[namespace] = [{"name": container, "usage": {"memory": "64Mi", **usage}}]

    def pods(self, namespace: str, selector: str) -> Object:
        """A PodMetricsList."""
        found = self._plane.api.select(PODS, namespace, selector)
        items = [
            {
                "metadata": {key: pod["metadata"].get(key) for key in ("name", "namespace", "labels")},
                "timestamp": now(),
                "window": "10s",
                "containers": self._usage.get(namespace, []),
            }
            for pod in found
        ]
        return {"kind": "PodMetricsList", "apiVersion": _VERSION, "metadata": {}, "items": items}


@contextmanager
def metrics_api(plane: ControlPlane) -> Iterator[Metrics]:
    """Serve it; returns when the API server passes requests on to it."""
    metrics, api = Metrics(plane), plane.api
    registration = f"v1beta1.{_GROUP}"

    def available() -> bool:
        found = api.get(API_SERVICES, "", registration)
        return condition(found, "Available").get("status") == "True"

    with serving(plane.issue("metrics-server"), _reply(metrics)) as port:
        try:
            api.apply(_SERVICES, _service(), "tests")
            api.apply(API_SERVICES, _registration(registration, port), "tests")
            wait_for(available, "metrics API", why=lambda: api.get(API_SERVICES, "", registration))
            yield metrics
        finally:
            api.delete(API_SERVICES, "", registration)
            api.delete(_SERVICES, _NAMESPACE, _NAME)


def _service() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": _NAMESPACE, "name": _NAME},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }


def _registration(name: str, port: int) -> Object:
    return {
        "apiVersion": API_SERVICES.api_version,
        "kind": API_SERVICES.kind,
        "metadata": {"name": name},
        "spec": {
            "group": _GROUP,
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": _NAMESPACE, "name": _NAME, "port": port},
        },
    }


def _reply(metrics: Metrics) -> Reply:
    def reply(path: str, body: bytes) -> Object:
        url = urlsplit(path)
        parts = url.path.strip("/").split("/")
        if parts[-1] != "pods" or "namespaces" not in parts:
            return _DISCOVERY
        return metrics.pods(parts[-2], parse_qs(url.query).get("labelSelector", [""])[0])

    return reply


_DISCOVERY: Final[Object] = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": _VERSION,
    "resources": [
        {
            "name": "pods",
            "singularName": "",
            "namespaced": True,
            "kind": "PodMetrics",
            "verbs": ["get", "list"],
        }
    ],
}
