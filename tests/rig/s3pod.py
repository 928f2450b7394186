"""An S3 server as a pod of any cluster, with a volume: it may go away and come back with all that it had."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Final, cast

from tests.rig.agents import NAMESPACE
from tests.rig.kubeapi import SECRETS, SERVICES, STATEFUL_SETS, Object, wait_for
from tests.rig.s3servers import CREDENTIALS, REGION, S3Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.rig.anycluster import AnyCluster
    from tests.rig.processes import Process

PORT: Final = 7070
_NAME: Final = "s3"


class S3Pod:
    """versitygw behind a Service. ``server`` is what sinks and readers need."""

    def __init__(self, cluster: AnyCluster, image: str, python: str) -> None:
        """Start it. ``python``: an image with Python, the ingester's."""
        self._cluster = cluster
        self._forward = cluster.forward(NAMESPACE, f"service/{_NAME}", PORT)
        api = cluster.api
        for kind, manifest in (
            (SECRETS, _secret()),
            (SERVICES, _service()),
            (STATEFUL_SETS, _stateful_set(image, python)),
        ):
            api.apply(kind, manifest, "tests")
        found = api.get(SERVICES, NAMESPACE, _NAME)
        assert found is not None
        self._address: str = found["spec"]["clusterIP"]
        self._wait(1)
        self._is_direct = _connects(self._address, PORT)
        if not self._is_direct:
            self._forward.restart()
        self.server = _Server(f"http://{_host(self._address)}:{PORT}", self._reached_at())

    def away(self) -> None:
        """It ends; connections are refused from now on."""
        self._scale(0)
        self._wait(0)

    def back(self) -> None:
        """It is there again."""
        self._scale(1)
        self._wait(1)
        if not self._is_direct:
            self._forward.restart()

    def stop(self) -> None:
        """End the way to it; the pod goes with its namespace."""
        self._forward.stop()

    def _reached_at(self) -> str:
        return (
            f"http://{_host(self._address)}:{PORT}"
            if self._is_direct
            else f"http://127.0.0.1:{self._forward.local_port}"
        )

    def _scale(self, replicas: int) -> None:
        self._cluster.api.patch(STATEFUL_SETS, NAMESPACE, _NAME, {"spec": {"replicas": replicas}})

    def _wait(self, replicas: int) -> None:
        def look() -> bool:
            status = (self._cluster.api.get(STATEFUL_SETS, NAMESPACE, _NAME) or {}).get("status", {})
            return bool(status.get("replicas", 0) == status.get("readyReplicas", 0) == replicas)

        wait_for(
            look,
            f"{replicas} S3 servers",
            180.0,
            why=lambda: self._cluster.kubectl("-n", NAMESPACE, "describe", "pods,pvc").stdout,
        )


class _Server(S3Server):
    """``endpoint``: for pods. Clients of the tests may have another way."""

    def __init__(self, endpoint: str, reached_at: str) -> None:
        # It is no process of the tests.
        super().__init__("versitygw", endpoint, cast("Process", None))
        object.__setattr__(self, "_near", S3Server("versitygw", reached_at, self.process))

    def client(self) -> S3Client:
        near: S3Server = self.__dict__["_near"]
        return near.client()


def given_server() -> tuple[S3Server, dict[str, str]] | None:
    """The one that ``S3_ENDPOINT`` names, if it does, and its credentials, from ``AWS_*``."""
    endpoint = os.environ.get("S3_ENDPOINT")
    if not endpoint:
        return None
    return S3Server("given", endpoint, cast("Process", None)), {
        name: os.environ[name] for name in CREDENTIALS
    }


def _connects(host: str, port: int, tries: int = 5) -> bool:
    """Whether this machine is in the cluster's network. A node learns of a Service a moment after it is made."""
    for _ in range(tries):
        try:
            socket.create_connection((host, port), timeout=2.0).close()
        except OSError:
            time.sleep(1.0)
        else:
            return True
    return False


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _secret() -> Object:
    data = {
        "ROOT_ACCESS_KEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "ROOT_SECRET_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }
    return {"apiVersion": "v1", "kind": "Secret", "metadata": _meta(), "stringData": data}


def _service() -> Object:
    spec = {"selector": {"app": _NAME}, "ports": [{"port": PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(), "spec": spec}


def _stateful_set(image: str, python: str) -> Object:
    volume = [{"name": "data", "mountPath": "/data"}]
    make_folders = "import os; [os.makedirs(f'/data/{n}', exist_ok=True) for n in ('s3', 'metadata')]"
    pod = {
        # Not 0: then the pod would be gone for the API server before its process is, which would serve on for a moment.
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532},
        "initContainers": [
            {
                "name": "folders",
                "image": python,
                "command": ["python3", "-c", make_folders],
                "volumeMounts": volume,
            }
        ],
        "containers": [
            {
                "name": "versitygw",
                "image": image,
                "command": [
                    *("versitygw", "--port", f":{PORT}", "--quiet", "--region", REGION),
                    *("posix", "--sidecar", "/data/metadata", "/data/s3"),
                ],
                "envFrom": [{"secretRef": {"name": _NAME}}],
                "volumeMounts": volume,
                "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
            }
        ],
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _meta(),
        "spec": {
            "serviceName": _NAME,
            "selector": {"matchLabels": {"app": _NAME}},
            "template": {"metadata": {"labels": {"app": _NAME}}, "spec": pod},
            "volumeClaimTemplates": [claim],
        },
    }


def _meta() -> Object:
    return {"namespace": NAMESPACE, "name": _NAME}
