"""Composition root of one process with one volume: what is made of what, and in which order it starts and stops.

Start: the data port listens first and answers 503 while the volume is recovered; then the intake opens.
Stop:  no new requests, answer those under way, seal and upload until the grace nears its end or uploads only fail, let
       go of the volume.
Fail:  the store is closed and the volume recovered in place, as often as it takes; the port answers 503 meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random, SystemRandom

from s3sink_ingester import config
from s3sink_ingester import gate as gates
from s3sink_ingester.chunks import Now
from s3sink_ingester.commits import Waiter
from s3sink_ingester.config import Durability, Settings
from s3sink_ingester.counts import Counts
from s3sink_ingester.disk import Disk
from s3sink_ingester.errors import ObjectCorrupt, Overloaded, S3SinkError, VolumeError
from s3sink_ingester.gate import Gate
from s3sink_ingester.http.access import Access
from s3sink_ingester.http.limits import Limits
from s3sink_ingester.http.native import NativeApi
from s3sink_ingester.http.responses import Replies
from s3sink_ingester.http.server import HttpServer
from s3sink_ingester.objects import ObjectStore, PutOutcome, SealedObject
from s3sink_ingester.opening import open_store
from s3sink_ingester.policy import BatchLimits
from s3sink_ingester.records import Batch
from s3sink_ingester.sealer import Encoding
from s3sink_ingester.store import Clock, Store, StoreSettings, StoreStatus
from s3sink_ingester.uploader import Hope, Uploader, UploadObserver

_log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
REOPEN_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Waits between attempts to recover a volume that fails again and again; the last one repeats."""

CLOSE_SECONDS = 3.0
"""Of the grace period, what is kept for closing in order."""

MIN_IN_FLIGHT_BYTES = 64 << 20
"""Bodies in memory over all connections, however small a single one may be."""

Submit = Callable[[list[Batch], Waiter], None]


def system_clock() -> Now:
    """Both clocks of the system."""
    return Now(time.time(), time.monotonic())


