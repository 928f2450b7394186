"""One volume at work: requests in, durable, batched, sealed; uploads acknowledged. All of it on the event loop.

The loop decides and never blocks; three lanes do the blocking work: the journal's (one write and sync at a time),
the chunk files' (flush, checkpoint, removal) and the sealer's. See ``journal`` for what must hold.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID

from s3sink_ingester import gate as gates
from s3sink_ingester import volume
from s3sink_ingester.chunks import Chunk, ChunkTable, Now
from s3sink_ingester.commits import Commits, Committed
from s3sink_ingester.counts import Counts
from s3sink_ingester.disk import FULL_DISK, Disk
from s3sink_ingester.errors import Overloaded
from s3sink_ingester.flusher import Flusher
from s3sink_ingester.gate import Gate
from s3sink_ingester.journal.entries import Done
from s3sink_ingester.journal.log import Log
from s3sink_ingester.lanes import Lane, Outcome
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.policy import BatchLimits, SealReason
from s3sink_ingester.recovery import Repaired
from s3sink_ingester.room import Room
from s3sink_ingester.sealer import Encoding, ObjectNaming, Sealer
from s3sink_ingester.volume import Volume

_log = logging.getLogger(__name__)

PRESSURE_SEALS_PER_TICK = 16


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

    @property
    def held_chunks(self) -> int:
        """Chunks up to which payloads are kept in memory: as many as can have a block there."""
        return self.memory_bytes // self.block_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """Figures of one volume for ``/status``, ``/metrics`` and the operator. Bytes, records and seconds."""

    state: str
    """``open``, ``full``, ``draining``, ``stopping``, ``recovering``, ``failed`` or ``backlog``."""
    store_id: str
    format_version: int
    capacity_bytes: int
    buffer_bytes: int
    """Of records that aren't in the bucket yet: as they came, or as sealed."""
    disk_bytes: int
    """Of the files that hold them, what is preallocated or may soon be let go included: what makes a buffer full."""
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


class Lanes(NamedTuple):
    """The threads of one store."""

    journal: Lane
    files: Lane
    """Of chunk files, and of whatever else is created, moved or removed."""
    seal: Lane


