"""One ingester process for the crash tests: the product's App, with points at which it may end and a clock to move.

``python -m tests.crash.entry PLAN``: PLAN is a ``Plan`` as JSON. Where the data port listens is written to
``<settings directory>/port``; what was passed and the last status to ``<settings directory>/report.json`` at the end.
SIGTERM stops in order, SIGUSR2 drains, SIGUSR1 resumes, SIGHUP retries uploads at once and writes
``<settings directory>/status.json``.

Of signals that wait for a process which didn't run for a while, Linux has the one of the highest number handled first,
whatever their order was. So a drain has a higher one than the resume after it: the other way round the process would be
left draining.
"""

from __future__ import annotations

import asyncio
import json
import logging
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import uvloop
from s3sink_ingester import config
from s3sink_ingester.app import App
from s3sink_ingester.chunks import Now
from s3sink_ingester.config import Settings
from s3sink_ingester.disk import Disk
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.errors import S3SinkError, VolumeError
from s3sink_ingester.objects import ObjectStore
from s3sink_ingester.objects.files import FileStore
from s3sink_ingester.workers import layout

from tests.crash.points import Fault, PointDisk, Points, PointStore

OFFSET = struct.Struct("<d")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a process is to do. ``settings``: path of its settings file.

    ``until_drained``: drain at once and exit 0 when nothing is left. ``clock``: a file that holds the wall clock's
    offset in seconds (a double). ``grace``: seconds that a stop may take.
    """

    settings: str
    fault: Fault | None = None
    seed: int = 0
    until_drained: bool = False
    clock: str = ""
    grace: float = 10.0

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Plan:
        """From JSON."""
        values = json.loads(text)
        fault = values.pop("fault")
        return cls(**values, fault=None if fault is None else Fault(**fault))


def main(plan: Plan) -> int:
    """Run until stopped; returns the exit code of the command line for the same end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    directory = Path(plan.settings).parent
    settings = layout.for_worker(config.load(plan.settings, os.environ), 0)
    points = Points(plan.fault, plan.seed)
    disk = PointDisk(RealDisk(settings.buffer.path), points)
    objects = PointStore(_store(settings, disk), points)
    app = App(settings, disk, objects, clock=_clock(plan), rng=Random(plan.seed))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(app, plan, points, directory))
    except VolumeError as error:
        logging.error("%s", error)
        return error.exit_code
    return 0


async def _run(app: App, plan: Plan, points: Points, directory: Path) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    orders: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: _kick(app, directory))
    loop.add_signal_handler(signal.SIGUSR2, orders.put_nowait, lambda: _drain(app, points, "by hand"))
    loop.add_signal_handler(signal.SIGUSR1, orders.put_nowait, lambda: _resume(app, points))
    await app.start()
    _write_whole(directory / "port", str(app.data.port))
    others = asyncio.gather(_watch(app, plan, points, stop), _follow(orders))
    await app.run(stop)
    others.cancel()
    status = asdict(app.status())
    points.stage = "stop"
    await app.stop(plan.grace)
    report = {"passages": points.passages, "status": status}
    _write_whole(directory / "report.json", json.dumps(report, default=str))


async def _watch(app: App, plan: Plan, points: Points, stop: asyncio.Event) -> None:
    """Follow the process into its next stage, and to its end if it is only to drain."""
    await _until(lambda: app.store is not None)
    points.stage = "live"
    if plan.until_drained:
        await _drain(app, points, "the end")
        while (store := app.status().store) is None or not store.drained:
            await asyncio.sleep(0.02)
            if app.uploader is not None:  # whoever waits for a test doesn't wait for a back-off
                app.uploader.kick()
        stop.set()


async def _follow(orders: asyncio.Queue[Callable[[], Awaitable[None]]]) -> None:
    """One after the other: a drain that has to be asked for again must not come after its resume."""
    while True:
        await (await orders.get())()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # the product has no event for it, and needs none
        await asyncio.sleep(0.001)


def _kick(app: App, directory: Path) -> None:
    if app.uploader is not None:
        app.uploader.kick()
    status = {"not_ready": app.not_ready(), **asdict(app.status())}
    _write_whole(directory / "status.json", json.dumps(status, default=str))


async def _drain(app: App, points: Points, epoch: str) -> None:
    points.stage = "drain"
    await _persist(lambda: app.drain(epoch))


async def _resume(app: App, points: Points) -> None:
    points.stage = "resume"
    await _persist(app.resume)


async def _persist(ask: Callable[[], Awaitable[None]]) -> None:
    """Ask again until it is done, as the operator does."""
    while True:
        try:
            await ask()
        except (OSError, S3SinkError) as error:
            logging.warning("%r", error)
            await asyncio.sleep(0.1)
        else:
            return


def _store(settings: Settings, disk: Disk) -> ObjectStore:
    if settings.destination.path is not None:
        return FileStore(settings.destination.path, disk)
    from s3sink_ingester.objects.s3 import S3Store  # botocore costs as long as all the rest

    return S3Store(settings.destination, settings.uploads, disk, connect_timeout=2.0, read_timeout=3.0)


def _clock(plan: Plan) -> Callable[[], Now]:
    if not plan.clock:
        return lambda: Now(time.time(), time.monotonic())
    with open(plan.clock, "r+b") as file:
        offset = mmap.mmap(file.fileno(), OFFSET.size)
    return lambda: Now(time.time() + OFFSET.unpack_from(offset)[0], time.monotonic())


def _write_whole(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.rename(path)


if __name__ == "__main__":
    sys.exit(main(Plan.loads(sys.argv[1])))
