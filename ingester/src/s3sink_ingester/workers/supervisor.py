"""The workers of one data port: started together, watched, seen as one through one admin port, stopped together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from s3sink_ingester.config import Admin, Settings
from s3sink_ingester.errors import S3SinkError
from s3sink_ingester.http.admin import AdminServer
from s3sink_ingester.ports import reserve, unavailable
from s3sink_ingester.resizing import SettingsFile
from s3sink_ingester.runtime import pod_uid
from s3sink_ingester.status import Document, Worker, as_worker, combine, unreachable
from s3sink_ingester.volume import tell_aside
from s3sink_ingester.workers import exposition, layout
from s3sink_ingester.workers.job import Job, Refused, Role
from s3sink_ingester.workers.process import WorkerProcess

_log = logging.getLogger(__name__)

PROBE_SECONDS: Final = 0.8
"""Kubernetes gives a probe one second."""

ANSWER_SECONDS: Final = 5.0

KILL_SECONDS: Final = 2.0
"""A worker that is still there so long after its grace is killed."""

SUPERVISOR: Final = "supervisor"

_KEPT_PAGE: Final = "# TYPE s3sink_damage_findings gauge\ns3sink_damage_findings 1\n"
"""Metrics of a left-over volume that is emptied but for damaged files: it has no process any more."""


class WorkersUnreachable(S3SinkError):
    """Not all workers could be told; the command is idempotent and has to be sent again."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line decides for all workers."""

    version: str
    grace: float
    log_level: str
    log_format: str
    file: SettingsFile | None = None
    """Where the settings came from, if from a file."""