class Store:
    """See the module. Made by ``open_store``. ``failed`` is set when what is in memory can't be trusted: reopen it."""

    def __init__(
        self,
        disk: Disk,
        opened: Volume,
        settings: StoreSettings,
        clock: Clock,
        table: ChunkTable,
        log: Log,
        lanes: Lanes,
        repaired: Repaired,
        gate: Gate,
        on_sealed: Callable[[SealedObject], None],
        counts: Counts,
    ) -> None:
        self._disk = disk
        self._volume = opened
        self._settings = settings
        self._clock = clock
        self.table = table
        self.log = log
        self._lanes = lanes
        self._damage = repaired.damage
        self._on_sealed = on_sealed
        self.gate = gate
        self.failed = asyncio.Event()
        self.failure: BaseException | None = None
        self._unmoved: list[SealedObject] = []
        self._drain_epoch: str | None = None
        self._closed = False
        self.counts = counts
        self.commits = Commits(
            table,
            log,
            gate,
            clock,
            segment_bytes=settings.segment_bytes,
            on_committed=self._committed,
            on_held=lambda: self.flusher.checkpoint(),
            on_full=self._disk_full,
            on_failed=self._fail,
        )
        self._room = Room(
            disk,
            gate,
            lambda: self.used_bytes,
            size=settings.size,
            high_watermark_percent=settings.high_watermark_percent,
            segment_bytes=settings.segment_bytes,
            largest_object=settings.limits.max_bytes,
        )
        self.flusher = Flusher(
            disk,
            lanes.files,
            table,
            log,
            held_limit=settings.memory_bytes // 2,
            on_flushed=self._flushed,
            on_full=self._disk_full,
            on_failed=self._fail,
            on_checkpoint=self.commits.schedule,
            keep_spares=lambda: not self._room.is_short,
            damaged=repaired.unkept,
            stats=counts.flushes,
        )
        self.sealer = Sealer(
            disk,
            lanes.seal,
            ObjectNaming(settings.pod, opened.store_id.hex[:8], settings.encoding.extension),
            settings.encoding,
            load=self.flusher.load,
            wall=lambda: clock().wall,
            on_sealed=self.commits.seal,
            on_full=self._disk_full,
            on_unreadable=self._give_up,
            stats=counts.seals,
        )
        self.submit = self.commits.submit
        """``Commits.submit``."""

    # ---- requests

    @property
    def refusal(self) -> Overloaded | None:
        """Why no records are taken now; None when they are."""
        return self.gate.refusal

    @property
    def open_partitions(self) -> Collection[str]:
        """Partitions with an open chunk, and those that get one with the records that wait for their commit."""
        return self.commits.partitions

    @property
    def store_id(self) -> UUID:
        """Made with the volume."""
        return self._volume.store_id

    def uploaded(self, obj: SealedObject) -> None:
        """An object is in the store."""
        self.commits.finish(Done(obj.chunk_id))

    def quarantine(self, obj: SealedObject, why: str) -> None:
        """An object's file isn't what was sealed, or can't be read: put it aside, where a person can look at it."""
        self._damage += (f"{why}; moved to {volume.QUARANTINE}/",)
        self._put_aside(obj)

    # ---- life

    def tick(self) -> None:
        """To be called a few times a second: deadlines, room on the disk, retries."""
        if self.failed.is_set() or self._closed:
            return
        now = self._clock()
        self.table.close_due(now)
        self._room.measure(self.table.raw_bytes)
        if self._drain_epoch is not None:
            self.table.close_all(SealReason.DRAIN)
        elif self._room.needs_seals(self.table.raw_bytes):
            self.table.close_largest(PRESSURE_SEALS_PER_TICK)
        self._seal_closed()
        self.sealer.retry(now.monotonic)
        unmoved, self._unmoved = self._unmoved, []
        for obj in unmoved:
            self._put_aside(obj)
        self.flusher.checkpoint()
        self.commits.schedule()

    def resize(self, size: int) -> None:
        """The buffer may take up so many bytes from the next tick on. Raises ``OSError``."""
        self._room.resize(size)

    async def drain(self, epoch: str) -> None:
        """Take no more records, seal and upload everything. Durable: a restart goes on with it. Raises ``OSError``."""
        self._set_draining(True)
        try:
            await self._lanes.files.call(lambda: volume.mark_drain(self._disk, epoch))
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
        await self._lanes.files.call(lambda: volume.clear_drain(self._disk))
        self._drain_epoch = None
        self._set_draining(False)

    def _set_draining(self, draining: bool) -> None:
        self.gate.set(gates.DRAINING, closed=draining)
        # As well: a request whose body was on its way must not come after "drained".
        self.commits.refuse(gates.DRAINING if draining else None)

    def seal_all(self) -> None:
        """Close every chunk now, and every one that a request still under way opens, without marking the volume."""
        self._drain_epoch = self._drain_epoch or ""
        self._seal_all()

    @property
    def is_drained(self) -> bool:
        """Whether nothing is in flight, unsealed or pending upload."""
        return self.commits.idle and self.table.is_empty()

    def status(self) -> StoreStatus:
        """Figures of now."""
        oldest = self.table.oldest()
        refusal = self.gate.refusal
        return StoreStatus(
            state="open" if refusal is None else refusal.reason,
            store_id=str(self._volume.store_id),
            format_version=self._volume.format_version,
            capacity_bytes=self._room.capacity,
            buffer_bytes=self.table.raw_bytes + self.table.sealed_bytes,
            disk_bytes=self.used_bytes,
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
        """Bytes that the buffer takes up on the disk."""
        return self.log.disk_bytes + self.table.raw_bytes + self.table.sealed_bytes

    async def close(self) -> None:
        """Finish the commit under way, then let go of the volume. What isn't committed fails with 503."""
        self._closed = True
        self.commits.shut(gates.STOPPING)
        for lane in (self._lanes.seal, self._lanes.files):
            await lane.close()
        with suppress(OSError):  # what was acknowledged is synced; a close adds nothing
            await self.log.close()
        await self._lanes.journal.close()
        self.commits.fail_waiting()
        self._volume.lock.close()

    # ---- what follows from a commit

    def _committed(self, committed: Committed) -> None:
        self.counts.groups += 1
        self.counts.accepted_bytes += committed.placement.size
        for obj in committed.sealed:
            self.table.add_sealed(obj)
            self.flusher.remove_chunk(obj.chunk_id)
            self._on_sealed(obj)
        for one in committed.done:
            finished = self.table.finish(one.chunk_id, quarantined=one.quarantined)
            if finished is not None and not one.quarantined:
                self.flusher.remove_object(finished.path)
        if committed.placement.appends:
            self._accepted(committed)
        if committed.rotated:
            self.flusher.checkpoint()
        if self._drain_epoch is not None:
            self.table.close_all(SealReason.DRAIN)
        self._seal_closed()

    def _accepted(self, committed: Committed) -> None:
        if committed.grown:
            self.flusher.flush(committed.grown)
        if self.table.held_bytes >= self._settings.memory_bytes // 2:
            self.table.drop_held()
        self._room.take(committed.placement.size)

    # ---- seals

    def _seal_all(self) -> None:
        self.table.close_all(SealReason.DRAIN)
        self._seal_closed()
        self.commits.schedule()

    def _seal_closed(self) -> None:
        for chunk in self.table.take_sealable():
            self.sealer.add(chunk)

    def _flushed(self, chunk: Chunk) -> None:
        if chunk.closed is not None:
            self.sealer.landed()

    def _give_up(self, chunk: Chunk, reason: str) -> bool:
        def tried(moved: bool) -> None:
            if not moved:  # there may be room when it has been tried as often again
                self.sealer.add(chunk)
                return
            self._damage += (f"{reason}; its {chunk.records} records are in {volume.QUARANTINE}/",)
            self.commits.finish(Done(chunk.id, quarantined=True))

        return self.flusher.put_chunk_aside(chunk, tried)

    def _put_aside(self, obj: SealedObject) -> None:
        def done(outcome: Outcome[None]) -> None:
            if outcome.error is None:
                self.commits.finish(Done(obj.chunk_id, quarantined=True))
                return
            self._unmoved.append(obj)  # while the journal knows it, recovery won't remove it
            extra = {"path": obj.path, "error": str(outcome.error)}
            _log.error("a corrupt object could not be moved; trying again", extra=extra)

        self._lanes.files.submit(lambda: volume.put_aside(self._disk, obj.path), done)

    # ---- what goes wrong

    def _disk_full(self) -> None:
        self.flusher.release_spares()
        self._room.ran_out()

    def _fail(self, error: BaseException) -> None:
        """The state in memory can't be trusted any more: fail who waits; the app recovers the volume."""
        if self.failed.is_set():
            return
        self.failure = error
        self.log.failed = True
        self.gate.close(gates.FAILED)
        self.failed.set()
        self.commits.shut(gates.FAILED)
        _log.error("the volume failed and has to be recovered", extra={"error": str(error)})
        self.commits.fail_waiting()
