"""A Kubernetes control plane on loopback: real etcd, API server, controller manager and scheduler, without machines.

Authentication, RBAC, admission, garbage collection, the StatefulSet, Job, volume and autoscaling controllers are those
of a release build. What isn't there: kubelets (see ``tests.rig.kubelet``) and networks: nobody answers at a Service's
address.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import yaml

from tests.rig import certificates, kubetools
from tests.rig.kubeapi import ACCOUNTS, CRDS, Api, ApiError, condition, wait_for
from tests.rig.processes import Process, ProcessError, free_port, listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

_TRIES: Final = 4
"""Ports are chosen before they are bound, so somebody else may be faster."""
_START_SECONDS: Final = 120.0
_SERVICE_ADDRESS: Final = "10.96.0.1"
"""Of the Service ``kubernetes``: the first of the range."""
_ISSUER: Final = "https://kubernetes.default.svc"


@dataclass(frozen=True)
class Network:
    """Where the servers are reached, and whether pods are as well."""

    address: str = "127.0.0.1"
    pods: bool = False
    """Whether pods have addresses that a Service can send to."""
    lost_after: str = "2m"
    """When a node that says nothing is taken for a lost one. It may say nothing because the machine is busy."""
    evicted_after: int = 300
    """Seconds until the pods of a lost node are deleted."""


LOOPBACK: Final = Network()

_CONTROLLER_FLAGS: Final = (
    "--leader-elect=false",
    "--secure-port=0",
    "--kube-api-qps=500",
    "--kube-api-burst=1000",
    "--pvclaimbinder-sync-period=1s",
    "--horizontal-pod-autoscaler-sync-period=1s",
    "--horizontal-pod-autoscaler-downscale-stabilization=1s",
    "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
    "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
)
# Pods on loopback have addresses that the API server refuses as endpoints.
_NO_ENDPOINTS: Final = (
    "--controllers=*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller"
)


class ControlPlane:
    """A running one. ``url`` and ``ca`` are what a client needs; ``kubeconfig`` has the rights of an administrator."""

    def __init__(self, directory: Path, network: Network = LOOPBACK) -> None:
        """Start it, all files in ``directory``. Raises ProcessError with the end of a log."""
        self.directory = directory
        self._network = network
        self._token = secrets.token_hex(16)
        self._authority = certificates.Authority(directory)
        self._serving = self._authority.issue(
            "kube-apiserver", "kubernetes.default.svc", addresses=[network.address, _SERVICE_ADDRESS]
        )
        self._front = self._authority.issue("front-proxy")
        self._signing = directory / "service-accounts.key"
        certificates.signing_key(self._signing)
        (directory / "tokens.csv").write_text(f"{self._token},admin,admin,system:masters\n")
        self.ca = self._authority.path
        self.kubeconfig = directory / "kubeconfig"
        self.api = Api("", self.ca, self._token)
        """A client with the rights of an administrator."""
        self._etcd_url = self.url = ""
        self._port = 0
        self._children: dict[str, Process] = {}
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    # ---- clients

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator. With ``check``, raises AssertionError with what it said."""
        done = subprocess.run(
            [kubetools.find("kubectl"), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.directory)},
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done

    def kubeconfig_for(self, namespace: str, account: str) -> Path:
        """A kubeconfig with the rights of a service account, which has to be there: a token from the API server."""
        token = self.token_for(namespace, account)
        path = self.directory / f"kubeconfig-{namespace}-{account}"
        path.write_text(self.kubeconfig_text(token, namespace))
        return path

    def token_for(self, namespace: str, account: str, **bound_to: str) -> str:
        """A token of a service account, valid for an hour; ``bound_to``: kind, name and uid of a pod."""
        spec: dict[str, Any] = {"expirationSeconds": 3600}
        if bound_to:
            spec["boundObjectRef"] = {"apiVersion": "v1", **bound_to}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"namespace": namespace, "name": account},
            "spec": spec,
        }
        token: str = self.api.create(ACCOUNTS, request, "token")["status"]["token"]
        return token

    def issue(self, name: str) -> certificates.Certificate:
        """A certificate for a server on loopback, which clients of the API server trust."""
        return self._authority.issue(name)

    def kubeconfig_text(self, token: str, namespace: str = "default") -> str:
        """A kubeconfig for a token."""
        cluster = {"server": self.url, "certificate-authority": str(self.ca)}
        context = {"cluster": "rig", "user": "rig", "namespace": namespace}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "rig", "cluster": cluster}],
                "users": [{"name": "rig", "user": {"token": token}}],
                "contexts": [{"name": "rig", "context": context}],
                "current-context": "rig",
            }
        )

    # ---- life

    def restart_apiserver(self, while_away: Callable[[], None] = lambda: None) -> None:
        """Kill the API server, as a crash does, and start it again at the same address."""
        self._children.pop("kube-apiserver").kill()
        try:
            while_away()
        finally:
            _retried(self._start_apiserver)

    def stop(self) -> None:
        """End all processes, in the reverse order of their start. Files are left."""
        while self._children:
            # Nothing here is worth an orderly end: the data goes with the folder.
            self._children.popitem()[1].kill()

    def _start(self) -> None:
        _retried(self._start_etcd)
        _retried(self._start_first_apiserver)
        self.kubeconfig.write_text(self.kubeconfig_text(self._token))
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            f"--root-ca-file={self.ca}",
            f"--service-account-private-key-file={self._signing}",
            *_CONTROLLER_FLAGS,
            f"--node-monitor-grace-period={self._network.lost_after}",
            *([] if self._network.pods else [_NO_ENDPOINTS]),
        )
        self._run(
            "kube-scheduler",
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        )
        # The controller manager has no port here; what it makes first shows that it works.
        process = self._children["kube-controller-manager"]
        api = self.api
        process.wait_until(
            lambda: api.get(ACCOUNTS, "default", "default") is not None, "at work", _START_SECONDS
        )

    def _start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        data = self.directory / "etcd"
        shutil.rmtree(data, ignore_errors=True)
        process = self._run(
            "etcd",
            f"--data-dir={data}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        self._etcd_url = client
        process.wait_until(lambda: listening(int(client.rpartition(":")[2])), "listening", _START_SECONDS)

    def _start_first_apiserver(self) -> None:
        self._port = free_port()
        self.url = f"https://{self._network.address}:{self._port}"
        self.api = Api(self.url, self.ca, self._token)
        self._start_apiserver()

    def _start_apiserver(self) -> None:
        process = self._run(
            "kube-apiserver",
            f"--bind-address={self._network.address}",
            f"--advertise-address={self._network.address}",
            f"--secure-port={self._port}",
            f"--etcd-servers={self._etcd_url}",
            f"--cert-dir={self.directory}",
            f"--tls-cert-file={self._serving.certificate}",
            f"--tls-private-key-file={self._serving.key}",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            # As OpenShift has it: who sets blockOwnerDeletion needs a right on the owner's finalizers.
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
            f"--service-account-issuer={_ISSUER}",
            f"--service-account-key-file={self._signing}",
            f"--service-account-signing-key-file={self._signing}",
            "--service-cluster-ip-range=10.96.0.0/16",
            # Who is in a pod finds the API server at the address of a Service.
            f"--endpoint-reconciler-type={'lease' if self._network.pods else 'none'}",
            f"--allow-privileged={'true' if self._network.pods else 'false'}",
            "--kubelet-preferred-address-types=InternalIP",  # nobody resolves the names of nodes
            f"--default-not-ready-toleration-seconds={self._network.evicted_after}",
            f"--default-unreachable-toleration-seconds={self._network.evicted_after}",
            # The aggregation layer, for a metrics API.
            f"--proxy-client-cert-file={self._front.certificate}",
            f"--proxy-client-key-file={self._front.key}",
            f"--requestheader-client-ca-file={self.ca}",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--shutdown-delay-duration=0s",
            "--profiling=false",
        )
        process.wait_until(self._answers, "ready", _START_SECONDS)

    def _answers(self) -> bool:
        try:
            return self.api.text("/readyz") == "ok"
        except ApiError:
            return False

    def _run(self, name: str, *flags: str) -> Process:
        log = self.directory / f"{name}.log"
        if name in self._children:  # a try that failed
            self._children.pop(name).kill()
        process = Process([str(kubetools.find(name)), *flags], log=log, cwd=self.directory)
        self._children[name] = process
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _retried(start: Callable[[], None]) -> None:
    for left in reversed(range(_TRIES)):
        try:
            start()
            return
        except ProcessError:
            if not left:
                raise


def install(plane: ControlPlane, *files: Path) -> None:
    """Apply manifests, or folders of them, and wait until every custom resource definition is served."""
    for path in files:
        plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(path))
    wait_for(
        lambda: all(condition(crd, "Established").get("status") == "True" for crd in plane.api.find(CRDS)),
        "custom resource definitions that are served",
    )


@contextmanager
def running() -> Iterator[ControlPlane]:
    """A control plane in a folder of its own, which is gone afterwards."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="s3sink-control-plane-")))
        yield stack.enter_context(ControlPlane(directory))
