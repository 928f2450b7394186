"""One process at work: its app, its admin port, and their end. Used by `serve`, by each worker and by `drain`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from s3sink_ingester import gate as gates
from s3sink_ingester.app import App
from s3sink_ingester.config import Settings
from s3sink_ingester.disk import Disk
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.errors import RequestError, VolumeError
from s3sink_ingester.http.admin import AdminServer
from s3sink_ingester.http.stats import HttpStats
from s3sink_ingester.metrics import Exporter, UploadStats
from s3sink_ingester.objects import ObjectStore
from s3sink_ingester.objects.files import FileStore
from s3sink_ingester.objects.s3 import S3Store
from s3sink_ingester.ports import unavailable
from s3sink_ingester.resizing import SettingsFile, follow
from s3sink_ingester.runtime import Stop, package_version, pod_uid, spare_the_loop
from s3sink_ingester.status import UploadFacts, document
from s3sink_ingester.store import Store
from s3sink_ingester.volume import QUARANTINE

POLL_SECONDS: Final = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports that are listened on, also where 0 was asked for. `data`: 0 where there is none."""

    data: int
    admin: int


class Process:
    """The app as the admin port (`Control`) and the metrics (`Observed`) see it."""

    def __init__(self, app: App, uploads: UploadStats) -> None:
        self.app = app
        self.uploads = uploads
        self.version = package_version()
        self._exporter = Exporter(self)

    @property
    def state(self) -> str:
        refusal = self.app.gate.refusal
        return "open" if refusal is None else refusal.reason

    @property
    def ready(self) -> bool:
        return self.app.not_ready() is None

    @property
    def store(self) -> Store | None:
        return self.app.store

    @property
    def http(self) -> HttpStats:
        return self.app.data.stats

    @property
    def bytes_in_flight(self) -> int:
        return self.app.data.bytes_in_flight

    @property
    def recoveries(self) -> int:
        return self.app.recoveries

    @property
    def recovery_seconds(self) -> float | None:
        return self.app.recovery_seconds if self.app.recoveries else None

    @property
    def upload_facts(self) -> UploadFacts:
        destination = self.app.status().destination
        uploader = self.app.uploader
        return UploadFacts(
            last_success=destination.last_success,
            failures=destination.failures,
            running=0 if uploader is None else uploader.running,
            destination_ok=destination.ok,
            last_error=destination.last_error,
            last_error_reason=destination.last_error_reason,
        )

    async def readiness(self) -> str | None:
        return self.app.not_ready()

    async def status(self) -> Mapping[str, object]:
        store = self.app.store
        return document(
            name=self.app.settings.name,
            pod_uid=pod_uid(),
            version=self.version,
            state=self.state,
            reason=self._reason(),
            store=None if store is None else store.status(),
            uploads=self.upload_facts,
        )

    async def metrics(self) -> bytes:
        return self._exporter.render()

    async def drain(self, epoch: str) -> None:
        await self.app.drain(epoch)

    async def resume(self) -> None:
        await self.app.resume()

    def _reason(self) -> str | None:
        reason = self.app.not_ready()
        done, total = self.app.recovery_progress
        if reason is not None and self.app.store is None and total:
            return f"{reason} ({100 * done // total}%)"
        return reason


def make_process(settings: Settings, *, reuse_port: bool = False) -> Process:
    """What serves the volume at `settings.buffer.path`. Raises `VolumeError` when the directory can't be used."""
    disk = open_disk(settings.buffer.path)
    uploads = UploadStats()
    app = App(settings, disk, open_objects(settings, disk), observer=uploads, reuse_port=reuse_port)
    return Process(app, uploads)


async def serve(
    process: Process, stop: Stop, announce: Callable[[Ports], None], file: SettingsFile | None = None
) -> None:
    """Listen, recover, take records until `stop`. `file`: where the settings came from, if from a file.

    Raises `AddressUnavailable`, `VolumeError`, `ConfigError`.
    """
    settings = process.app.settings
    admin = AdminServer(process)
    await _start_admin(admin, settings)
    try:
        try:
            await process.app.start()
        except OSError as error:
            raise unavailable(
                "source.port (or --port)", settings.source.host, settings.source.port, error
            ) from error
        spare_the_loop()
        announce(Ports(process.app.data.port, admin.port))
        async with _following(file, process.app):
            await process.app.run(stop.event)
    finally:
        await process.app.stop(stop.grace)
        await admin.stop()


