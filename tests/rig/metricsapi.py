"""A metrics API (metrics.k8s.io) with made-up figures, aggregated by the API server, as that of metrics-server is."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.rig.controlplane import ControlPlane
from tests.rig.hollow.status import now
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
    metrics = Metrics(plane)
    server = _serve(plane, metrics)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": _NAMESPACE, "name": _NAME},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    registration = {
        "apiVersion": API_SERVICES.api_version,
        "kind": API_SERVICES.kind,
        "metadata": {"name": f"v1beta1.{_GROUP}"},
        "spec": {
            "group": _GROUP,
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"namespace": _NAMESPACE, "name": _NAME, "port": server.server_port},
        },
    }
    api = plane.api
    try:
        api.apply(_SERVICES, service, "tests")
        api.apply(API_SERVICES, registration, "tests")

        def available() -> bool:
            found = api.get(API_SERVICES, "", f"v1beta1.{_GROUP}")
            return condition(found, "Available").get("status") == "True"

        wait_for(available, "metrics API", why=lambda: api.get(API_SERVICES, "", f"v1beta1.{_GROUP}"))
        yield metrics
    finally:
        api.delete(API_SERVICES, "", f"v1beta1.{_GROUP}")
        api.delete(_SERVICES, _NAMESPACE, _NAME)
        server.shutdown()
        server.server_close()


def _serve(plane: ControlPlane, metrics: Metrics) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            parts = url.path.strip("/").split("/")
            if parts[-1] == "pods" and "namespaces" in parts:
                selector = parse_qs(url.query).get("labelSelector", [""])[0]
                self._answer(metrics.pods(parts[-2], selector))
            else:
                self._answer(_DISCOVERY)

        def _answer(self, document: Object) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    certificate = plane.issue("metrics-server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


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
