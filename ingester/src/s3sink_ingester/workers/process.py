"""One worker as its supervisor sees it: started, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Final

from s3sink_ingester.workers.job import Job, Refused, Role, Started, parse_report, send_job

_log = logging.getLogger(__name__)

RESTART_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Waits before a worker that ended by itself is started again; the last one repeats."""

HEALTHY_SECONDS: Final = 60.0
"""A worker that ran so long begins with the first wait again."""


class WorkerProcess:
    """`run` it in a task. Facts: `admin_port` (None unless it listens), `restarts`, `reason` (why it isn't up),
    `settled` (set when it listens for the first time, or won't)."""

    def __init__(self, name: str, job: Job) -> None:
        self.name = name
        self.job = job
        self.admin_port: int | None = None
        self.restarts = 0
        self.reason = "starting"
        self.settled = asyncio.Event()
        self._process: Process | None = None
        self._refused: Refused | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """None while there is no process."""
        return None if self._process is None else self._process.pid

    async def run(self) -> Refused | None:
        """Keep it running until it is stopped, has done its job, or (a worker that serves) can't start at all."""
        attempt = 0
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                try:
                    code = await self._run_once()
                except OSError as error:  # no process can be started now
                    _log.error("a worker could not be started: %s", error, extra={"worker": self.name})
                    code = -1
                if self._stopping.is_set() or (code == 0 and self.job.role is Role.EMPTY):
                    return None
                if self._refused is not None and self.job.role is Role.SERVE:
                    return self._refused
                attempt = 0 if time.monotonic() - began >= HEALTHY_SECONDS else attempt
                wait = RESTART_SECONDS[min(attempt, len(RESTART_SECONDS) - 1)]
                attempt += 1
                self._ended(code, wait)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), wait)
        finally:
            self.settled.set()
        return None

    def stop(self) -> None:
        """Ask it to end, within the grace of its job."""
        self._stopping.set()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """End it now."""
        self._stopping.set()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _run_once(self) -> int:
        self._refused = None
        command = [sys.executable, "-m", "s3sink_ingester.workers.child", self.name]
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
        self._process = process
        if self._stopping.is_set():  # it was asked to stop before there was a process
            process.terminate()
        try:
            await self._give_job(process)
            await self._listen(process)
            return await process.wait()
        finally:
            self.admin_port = None
            self._process = None

    async def _give_job(self, process: Process) -> None:
        assert process.stdin is not None  # it was asked for
        process.stdin.write(send_job(self.job))
        with suppress(ConnectionError):  # it ended at once; its exit code says more
            await process.stdin.drain()

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None  # it was asked for
        async for line in process.stdout:
            match parse_report(line):
                case Started(port):
                    self.admin_port = port
                    self.settled.set()
                case Refused() as refused:
                    self._refused = refused

    def _ended(self, code: int, wait: float) -> None:
        self.restarts += 1
        self.reason = "restarting"
        if self._refused is not None:
            self.reason = self._refused.message
        _log.error(
            "a worker ended and is started again",
            extra={"worker": self.name, "exit_code": code, "seconds": wait, "reason": self.reason},
        )
