"""Child processes that never outlive their starter, free ports, and waiting for a condition."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType


class ProcessError(Exception):
    """A child did not start, or ended when it should not have. The message holds the end of its log."""


class Process:
    """A running command, its output in a log file. As a context manager it is stopped on the way out.

    It has a session of its own, so that Ctrl-C in the terminal reaches the starter alone, which then stops
    its children in order; and the kernel kills it if the starter dies without doing so.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        core: int | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start `command` (argv), pinned to CPU `core` if given, with `env` added to the environment."""
        self.name = os.path.basename(command[0])
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*_die_with_parent(), *_pinned(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def output(self) -> str:
        """Everything the process has printed so far."""
        return self._log.read_text(errors="replace")

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
        """Poll `ready`. Raises ProcessError if the process ends first, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.alive or time.monotonic() > deadline:
                state = "is not" if self.alive else f"ended with {self._popen.returncode} before it was"
                raise ProcessError(f"{self.name} {state} {what}\n{self._last_lines()}")
            time.sleep(0.01)

    def stop(self, timeout: float = 30.0) -> int:
        """Terminate it, kill it if it takes longer than `timeout` seconds; returns the exit code."""
        if self.alive:
            self._popen.terminate()
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                return self.kill()
        return self._popen.wait()

    def kill(self) -> int:
        """`kill -9`; returns when the process is gone."""
        if self.alive:
            os.killpg(self.pid, signal.SIGKILL)
        return self._popen.wait()

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for its end, which somebody else brings about; it is killed after `timeout` seconds. As `stop`."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def _last_lines(self, lines: int = 15) -> str:
        return "\n".join(self.output().splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop() if kind is None else self.stop(timeout=5.0)


def free_port() -> int:
    """A loopback TCP port that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a connection to the `port` is accepted."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex((host, port)) == 0


def _die_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _pinned(core: int | None) -> list[str]:
    taskset = shutil.which("taskset")
    return [taskset, "--cpu-list", str(core)] if taskset and core is not None else []