def store_settings(settings: Settings) -> StoreSettings:
    """What the store needs of the settings."""
    return StoreSettings(
        pod=settings.name,
        limits=BatchLimits(
            window=round(settings.batch.window),
            max_bytes=settings.batch.max_bytes,
            max_age=settings.batch.max_age,
        ),
        encoding=Encoding(settings.object.compression, settings.object.level),
        size=settings.buffer.size,
        high_watermark_percent=settings.buffer.high_watermark_percent,
        segment_bytes=settings.buffer.segment_bytes,
        memory_bytes=settings.buffer.memory_bytes,
        durable=settings.buffer.durability is Durability.FSYNC,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationStatus:
    """How uploads are doing. Times are epoch seconds."""

    ok: bool | None
    """Whether the latest attempt got through; None before there was one."""
    last_success: float | None
    last_error: str | None
    last_error_reason: str | None
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppStatus:
    """What ``/status`` is made of."""

    name: str
    state: str
    """``open`` or the reason for which records are refused."""
    not_ready: str | None
    """Why ``/readyz`` says no; None when it says yes."""
    store: StoreStatus | None
    """None while the volume is being recovered."""
    destination: DestinationStatus


class AppIntake:
    """The intake that the data port has for all its life, whichever store is behind it."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.open_partitions: Collection[str] = ()
        self.submit: Submit = self._refuse

    @property
    def refusal(self) -> Overloaded | None:
        """Why no records are taken now; None when they are."""
        return self._gate.refusal

    def attach(self, store: Store) -> None:
        """Records go to this store from now on."""
        self.open_partitions = store.open_partitions
        self.submit = store.submit

    def detach(self) -> None:
        """There is no store."""
        self.open_partitions = ()
        self.submit = self._refuse

    def _refuse(self, batches: list[Batch], waiter: Waiter) -> None:
        raise (self._gate.refusal or gates.RECOVERING).with_traceback(None)  # it is shared, and would grow


class App:
    """See the module. ``start``, then ``run`` until it returns, then ``stop``."""

    def __init__(
        self,
        settings: Settings,
        disk: Disk,
        objects: ObjectStore,
        *,
        clock: Clock = system_clock,
        rng: Random | None = None,
        observer: UploadObserver | None = None,
        reuse_port: bool = False,
    ) -> None:
        self.settings = settings
        self.gate = Gate()
        self.gate.close(gates.RECOVERING)
        self.intake = AppIntake(self.gate)
        self.store: Store | None = None
        self.uploader: Uploader | None = None
        self.counts = Counts()
        self.recoveries = 0
        self.recovery_seconds = 0.0
        self.recovery_progress: tuple[int, int] = (0, 0)
        self._disk = disk
        self._objects = objects
        self._clock = clock
        self._rng = rng or SystemRandom()
        self._observer = observer
        self._reuse_port = reuse_port
        self._uploads: asyncio.Task[None] | None = None
        self._ticks: asyncio.Task[None] | None = None
        self.data = self._data_port()

    async def start(self) -> None:
        """Listen on the data port. Raises ``OSError`` (no such address), ``ConfigError`` (keys or certificate)."""
        source = self.settings.source
        await self.data.start(source.host, source.port, reuse_port=self._reuse_port)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep a store open until ``stop``. Raises ``VolumeError`` when the volume can't be used at all."""
        stopping: asyncio.Future[bool] = asyncio.ensure_future(_wait(stop))
        try:
            while not stop.is_set():
                store = await self._open_until(stopping)
                if store is None:
                    return
                failed: asyncio.Future[bool] = asyncio.ensure_future(_wait(store.failed))
                await asyncio.wait({stopping, failed}, return_when=asyncio.FIRST_COMPLETED)
                failed.cancel()
                if store.failed.is_set():
                    await self._close_failed(store)
        finally:
            stopping.cancel()

    async def stop(self, grace: float) -> None:
        """End in order within ``grace`` seconds. What isn't uploaded by then stays on the volume."""
        deadline = self._clock().monotonic + max(0.0, grace - CLOSE_SECONDS)
        self.gate.close(gates.STOPPING)
        answered = asyncio.create_task(self.data.stop(max(0.0, grace - CLOSE_SECONDS)))
        store, uploader = self.store, self.uploader
        hope = None if uploader is None else Hope(uploader, self._clock().monotonic)
        if store is not None and not store.failed.is_set():
            store.seal_all()  # now: a client that is slow with its body mustn't take the time of all uploads
            if uploader is not None:
                uploader.kick()
        await answered
        if store is not None:
            await self._drained(store, hope, deadline)
            left = store.table.buffered_records()
            if left:
                _log.warning("records stay on the volume for the next start", extra={"records": left})
        await self._close_store()
        self._objects.close()

    async def drain(self, epoch: str) -> None:
        """Take no more records, seal and upload everything; goes on after a restart. Raises ``OSError``,
        ``Overloaded`` while there is no store."""
        store = self._open_store()
        self.data.drain()
        await store.drain(epoch)
        if self.uploader is not None:
            self.uploader.kick()

    async def resume(self) -> None:
        """Take records again. Raises as ``drain``."""
        await self._open_store().resume()
        self.data.resume()

    def resize(self, size: int) -> None:
        """The buffer may take up so many bytes from now on. Raises as ``drain``, and nothing has changed then."""
        self._open_store().resize(size)
        self.settings = replace(self.settings, buffer=replace(self.settings.buffer, size=size))

    def status(self) -> AppStatus:
        """Figures of now."""
        store, uploader, refusal = self.store, self.uploader, self.gate.refusal
        return AppStatus(
            name=self.settings.name,
            state="open" if refusal is None else refusal.reason,
            not_ready=self.not_ready(),
            store=None if store is None else store.status(),
            destination=DestinationStatus(
                ok=None if uploader is None else uploader.destination_ok,
                last_success=None if uploader is None else uploader.last_success,
                last_error=None if uploader is None else uploader.last_error,
                last_error_reason=None if uploader is None else uploader.last_error_reason,
                failures=0 if uploader is None else uploader.failures,
            ),
        )

    def not_ready(self) -> str | None:
        """Why no traffic should come here; None if it should. A store that is away is no reason while there is room."""
        refusal = self.gate.refusal
        if refusal is None or refusal is gates.BACKLOG:  # a moment's isn't worth a change of endpoints
            return None
        return refusal.detail

    # ---- the volume

    async def _drained(self, store: Store, hope: Hope | None, deadline: float) -> None:
        """Return when nothing is left, when it is hopeless, or at the deadline."""
        while not store.is_drained and not store.failed.is_set():
            now = self._clock().monotonic
            if now >= deadline:
                return
            if hope is not None and hope.is_lost(now):
                _log.warning("uploads fail: not waiting for them any longer")
                return
            await asyncio.sleep(min(0.02, deadline - now))

    def _open_store(self) -> Store:
        if self.store is None:
            raise (self.gate.refusal or gates.RECOVERING).with_traceback(None)
        return self.store

    async def _open_until(self, stopping: asyncio.Future[bool]) -> Store | None:
        """A store, after as many attempts as it takes; None when ``stopping`` came first."""
        attempt = 0
        while not stopping.done():
            try:
                return await self._open()
            except VolumeError:
                raise
            except (OSError, S3SinkError) as error:
                wait = REOPEN_SECONDS[min(attempt, len(REOPEN_SECONDS) - 1)]
                attempt += 1
                extra = {"error": str(error), "seconds": wait}
                _log.error("the volume could not be opened; trying again", extra=extra)
                await asyncio.wait({stopping}, timeout=wait)
        return None

    async def _open(self) -> Store:
        found: list[SealedObject] = []
        began = time.monotonic()

        def sealed(obj: SealedObject) -> None:
            if self.store is None or self.uploader is None:
                found.append(obj)
            else:
                self.uploader.add(obj)

        store = await open_store(
            self._disk,
            store_settings(self.settings),
            self._clock,
            self._rng,
            gate=self.gate,
            on_sealed=sealed,
            counts=self.counts,
            progress=self._progress,
        )
        self.recoveries += 1
        self.recovery_seconds = time.monotonic() - began
        status = store.status()
        _log.info(
            "the volume is open",
            extra={
                "seconds": round(self.recovery_seconds, 3),
                "store": status.store_id,
                "buffered_records": status.buffered_records,
                "backlog_objects": status.sealed_backlog,
                "damage": len(status.damage),
            },
        )
        self._attach(store, found)
        return store

    def _attach(self, store: Store, found: list[SealedObject]) -> None:
        def uploaded(obj: SealedObject, outcome: PutOutcome) -> None:
            store.uploaded(obj)

        def corrupt(obj: SealedObject, error: ObjectCorrupt) -> None:
            store.quarantine(obj, str(error))

        uploader = Uploader(
            self._objects,
            uploaded,
            corrupt,
            concurrency=self.settings.uploads.concurrency,
            observer=self._observer,
        )
        if self.uploader is not None:
            uploader.go_on_from(self.uploader)
        self.uploader = uploader
        self.store = store
        uploader.add_all(found)
        self._uploads = asyncio.create_task(uploader.run())
        self._ticks = asyncio.create_task(_tick(store))
        self.intake.attach(store)
        self.gate.open(gates.RECOVERING)

    async def _close_failed(self, store: Store) -> None:
        self.gate.close(gates.RECOVERING)
        await self._close_store()
        for gone in (gates.FAILED, gates.FULL, gates.BACKLOG, gates.DRAINING):
            self.gate.open(gone)

    async def _close_store(self) -> None:
        store, self.store = self.store, None
        self.intake.detach()
        if self._ticks is not None:
            self._ticks.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticks
        if self.uploader is not None:
            await self.uploader.close(CLOSE_SECONDS / 2)
        if self._uploads is not None:
            await self._uploads
        self._ticks = self._uploads = None
        if store is not None:
            await store.close()

    def _progress(self, done: int, total: int) -> None:
        """Called in a thread."""
        self.recovery_progress = (done, total)
        _log.info("recovering the journal", extra={"bytes": done, "of": total})

    # ---- the data port

    def _data_port(self) -> HttpServer:
        settings = self.settings
        replies = Replies(self._clock().wall)
        api = NativeApi(
            config.router(settings),
            self.intake,
            replies,
            max_request_bytes=settings.source.max_request_bytes,
            key_header=settings.partitioning.header,
            key_in_path=settings.partitioning.url_path,
        )
        limits = Limits(
            max_request_bytes=settings.source.max_request_bytes,
            max_bytes_in_flight=max(MIN_IN_FLIGHT_BYTES, 2 * settings.source.max_request_bytes),
            max_connections=settings.source.max_connections,
            keep_alive=settings.source.keep_alive,
            header_timeout=settings.source.header_timeout,
            body_timeout=settings.source.body_timeout,
        )
        access = Access(settings.source.auth.path, settings.source.tls.path)
        return HttpServer(api.resolve, self.intake, replies, limits, access=access)


async def _wait(stop: asyncio.Event) -> bool:
    return await stop.wait()


async def _tick(store: Store) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        try:
            store.tick()
        except OSError as error:  # statvfs failed: the next tick asks again
            _log.warning("the volume could not be looked at", extra={"error": str(error)})
