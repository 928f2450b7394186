"""A hollow kubelet: nodes that run the pods of the real scheduler as processes of this machine.

So a control plane on loopback really takes records and uploads them. What differs from a real kubelet stands at the
head of the modules in ``tests.rig.hollow``. Besides: it has the rights of an administrator, and no server of its own
(``kubectl logs`` and ``exec`` find nobody).
"""

from __future__ import annotations

import random
import socket
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final, Self

from tests.rig.controlplane import ControlPlane
from tests.rig.hollow.pod import HollowPod
from tests.rig.hollow.status import now
from tests.rig.hollow.volumes import Provisioner, storage_classes
from tests.rig.kubeapi import LEASES, NODES, PODS, STORAGE_CLASSES, Api, ApiError, Object
from tests.rig.processes import ProcessError

if TYPE_CHECKING:
    from types import TracebackType

_MANAGER: Final = "hollow-kubelet"
_HEARTBEAT_SECONDS: Final = 10.0
_PORTS: Final = (8888, 8889)
"""What pods listen on: an address is free if these are."""
_CAPACITY: Final = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti"}


class Kubelet:
    """Nodes ``hollow-0``, ``hollow-1``, ... and a provisioner of volumes, until ``stop``."""

    def __init__(self, plane: ControlPlane, nodes: int = 2) -> None:
        self._plane = plane
        self._directory = plane.directory / "nodes"
        self._names = [f"hollow-{number}" for number in range(nodes)]
        self._stopping = Event()
        self._lock = Lock()
        self._pods: dict[str, HollowPod] = {}
        self._addresses: set[str] = set()
        self.failures: list[str] = []
        """What should not have happened in its threads; tests fail for them."""
        for manifest in storage_classes():
            self.api.apply(STORAGE_CLASSES, manifest, _MANAGER)
        for name in self._names:
            self._register(name)
        provisioner = Provisioner(self.api, plane.directory / "volumes", self._stopping)
        work = (self._heartbeats, self._follow_pods, provisioner.follow_claims, provisioner.follow_volumes)
        self._threads = [Thread(target=self.guarded, args=(one,), daemon=True) for one in work]
        for thread in self._threads:
            thread.start()

    # ---- what tests ask

    def pod(self, namespace: str, name: str) -> HollowPod:
        """The pod of that name that runs now. Raises ProcessError if there is none."""
        with self._lock:
            for pod in self._pods.values():
                if pod.name == f"{namespace}/{name}" and pod.is_alive():
                    return pod
        raise ProcessError(f"no pod {namespace}/{name} is here")

    def volume(self, name: str) -> Path:
        """The folder of a PersistentVolume."""
        return self._plane.directory / "volumes" / name

    def logs(self, namespace: str, name: str) -> str:
        """What all pods of that name have printed."""
        found = sorted(
            self._directory.glob(f"{namespace}_{name}_*/log"), key=lambda path: path.stat().st_mtime
        )
        return "\n".join(path.read_text(errors="replace") for path in found)

    # ---- what pods ask

    @property
    def access(self) -> Self:
        """See ``hollow.container.Access``."""
        return self

    @property
    def api(self) -> Api:
        """A client with the rights of an administrator."""
        return self._plane.api

    def kubeconfig_of(self, pod: Object) -> str:
        """See ``hollow.container.Access``."""
        meta = pod["metadata"]
        account = pod["spec"].get("serviceAccountName", "default")
        bound = {"kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        token = self._plane.token_for(meta["namespace"], account, **bound)
        return self._plane.kubeconfig_text(token, meta["namespace"])

    def address(self) -> str:
        """A loopback address that nobody else uses, also no other rig on this machine."""
        with self._lock:
            while True:
                numbers = (random.randrange(1, 255) for _ in range(3))
                address = ".".join(map(str, (127, *numbers)))
                if address not in self._addresses and all(_free(address, port) for port in _PORTS):
                    self._addresses.add(address)
                    return address

    def guarded(self, work: Callable[[], None]) -> None:
        """Run it; what it raises goes to ``failures``."""
        try:
            work()
        except Exception:  # noqa: BLE001  # whatever it is, a test has to show it
            self.failures.append(traceback.format_exc())

    # ---- life

    def stop(self) -> None:
        """End all pods, as a power cut does."""
        self._stopping.set()
        with self._lock:
            pods = list(self._pods.values())
        for pod in pods:
            pod.kill()
        for pod in pods:
            pod.join(10.0)

    def _register(self, name: str) -> None:
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": name,
        }
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        self.api.apply(NODES, node, _MANAGER)
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "hollow"}
        status = {
            "capacity": _CAPACITY,
            "allocatable": _CAPACITY,
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "conditions": [{**ready, "lastHeartbeatTime": now(), "lastTransitionTime": now()}],
        }
        self.api.patch(NODES, "", name, {"status": status}, subresource="status")

    def _heartbeats(self) -> None:
        while not self._stopping.wait(0 if not self._beaten() else _HEARTBEAT_SECONDS):
            pass

    def _beaten(self) -> bool:
        for name in self._names:
            renewed = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            lease = {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": {"namespace": "kube-node-lease", "name": name},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed},
            }
            try:
                self.api.apply(LEASES, lease, _MANAGER)
            except ApiError:
                return not self._stopping.wait(0.5)
        return True

    def _follow_pods(self) -> None:
        for change, found in self.api.watch(PODS, self._stopping):
            if change == "ALL":
                here = {pod["metadata"]["uid"] for pod in found}
                for uid in set(self._pods) - here:
                    self._forget(uid)
            for pod in found if change == "ALL" else [found]:
                if pod["spec"].get("nodeName") not in self._names:
                    continue
                if change == "DELETED":
                    self._forget(pod["metadata"]["uid"])
                else:
                    self._see(pod)

    def _see(self, pod: Object) -> None:
        meta = pod["metadata"]
        known = self._pods.get(meta["uid"])
        if known is not None:
            known.update(pod)
        elif pod["status"].get("phase") not in ("Succeeded", "Failed"):
            folder = self._directory / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
            started = HollowPod(pod, folder, self)
            with self._lock:
                self._pods[meta["uid"]] = started
            started.start()

    def _forget(self, uid: str) -> None:
        with self._lock:
            pod = self._pods.pop(uid, None)
        if pod is not None:
            pod.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _free(address: str, port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError:
            return False
    return True
