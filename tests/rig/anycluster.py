"""Any cluster that a kubeconfig names, with whatever credentials it has: kubectl alone talks to it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.rig import kubetools
from tests.rig.kubeapi import Api
from tests.rig.processes import Process, free_port, listening

if TYPE_CHECKING:
    from types import TracebackType

_SERVING: Final = re.compile(r"Starting to serve on (\S+)")


class _ProxiedApi(Api):
    """Through ``kubectl proxy``, which adds the credentials."""

    def __init__(self, url: str) -> None:
        super().__init__(url, Path(os.devnull), "")
        del self._headers["Authorization"]


class AnyCluster:
    """As a context manager: connected meanwhile. ``api``: a client with the rights that the kubeconfig gives."""

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        """``directory``: for logs and Helm's files."""
        self.kubeconfig = kubeconfig
        self.directory = directory
        self._proxy = Process(
            [str(kubetools.find("kubectl")), "proxy", "--port=0"],
            log=directory / "kubectl-proxy.log",
            env={"KUBECONFIG": str(kubeconfig)},
        )
        self._proxy.wait_until(lambda: self._address() is not None, "serving")
        self.api: Api = _ProxiedApi(f"http://{self._address()}")

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl. With ``check``, raises AssertionError with what it said."""
        done = subprocess.run(
            [kubetools.find("kubectl"), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done

    def logs(self, namespace: str, pod: str) -> str:
        """The end of what a pod has written."""
        return self.kubectl("-n", namespace, "logs", pod, "--tail=50", check=False).stdout

    def python(self, namespace: str, pod: str, script: str) -> str:
        """Run a script in a pod that has Python; returns what it printed. Raises AssertionError."""
        return self.kubectl("-n", namespace, "exec", pod, "--", "python", "-c", script).stdout

    def forward(self, namespace: str, target: str, port: int) -> Forward:
        """A way to a port of a pod or Service (``service/name``)."""
        return Forward(self, namespace, target, port)

    def _address(self) -> str | None:
        found = _SERVING.search(self._proxy.output())
        return found[1] if found else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._proxy.stop()


class Forward:
    """``kubectl port-forward``: of one pod, so it is made again when that has gone; always at the same address."""

    def __init__(self, cluster: AnyCluster, namespace: str, target: str, port: int) -> None:
        self._command = ["-n", namespace, "port-forward", target]
        self._cluster, self._port = cluster, port
        self.local_port = free_port()
        self._process: Process | None = None

    def restart(self) -> None:
        """Make it (again). Raises ProcessError."""
        self.stop()
        log = self._cluster.directory / "port-forward.log"
        self._process = Process(
            [str(kubetools.find("kubectl")), *self._command, f"{self.local_port}:{self._port}"],
            log=log,
            env={"KUBECONFIG": str(self._cluster.kubeconfig)},
        )
        self._process.wait_until(lambda: listening(self.local_port), "listening")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()
            self._process = None
