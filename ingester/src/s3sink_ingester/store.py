"""One volume at work: requests in, durable, batched, sealed; uploads acknowledged. All of it on the event loop.

The loop decides and never blocks; three lanes do the blocking work: the journal's (one write and sync at a time),
the chunk files' (flush, checkpoint, removal) and the sealer's. See ``journal`` for what must hold.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Protocol
from uuid import UUID

from s3sink_ingester import gate as gates
from s3sink_ingester import recovery, reserve, volume
from s3sink_ingester.chunks import Chunk, ChunkTable, Group, Now, Placement
from s3sink_ingester.disk import FULL_DISK, Disk
from s3sink_ingester.errors import Overloaded, S3SinkError, VolumeError
from s3sink_ingester.flusher import Flusher
from s3sink_ingester.gate import Gate
from s3sink_ingester.journal import entries
from s3sink_ingester.journal.entries import Done
from s3sink_ingester.journal.log import Appended, Log, NoRoom
from s3sink_ingester.lanes import Lane, Outcome
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.policy import BatchLimits, SealReason, Watermark, is_full, under_pressure, watermark
from s3sink_ingester.records import Batch
from s3sink_ingester.reserve import Reserve
from s3sink_ingester.sealer import Encoding, ObjectNaming, Sealer
from s3sink_ingester.volume import Volume

_log = logging.getLogger(__name__)

MAX_SEGMENTS = 4
"""Segments that may wait for a checkpoint; beyond it the intake waits, so memory and recovery stay bounded."""

GROUP_BYTES = 4 << 20
"""A group that has so many is closed: it is in memory twice while it is written."""

PRESSURE_SEALS_PER_TICK = 16


class Waiter(Protocol):
    """Whoever sent records. Exactly one of the two is called, once, on the loop, in the order of ``submit``."""

    def committed(self) -> None:
        """Every record is on stable storage."""

    def failed(self, error: S3SinkError) -> None:
        """None of the records was accepted."""


class Clock(Protocol):
    """Both clocks, read at once."""

    def __call__(self) -> Now:
        """A reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """What a store needs to know. Sizes in bytes."""

    pod: str
    limits: BatchLimits
    encoding: Encoding
    size: int
    high_watermark_percent: int
    segment_bytes: int
    memory_bytes: int
    """Payloads in memory: half of it may be pending, half on the way to chunk files; others stay in the journal."""
    block_bytes: int = 256 << 10
    """A chunk with so many pending bytes is written to its file."""
    durable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """Figures of one volume for ``/status``, ``/metrics`` and the operator. Bytes, records and seconds."""

    state: str
    """``open``, ``full``, ``draining``, ``stopping``, ``recovering``, ``failed`` or ``backlog``."""
    store_id: str
    format_version: int
    capacity_bytes: int
    buffer_bytes: int
    oldest_record_age_seconds: float | None
    open_partitions: int
    open_chunks: int
    unsealed_backlog: int
    """Closed chunks that are not sealed yet."""
    sealed_backlog: int
    """Sealed objects that are not uploaded yet."""
    sealed_backlog_bytes: int
    accepted_records: int
    uploaded_records: int
    quarantined_records: int
    buffered_records: int
    journal_segments: int
    drain_epoch: str | None
    drained: bool
    damage: tuple[str, ...]


class _Gathering(Group):
    """A group and who waits for it."""

    __slots__ = ("waiters",)

    def __init__(self) -> None:
        super().__init__()
        self.waiters: list[Waiter] = []