class Supervisor:
    """See the module. It is the `Control` behind the admin port. `run`, then `close`."""

    def __init__(self, settings: Settings, options: Options) -> None:
        """Raises OSError: the buffer's directory can't be read."""
        self._settings = settings
        self._options = options
        self._left_over_volumes = layout.left_over(settings)
        self._workers: list[WorkerProcess] = []
        self._left_over: list[WorkerProcess] = []
        self._kept: dict[str, str] = {}
        """Left-over volumes that are emptied but for damaged files: nobody else tells of them."""
        self._session = aiohttp.ClientSession()
        self._admin = AdminServer(self)

    async def run(self, stop: asyncio.Event, announce: Callable[[int, int], None]) -> Refused | None:
        """Serve until `stop`, or until a worker says that it can't start at all. `announce` gets the two ports.

        Raises `AddressUnavailable`.
        """
        source, admin = self._settings.source, self._settings.admin
        try:
            held = reserve(source.host, source.port)
        except OSError as error:
            raise unavailable("source.port (or --port)", source.host, source.port, error) from error
        with held:
            data_port: int = held.getsockname()[1]
            self._make_processes(data_port)
            try:
                await self._admin.start(admin.host, admin.port)
            except OSError as error:
                raise unavailable("admin.port (or --admin-port)", admin.host, admin.port, error) from error
            return await self._run(stop, lambda: announce(data_port, self._admin.port))

    async def close(self) -> None:
        """Give back what isn't a process."""
        await self._admin.stop()
        await self._session.close()

    # ---- Control

    async def readiness(self) -> str | None:
        document = await self._status(PROBE_SECONDS)
        return None if document["ready"] else document["reason"]

    async def status(self) -> Mapping[str, object]:
        return await self._status(ANSWER_SECONDS)

    async def metrics(self) -> bytes:
        everyone = [*self._workers, *self._left_over]
        pages = await asyncio.gather(*(self._page(one) for one in everyone))
        named = {one.name: page for one, page in zip(everyone, pages, strict=True) if page is not None}
        kept = dict.fromkeys(self._kept, _KEPT_PAGE)
        return exposition.combine({**named, **kept, SUPERVISOR: _own_page()}, _families(everyone, named))

    async def drain(self, epoch: str) -> None:
        await self._tell_all("/drain", {"epoch": epoch})

    async def resume(self) -> None:
        await self._tell_all("/resume", None)

    # ---- processes

    def _make_processes(self, data_port: int) -> None:
        settings = replace(
            self._settings,
            source=replace(self._settings.source, port=data_port),
            admin=Admin(host="127.0.0.1", port=0),
        )
        for index in range(settings.workers):
            job = self._job(Role.SERVE, layout.for_worker(settings, index))
            self._workers.append(WorkerProcess(layout.worker_name(index), job))
        for volume in self._left_over_volumes:
            _log.warning("no worker has this volume any more; it is emptied", extra={"path": str(volume)})
            job = self._job(Role.EMPTY, layout.for_volume(settings, volume))
            self._left_over.append(WorkerProcess(volume.name, job))

    def _job(self, role: Role, settings: Settings) -> Job:
        options = self._options
        return Job(role, settings, options.grace, options.log_level, options.log_format, options.file)

    async def _run(self, stop: asyncio.Event, announce: Callable[[], None]) -> Refused | None:
        stopping = asyncio.create_task(_wait(stop))
        settled = asyncio.create_task(self._settled())
        serving = [asyncio.create_task(one.run()) for one in self._workers]
        emptying = [asyncio.create_task(self._empty(one)) for one in self._left_over]
        try:
            await asyncio.wait([stopping, settled], return_when=asyncio.FIRST_COMPLETED)
            if settled.done() and not any(task.done() for task in serving):
                announce()
            await asyncio.wait([stopping, *serving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            settled.cancel()
            await self._stop([*serving, *emptying])
        return next((task.result() for task in serving if task.result() is not None), None)

    async def _settled(self) -> None:
        """Every worker listens, or won't."""
        for one in self._workers:
            await one.settled.wait()

    async def _empty(self, process: WorkerProcess) -> None:
        await process.run()
        self._left_over.remove(process)
        if names := layout.files_aside(Path(process.job.settings.buffer.path)):
            self._kept[process.name] = tell_aside(names)

    async def _stop(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        everyone = [*self._workers, *self._left_over]
        for one in everyone:
            one.stop()
        _, late = await asyncio.wait(tasks, timeout=self._options.grace + KILL_SECONDS)
        if late:
            for one in everyone:
                if one.pid is not None:
                    _log.error("a worker did not end in time and is killed", extra={"worker": one.name})
                one.kill()
            await asyncio.wait(tasks)

    # ---- what the workers say

    async def _status(self, seconds: float) -> Document:
        workers, left_over = list(self._workers), list(self._left_over)
        said = await asyncio.gather(*(self._ask(one, seconds) for one in [*workers, *left_over]))
        whole = combine(said[: len(workers)], [_emptying(one) for one in said[len(workers) :]])
        kept = [f"{name}: {what}" for name, what in self._kept.items()]
        return {**whole, "damage": [*whole["damage"], *kept]}

    async def _ask(self, process: WorkerProcess, seconds: float) -> Worker:
        if process.admin_port is None:
            return self._unreachable(process, process.reason)
        try:
            async with self._session.get(
                f"http://127.0.0.1:{process.admin_port}/status", timeout=aiohttp.ClientTimeout(seconds)
            ) as reply:
                reply.raise_for_status()
                return as_worker(process.name, await reply.json())
        except (OSError, TimeoutError, aiohttp.ClientError):
            return self._unreachable(process, "doesn't answer")

    def _unreachable(self, process: WorkerProcess, reason: str) -> Worker:
        return unreachable(
            process.name,
            name=self._settings.name,
            pod_uid=pod_uid(),
            version=self._options.version,
            state="recovering",
            reason=reason,
        )

    async def _page(self, process: WorkerProcess) -> str | None:
        if process.admin_port is None:
            return None
        try:
            async with self._session.get(
                f"http://127.0.0.1:{process.admin_port}/metrics",
                timeout=aiohttp.ClientTimeout(ANSWER_SECONDS),
            ) as reply:
                reply.raise_for_status()
                return await reply.text()
        except (OSError, TimeoutError, aiohttp.ClientError):
            return None

    async def _tell_all(self, path: str, body: Mapping[str, str] | None) -> None:
        said = await asyncio.gather(*(self._tell(one, path, body) for one in self._workers))
        problems = [problem for problem in said if problem is not None]
        if problems:
            raise WorkersUnreachable("; ".join(problems))

    async def _tell(self, process: WorkerProcess, path: str, body: Mapping[str, str] | None) -> str | None:
        """None, or why not."""
        if process.admin_port is None:
            return f"{process.name}: {process.reason}"
        try:
            async with self._session.post(
                f"http://127.0.0.1:{process.admin_port}{path}",
                json=body,
                timeout=aiohttp.ClientTimeout(ANSWER_SECONDS),
            ) as reply:
                return None if reply.ok else f"{process.name}: {await reply.text()}"
        except (OSError, TimeoutError, aiohttp.ClientError):
            return f"{process.name}: doesn't answer"


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


def _emptying(said: Worker) -> Worker:
    """A left-over volume takes no records, and is drained when it holds none."""
    reason = said["reason"] if said["bufferedRecords"] is None else "left over: it is being emptied"
    return {
        **said,
        "state": "draining",
        "reason": reason,
        "ready": False,
        "drained": said["bufferedRecords"] == 0,
    }


def _own_page() -> str:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return generate_latest(registry).decode()


def _families(everyone: Sequence[WorkerProcess], answering: Iterable[str]) -> list[Metric]:
    up = GaugeMetricFamily("s3sink_worker_up", "Whether the process runs and answers.", labels=["worker"])
    restarts = CounterMetricFamily(
        "s3sink_worker_restarts",
        "How often the process ended by itself and was started again.",
        labels=["worker"],
    )
    known = set(answering)
    for one in everyone:
        up.add_metric([one.name], float(one.name in known))
        restarts.add_metric([one.name], one.restarts)
    return [up, restarts]