async def empty(
    process: Process, stop: Stop, look: Callable[[Process], None], epoch: str | None = None
) -> int:
    """Take no records, seal and upload all there are, until nothing is left or `stop`. Raises `VolumeError`.

    `look` is called some times a second. Returns how many records are left on the volume, -1 when it was stopped before
    that was known; those in its quarantine, which no upload empties, are not counted: see `quarantined_files`. With an
    `epoch` the volume is marked as being drained, so that who serves it next takes no records until it is told to
    resume; without one, it takes them again.
    """
    app = process.app
    app.gate.close(gates.DRAINING)
    done = asyncio.Event()
    running = asyncio.create_task(app.run(done))
    told: Store | None = None
    try:
        while not running.done():
            store = app.store
            if store is not None and not store.failed.is_set():
                if store is not told and await _tell(store, epoch):
                    told = store  # another one whenever the volume was recovered in place
                if store is told and store.is_drained:
                    done.set()
            if stop.event.is_set():
                done.set()
            look(process)
            await asyncio.wait({running}, timeout=POLL_SECONDS)
        running.result()
        return -1 if app.store is None else app.store.table.buffered_records()
    finally:
        await app.stop(stop.grace)


async def _tell(store: Store, epoch: str | None) -> bool:
    """Begin to drain; whether the volume is marked, where it is to be. A full disk has room for the mark by and by."""
    if epoch is not None:
        try:
            await store.drain(epoch)
        except OSError as error:
            _log.warning("the volume can't be marked as being drained yet: %s", error)
            store.seal_all()
            return False
    store.seal_all()
    return True


async def empty_with_admin(
    process: Process,
    stop: Stop,
    look: Callable[[Process], None],
    announce: Callable[[Ports], None],
    epoch: str | None = None,
) -> int:
    """`empty`, and an admin port meanwhile. Raises `AddressUnavailable` before anything is done, too."""
    admin = AdminServer(_Emptying(process))
    await _start_admin(admin, process.app.settings)
    try:
        announce(Ports(0, admin.port))
        return await empty(process, stop, look, epoch)
    finally:
        await admin.stop()


class _Emptying:
    """The `Control` of a process that takes no records as long as it lives: what it is for was said when it began."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.readiness = process.readiness
        self.status = process.status
        self.metrics = process.metrics

    async def drain(self, epoch: str) -> None:
        """Raises `RequestError` for any epoch but that of the mark on the volume: whoever set it waits for that one."""
        store = self._process.store
        marked = None if store is None else store.status().drain_epoch
        if store is not None and epoch != marked:
            what = "without an epoch" if marked is None else f"for epoch {marked}"
            raise RequestError(
                HTTPStatus.CONFLICT,
                f"this process only empties the volume, {what}, and ends when nothing is left; "
                "ask who serves the volume next to drain it for another epoch",
            )
        await self._process.drain(epoch)

    async def resume(self) -> None:
        """Raises `RequestError`."""
        raise RequestError(
            HTTPStatus.CONFLICT,
            "this process only empties the volume and has no port for records; when it has ended, "
            "ask who serves the volume next to resume",
        )


def quarantined_files(settings: Settings) -> int:
    """How many files a volume has put aside because they were damaged."""
    return len(open_disk(settings.buffer.path).listdir(QUARANTINE))


def open_disk(path: str) -> Disk:
    """The volume's directory, made if it is missing. Raises `VolumeError`."""
    try:
        return RealDisk(path)
    except OSError as error:
        raise VolumeError(f"the buffer's directory {path} can't be used: {error.strerror}") from error


def open_objects(settings: Settings, disk: Disk) -> ObjectStore:
    """The destination. Nothing is sent yet."""
    destination = settings.destination
    if destination.path is not None:
        return FileStore(destination.path, disk)
    fixed = settings.object.prefix.partition("{")[0]  # credentials may be for keys below it only
    probe = fixed[: fixed.rfind("/") + 1] + ".s3sink-probe"
    return S3Store(destination, settings.uploads, disk, probe_key=probe)


@asynccontextmanager
async def _following(file: SettingsFile | None, app: App) -> AsyncIterator[None]:
    task = None if file is None else asyncio.create_task(follow(file, app))
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait({task})


async def _start_admin(admin: AdminServer, settings: Settings) -> None:
    try:
        await admin.start(settings.admin.host, settings.admin.port)
    except OSError as error:
        raise unavailable(
            "admin.port (or --admin-port)", settings.admin.host, settings.admin.port, error
        ) from error
