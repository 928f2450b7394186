"""The operator as a process of this machine, as ``make run`` starts it; may be killed and started again."""

from __future__ import annotations

import itertools
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.rig.controlplane import ControlPlane
from tests.rig.processes import Process, ProcessError, free_port

if TYPE_CHECKING:
    from types import TracebackType

IMAGE: Final = "registry.example/s3sink-ingester:1"
"""What the operator is told to run. The hollow kubelet runs the ingester of the work tree for it."""
_numbers = itertools.count(1)


class Operator:
    """One replica. As a context manager it is started, and stopped on the way out."""

    def __init__(
        self,
        plane: ControlPlane,
        *flags: str,
        namespaces: tuple[str, ...] = (),
        kubeconfig: Path | None = None,
        image: str = IMAGE,
        resync: str = "5s",
    ) -> None:
        """``namespaces``: those it cares for, none for all. ``kubeconfig``: whose rights it has."""
        self._flags = [*flags, "--resync", resync, "--ingester-image", image]
        for namespace in namespaces:
            self._flags += ["--namespace", namespace]
        self._kubeconfig = kubeconfig or plane.kubeconfig
        self.log = plane.directory / f"operator-{next(_numbers)}.log"
        self._process: Process | None = None
        self._port = 0

    @property
    def process(self) -> Process:
        """The latest one. Raises ProcessError if it was never started."""
        if self._process is None:
            raise ProcessError("the operator was not started")
        return self._process

    def start(self, *, wait: bool = True) -> Self:
        """Start it; with ``wait``, return when it says that it is ready. Raises ProcessError with its log's end."""
        self._port = free_port()
        listen = f"127.0.0.1:{self._port}"
        command = [sys.executable, "-m", "s3sink_operator", *self._flags, "--listen", listen]
        self._process = Process(command, log=self.log, env={"KUBECONFIG": str(self._kubeconfig)})
        if wait:
            self._process.wait_until(self.ready, "ready", 60.0)
        return self

    def ready(self) -> bool:
        """Whether it says so."""
        return self.get("/readyz") is not None

    def get(self, path: str) -> str | None:
        """What it answers at one of its own pages; None if that isn't 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5.0) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    def waits_for(self) -> str:
        """What it says when it isn't ready; empty when it is, or doesn't answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5.0):
                return ""
        except urllib.error.HTTPError as refusal:
            return str(refusal.read().decode())
        except OSError:
            return ""

    def reconciles(self) -> int:
        """How often it has looked at a sink, by its metrics."""
        found = re.findall(
            r"^s3sink_operator_reconcile\w*_count(?:{.*})? (\S+)$", self.get("/metrics") or "", re.M
        )
        return int(sum(map(float, found)))

    def leads(self) -> bool:
        """Whether it is the one at work, by its metrics."""
        return "s3sink_operator_leader 1.0" in (self.get("/metrics") or "")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def stop(self) -> int:
        """SIGTERM, then wait; returns the exit code."""
        return self.process.stop()

    def output(self) -> str:
        """All that it has printed, over all starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
