"""Processes forked from one that has imported their modules already: a start costs milliseconds instead of a third of a
second, so a test can afford hundreds. Real processes in every other respect."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

_SERVER: Final = multiprocessing.get_context("forkserver")
_PR_SET_PDEATHSIG: Final = 1


def preload(*modules: str) -> None:
    """Modules that the server imports before it forks. Only before the first fork."""
    _SERVER.set_forkserver_preload(["pytest", *modules])  # pytest: every child imports the main module again


class Fork:
    """A running ``target(*args)``, an importable function; what it returns is the exit code."""

    def __init__(
        self, target: Callable[..., int], *args: Any, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Output goes to the end of ``log``; ``env`` is added to the environment."""
        self._process = _SERVER.Process(target=_child, args=(target, args, str(log), dict(env or {})))
        self._process.daemon = True
        self._process.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.is_alive()

    def stop(self, timeout: float = 30.0) -> int:
        """Terminate it, kill it if it takes longer than ``timeout`` seconds; returns the exit code."""
        if self.alive:
            self._process.terminate()
            self._process.join(timeout)
        return self.kill()

    def kill(self) -> int:
        """kill -9, if it still runs; returns the exit code when it is gone (minus the signal that ended it)."""
        if self.alive:
            self._process.kill()
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


def _child(target: Callable[..., int], args: tuple[Any, ...], log: str, env: dict[str, str]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(env)
    sys.exit(target(*args))