class Store:
    """See the module. Made by ``open_store``. ``failed`` is set when what is in memory can't be trusted: reopen it."""

    def __init__(
        self,
        disk: Disk,
        opened: Volume,
        settings: StoreSettings,
        clock: Clock,
        rng: Random,
        table: ChunkTable,
        log: Log,
        lanes: tuple[Lane, Lane, Lane],
        repaired: recovery.Repaired,
        gate: Gate,
        on_sealed: Callable[[SealedObject], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._disk = disk
        self._volume = opened
        self._settings = settings
        self._clock = clock
        self.table = table
        self.log = log
        self._journal_lane, self._files_lane, self._seal_lane = lanes
        self._damage = repaired.damage
        self._on_sealed = on_sealed
        self.gate = gate
        self.failed = asyncio.Event()
        self.failure: BaseException | None = None
        self._group = _Gathering()
        self._queue: deque[_Gathering] = deque()
        self._queued_bytes = 0
        self._group_bytes = min(GROUP_BYTES, settings.segment_bytes // 4)
        self._sealed: list[SealedObject] = []
        self._done: list[Done] = []
        self._unmoved: list[SealedObject] = []
        self._committing = False
        self._scheduled = False
        self._drain_epoch: str | None = None
        self._closed = False
        self._shut: Overloaded | None = None
        self.groups_committed = 0
        self.bytes_accepted = 0
        self._reserve = Reserve(disk, min(settings.limits.max_bytes + (8 << 20), settings.size // 16))
        self._mark: Watermark = watermark(0, 0, 0, 0)
        self._free = 0
        self._short_of_room = True
        self.flusher = Flusher(
            disk,
            self._files_lane,
            table,
            log,
            held_limit=settings.memory_bytes // 2,
            on_flushed=self._flushed,
            on_full=self._disk_full,
            on_failed=self._fail,
            on_checkpoint=self._schedule,
            keep_spares=lambda: not self._short_of_room,
            damaged=repaired.unkept,
        )
        self.sealer = Sealer(
            disk,
            self._seal_lane,
            ObjectNaming(settings.pod, opened.store_id.hex[:8], settings.encoding.extension),
            settings.encoding,
            load=self.flusher.load,
            wall=lambda: clock().wall,
            on_sealed=self._seal_done,
            on_full=self._disk_full,
        )

    # ---- requests

    @property
    def refusal(self) -> Overloaded | None:
        """Why no records are taken now; None when they are."""
        return self.gate.refusal

    @property
    def open_partitions(self) -> Mapping[str, object]:
        """Partitions with an open chunk."""
        return self.table.open

    @property
    def store_id(self) -> UUID:
        """Made with the volume."""
        return self._volume.store_id

    def submit(self, batches: list[Batch], waiter: Waiter) -> None:
        """Take the records of one request, all or none; ``waiter`` hears which after the next sync or so.

        Raises ``Overloaded`` if it takes none for sure: then ``waiter`` hears nothing.
        """
        if self._shut is not None:
            raise self._shut.with_traceback(None)  # it is shared, and would grow with every raise
        group = self._group
        before = group.bytes
        group.add(batches)
        group.waiters.append(waiter)
        self._queued_bytes += group.bytes - before
        if group.bytes >= self._group_bytes:
            self._queue.append(group)
            self._group = _Gathering()
            if self._queued_bytes >= self._settings.segment_bytes:
                self.gate.close(gates.BACKLOG)
        if not self._scheduled and not self._committing:
            self._schedule()

    def uploaded(self, obj: SealedObject) -> None:
        """An object is in the store."""
        self._done.append(Done(obj.chunk_id))
        self._schedule()

    def quarantine(self, obj: SealedObject) -> None:
        """An object's file isn't what was sealed: put it aside, where a person can look at it."""
        self._damage += (f"{obj.path}: doesn't match its digest; moved to {volume.QUARANTINE}/",)
        self._put_aside(obj)

    # ---- life

    def tick(self) -> None:
        """To be called a few times a second: deadlines, room on the disk, retries."""
        if self.failed.is_set() or self._closed:
            return
        now = self._clock()
        self.table.close_due(now)
        self._measure_room()
        if self._drain_epoch is not None:
            self.table.close_all(SealReason.DRAIN)
        elif self._needs_room():
            self.table.close_largest(PRESSURE_SEALS_PER_TICK)
        self._seal_closed()
        self.sealer.retry(now.monotonic)
        unmoved, self._unmoved = self._unmoved, []
        for obj in unmoved:
            self._put_aside(obj)
        self.flusher.checkpoint()
        self._schedule()

    async def drain(self, epoch: str) -> None:
        """Take no more records, seal and upload everything. Durable: a restart goes on with it. Raises ``OSError``."""
        self._set_draining(True)
        try:
            await self._files_lane.call(lambda: volume.mark_drain(self._disk, epoch))
        except OSError as error:
            if error.errno in FULL_DISK:
                self._disk_full()  # the reserve makes room for the next attempt
            self._set_draining(self._drain_epoch is not None)
            raise
        self.go_on_draining(epoch)

    def go_on_draining(self, epoch: str) -> None:
        """As ``drain``, for a volume that is marked already."""
        self._set_draining(True)
        self._drain_epoch = epoch
        self._seal_all()

    async def resume(self) -> None:
        """Take records again after ``drain``. Raises ``OSError``."""
        await self._files_lane.call(lambda: volume.clear_drain(self._disk))
        self._drain_epoch = None
        self._set_draining(False)

    def _set_draining(self, draining: bool) -> None:
        self.gate.set(gates.DRAINING, closed=draining)
        if self._shut in (None, gates.DRAINING):  # a store that failed or is closed stays shut
            # Shut as well: a request whose body was on its way must not come after "drained".
            self._shut = gates.DRAINING if draining else None

    def seal_all(self) -> None:
        """Close every chunk now, and every one that a request still under way opens, without marking the volume."""
        self._drain_epoch = self._drain_epoch or ""
        self._seal_all()

    @property
    def is_drained(self) -> bool:
        """Whether nothing is in flight, unsealed or pending upload."""
        busy = self._committing or self._queue or self._group.waiters or self._sealed or self._done
        return not busy and self.table.is_empty()

    def status(self) -> StoreStatus:
        """Figures of now."""
        oldest = self.table.oldest()
        refusal = self.gate.refusal
        return StoreStatus(
            state="open" if refusal is None else refusal.reason,
            store_id=str(self._volume.store_id),
            format_version=self._volume.format_version,
            capacity_bytes=self._mark.capacity,
            buffer_bytes=self.used_bytes,
            oldest_record_age_seconds=None if oldest is None else max(0.0, self._clock().wall - oldest),
            open_partitions=len(self.table.open),
            open_chunks=len(self.table.unsealed),
            unsealed_backlog=self.sealer.backlog,
            sealed_backlog=len(self.table.sealed),
            sealed_backlog_bytes=self.table.sealed_bytes,
            accepted_records=self.table.accepted,
            uploaded_records=self.table.uploaded,
            quarantined_records=self.table.quarantined,
            buffered_records=self.table.buffered_records(),
            journal_segments=self.log.segment_count,
            drain_epoch=self._drain_epoch or None,
            drained=bool(self._drain_epoch) and self.is_drained,
            damage=self._damage,
        )

    @property
    def used_bytes(self) -> int:
        """Bytes that the buffer takes up."""
        return self.log.disk_bytes + self.table.raw_bytes + self.table.sealed_bytes

    async def close(self) -> None:
        """Finish the commit under way, then let go of the volume. What isn't committed fails with 503."""
        self._closed = True
        self._shut = gates.STOPPING
        for lane in (self._seal_lane, self._files_lane):
            await lane.close()
        with suppress(OSError):  # what was acknowledged is synced; a close adds nothing
            await self.log.close()
        await self._journal_lane.close()
        self._fail_waiting(gates.STOPPING)
        self._volume.lock.close()

    # ---- commits

    def _schedule(self) -> None:
        """Commit at the end of this turn of the loop, when every readable connection has added its records."""
        if not self._scheduled and not self._committing and not self.failed.is_set() and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._scheduled = False
        if self._committing or self.failed.is_set() or self._closed:
            return
        group = self._next_group()
        if group is None and not self._sealed and not self._done:
            return
        placement = Placement() if group is None else self.table.place(group, self._clock())
        parts = self._encode(placement)
        fits = self._fits(parts, group)
        if group is not None and not fits and self.log.segment_count >= MAX_SEGMENTS:
            self._hold(group, placement)
            if not self._sealed and not self._done:
                return
            group, placement = None, Placement()  # seals and uploads make the room that the group waits for
            parts = self._encode(placement)
            fits = self._fits(parts, group)
        snapshot = None if fits else self.table.snapshot()
        sealed, self._sealed = self._sealed, []
        done, self._done = self._done, []
        self._committing = True
        self.log.append(
            parts,
            snapshot,
            lambda result: self._appended(result, group, placement, sealed, done),
            control_only=group is None,
            sync=bool(sealed or done),
        )

    def _fits(self, parts: list[bytes], group: _Gathering | None) -> bool:
        return self.log.fits(sum(map(len, parts)), control_only=group is None)

    def _next_group(self) -> _Gathering | None:
        if self._queue:
            return self._queue.popleft()
        if not self._group.waiters:
            return None
        group, self._group = self._group, _Gathering()
        return group

    def _encode(self, placement: Placement) -> list[bytes]:
        definitions, appends, payloads = placement.encode()
        return entries.encode_group(
            [entries.encode_sealed(one) for one in self._sealed],
            [entries.encode_done(one) for one in self._done],
            definitions,
            appends,
            payloads,
        )

    def _hold(self, group: _Gathering, placement: Placement) -> None:
        """Too many segments wait for a checkpoint: the group waits as well, until ``on_checkpoint`` schedules it.

        If it is the full disk that holds the checkpoint up, it may take long: then whoever waits is refused.
        """
        self.table.abort(placement)
        self._queue.appendleft(group)
        if self.gate.is_closed_by(gates.FULL):
            self._fail_waiting(gates.FULL)
        self.flusher.checkpoint()

    def _appended(
        self,
        result: Appended | S3SinkError,
        group: _Gathering | None,
        placement: Placement,
        sealed: list[SealedObject],
        done: list[Done],
    ) -> None:
        self._committing = False
        if isinstance(result, Appended):
            self._committed(result, group, placement, sealed, done)
        elif isinstance(result, NoRoom):
            self.table.abort(placement)
            self._sealed = sealed + self._sealed
            self._done = done + self._done
            self._disk_full()
            self._fail_group(group, gates.FULL)
            self._fail_waiting(gates.FULL)
        else:
            self._fail_group(group, gates.FAILED)
            self._fail(result)
        if self.failed.is_set():
            self._fail_waiting(gates.FAILED)

    def _committed(
        self,
        result: Appended,
        group: _Gathering | None,
        placement: Placement,
        sealed: list[SealedObject],
        done: list[Done],
    ) -> None:
        self.groups_committed += 1
        self.table.commit(placement, result.position - placement.size)
        for obj in sealed:
            self.table.add_sealed(obj)
            self.flusher.remove_chunk(obj.chunk_id)
            self._on_sealed(obj)
        for one in done:
            finished = self.table.finish(one.chunk_id, quarantined=one.quarantined)
            if not one.quarantined:
                self.flusher.remove_object(finished.path)
        if group is not None:
            self._accepted(group, placement)
        if result.rotated:
            self.flusher.checkpoint()
        if self._drain_epoch is not None:
            self.table.close_all(SealReason.DRAIN)
        self._seal_closed()
        if self._queue or self._group.waiters or self._sealed or self._done:
            self._schedule()

    def _accepted(self, group: _Gathering, placement: Placement) -> None:
        self.bytes_accepted += group.bytes
        self._dequeued(group)
        self._free -= group.bytes
        for waiter in group.waiters:
            waiter.committed()
        block = self._settings.block_bytes
        full = [
            chunk
            for chunk, _, _ in placement.appends
            if chunk.length - chunk.taken >= block and chunk.taken == chunk.flushed
        ]
        if full:
            self.flusher.flush(full)
        if self.table.held_bytes >= self._settings.memory_bytes // 2:
            self.table.drop_held()
        self._update_full()

    # ---- seals

    def _seal_all(self) -> None:
        self.table.close_all(SealReason.DRAIN)
        self._seal_closed()
        self._schedule()

    def _seal_closed(self) -> None:
        for chunk in self.table.take_sealable():
            self.sealer.add(chunk)

    def _seal_done(self, obj: SealedObject) -> None:
        self._sealed.append(obj)
        self._schedule()

    def _flushed(self, chunk: Chunk) -> None:
        if chunk.closed is not None:
            self.sealer.landed()

    def _put_aside(self, obj: SealedObject) -> None:
        def done(outcome: Outcome[None]) -> None:
            if outcome.error is None:
                self._done.append(Done(obj.chunk_id, quarantined=True))
                self._schedule()
                return
            self._unmoved.append(obj)  # while the journal knows it, recovery won't remove it
            extra = {"path": obj.path, "error": str(outcome.error)}
            _log.error("a corrupt object could not be moved; trying again", extra=extra)

        self._files_lane.submit(lambda: volume.put_aside(self._disk, obj.path), done)

    # ---- room

    def _measure_room(self) -> None:
        usage = self._disk.usage()
        self._free = usage.free
        self._short_of_room = usage.free < 4 * self._settings.segment_bytes
        min_free = self._reserve.size + self._settings.segment_bytes
        self._mark = watermark(
            self._settings.size, usage.total, self._settings.high_watermark_percent, min_free
        )
        if not self._needs_room():
            self._reserve.ensure()
        self._update_full()

    def _update_full(self) -> None:
        was_full = self.gate.is_closed_by(gates.FULL)
        full = is_full(self._mark, self.used_bytes, self._free, was_full)
        self.gate.set(gates.FULL, closed=full)

    def _needs_room(self) -> bool:
        enough_raw = self.table.raw_bytes >= self._mark.capacity // 10
        return enough_raw and under_pressure(self._mark, self.used_bytes, self._free)

    def _disk_full(self) -> None:
        self.gate.close(gates.FULL)
        self._free = 0
        self._short_of_room = True
        self.flusher.release_spares()
        if self._reserve.release():
            _log.warning("the disk is full; the reserve was given up so that sealing can go on")

    # ---- failure

    def _fail(self, error: BaseException) -> None:
        """The state in memory can't be trusted any more: fail who waits; the app recovers the volume."""
        if self.failed.is_set():
            return
        self.failure = error
        self._shut = gates.FAILED
        self.log.failed = True
        self.gate.close(gates.FAILED)
        self.failed.set()
        _log.error("the volume failed and has to be recovered", extra={"error": str(error)})
        if not self._committing:  # else who is being committed is told first
            self._fail_waiting(gates.FAILED)

    def _fail_waiting(self, error: S3SinkError) -> None:
        waiting = [*self._queue, self._group]
        self._queue.clear()
        self._group = _Gathering()
        for group in waiting:
            self._fail_group(group, error)

    def _fail_group(self, group: _Gathering | None, error: S3SinkError) -> None:
        if group is None:
            return
        self._dequeued(group)
        for waiter in group.waiters:
            waiter.failed(error)

    def _dequeued(self, group: _Gathering) -> None:
        self._queued_bytes -= group.bytes
        if self._queued_bytes < self._settings.segment_bytes // 2:
            self.gate.open(gates.BACKLOG)


async def open_store(
    disk: Disk,
    settings: StoreSettings,
    clock: Clock,
    rng: Random,
    *,
    gate: Gate,
    on_sealed: Callable[[SealedObject], None],
    progress: recovery.Progress = lambda done, total: None,
    make_lane: Callable[[str, asyncio.AbstractEventLoop], Lane] = Lane,
) -> Store:
    """Lock the volume, recover it and put it to work. Objects that wait for their upload are given to ``on_sealed``.

    Raises ``VolumeError`` and ``OSError``; ``JournalFailed`` or ``NoRoom`` when the first segment can't be written.
    """
    loop = asyncio.get_running_loop()
    opened = volume.open_volume(disk)
    lanes = (make_lane("journal", loop), make_lane("chunk-files", loop), make_lane("seal", loop))
    try:
        return await _open(disk, opened, settings, clock, rng, lanes, gate, on_sealed, progress)
    except BaseException:
        for lane in lanes:
            await lane.close()
        opened.lock.close()
        raise


async def _open(
    disk: Disk,
    opened: Volume,
    settings: StoreSettings,
    clock: Clock,
    rng: Random,
    lanes: tuple[Lane, Lane, Lane],
    gate: Gate,
    on_sealed: Callable[[SealedObject], None],
    progress: recovery.Progress,
) -> Store:
    journal_lane, files_lane, _ = lanes
    state, repaired = await files_lane.call(lambda: _recover(disk, opened.store_id, progress))
    table = ChunkTable(settings.limits, rng, held_chunks=settings.memory_bytes // settings.block_bytes)
    table.restore(repaired.snapshot, repaired.pending, clock())
    log = Log(
        disk,
        journal_lane,
        opened.store_id,
        segment_id=state.next_segment_id,
        sequence=state.next_sequence,
        segment_bytes=settings.segment_bytes,
        durable=settings.durable,
    )
    log.adopt(state.extents.values(), state.spares)
    try:
        await log.open(table.snapshot())
    except NoRoom:
        if not await files_lane.call(lambda: reserve.give_up(disk)):
            raise
        await log.open(table.snapshot())
    epoch = await files_lane.call(lambda: volume.drain_epoch(disk))
    store = Store(disk, opened, settings, clock, rng, table, log, lanes, repaired, gate, on_sealed)
    for sealed in list(table.sealed.values()):
        on_sealed(sealed)
    if epoch is not None:
        store.go_on_draining(epoch)
    with suppress(OSError):  # statvfs failed: the next tick asks again
        store.tick()
    store.flusher.make_spare()
    return store


def _recover(
    disk: Disk, store_id: UUID, progress: recovery.Progress
) -> tuple[recovery.State, recovery.Repaired]:
    state = recovery.read_state(disk, progress)
    for other, name in state.store_ids.items():
        if other != store_id:
            raise VolumeError(
                f"{disk.locate(name)} belongs to store {other}, and {volume.IDENTITY} says {store_id}"
            )
    repaired = recovery.repair(disk, state)
    for what in repaired.damage:
        _log.error("the volume is damaged; what could not be read is in its quarantine", extra={"what": what})
    return state, repaired
