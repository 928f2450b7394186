"""Group commit: requests, seals and uploads become groups; one group at a time goes into the journal.

While one is synced the next is gathered. Then its chunks count it, who waits is told in the order of ``submit``, and
the store does what follows. All of it on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from s3sink_ingester import gate as gates
from s3sink_ingester.chunks import Chunk, ChunkTable, Group, Now, Placement
from s3sink_ingester.errors import Overloaded, S3SinkError
from s3sink_ingester.gate import Gate
from s3sink_ingester.journal import entries
from s3sink_ingester.journal.entries import Done
from s3sink_ingester.journal.log import Appended, Log, NoRoom
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.records import Batch

MAX_SEGMENTS = 4
"""Segments that may wait for a checkpoint; beyond it the intake waits, so recovery stays bounded."""

GROUP_BYTES = 4 << 20
"""A group that has so many is closed: while it is written it is in memory twice."""


class Waiter(Protocol):
    """Whoever sent records. Exactly one of the two is called, once, on the loop, in the order of ``submit``."""

    def committed(self) -> None:
        """Every record is on stable storage."""

    def failed(self, error: S3SinkError) -> None:
        """None of the records was accepted."""


class _Gathering(Group):
    """A group, who waits for it, and the names of the partitions that it will be the first to open."""

    __slots__ = ("opens", "waiters")

    def __init__(self) -> None:
        super().__init__()
        self.waiters: list[Waiter] = []
        self.opens: list[str] = []


class Partitions(Collection[str]):
    """Names of the partitions that are open, and of those that records which wait will open: they count already, or
    many requests at a time could open as many each as there is room for once. Both collections are looked at anew."""

    __slots__ = ("_coming", "_open")

    def __init__(self, opened: Collection[str], coming: Collection[str]) -> None:
        self._open = opened
        self._coming = coming

    def __len__(self) -> int:
        return len(self._open) + len(self._coming)

    def __contains__(self, name: object) -> bool:
        return name in self._open or name in self._coming

    def __iter__(self) -> Iterator[str]:
        return chain(self._open, self._coming)


@dataclass(frozen=True, slots=True)
class Committed:
    """What one sync made durable. Its records are in their chunks already, and who sent them was told."""

    placement: Placement
    grown: Sequence[Chunk]
    """Chunks that have a block to write now."""
    sealed: Sequence[SealedObject]
    done: Sequence[Done]
    rotated: bool
    """It is in a new segment."""


@dataclass(slots=True)
class _Commit:
    """A group on its way into the journal."""

    group: _Gathering | None
    placement: Placement
    sealed: list[SealedObject]
    done: list[Done]


class Commits:
    """See the module."""

    def __init__(
        self,
        table: ChunkTable,
        log: Log,
        gate: Gate,
        clock: Callable[[], Now],
        *,
        segment_bytes: int,
        on_committed: Callable[[Committed], None],
        on_held: Callable[[], None],
        on_full: Callable[[], None],
        on_failed: Callable[[S3SinkError], None],
    ) -> None:
        """``on_held``: nothing goes on before a checkpoint is done. ``on_failed``: what is in memory can't be trusted;
        to be answered with ``shut``."""
        self._loop = asyncio.get_running_loop()
        self._table = table
        self._log = log
        self._gate = gate
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._group_bytes = min(GROUP_BYTES, segment_bytes // 4)
        self._on_committed = on_committed
        self._on_held = on_held
        self._on_full = on_full
        self._on_failed = on_failed
        self._group = _Gathering()
        self._queue: deque[_Gathering] = deque()
        self._queued_bytes = 0
        self._coming: set[str] = set()  # all that groups which wait will open
        self.partitions = Partitions(table.open, self._coming)
        self._sealed: list[SealedObject] = []
        self._done: list[Done] = []
        self._committing = False
        self._scheduled = False
        self._over: Overloaded | None = None
        self._refusal: Overloaded | None = None

    # ---- what is to be committed

    def submit(self, batches: list[Batch], waiter: Waiter) -> None:
        """Take the records of one request, all or none; ``waiter`` hears which after the next sync or so.

        Raises ``Overloaded`` if it takes none for sure: then ``waiter`` hears nothing.
        """
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)  # it is shared, and would grow with every raise
        group = self._group
        before = group.bytes
        group.add(batches)
        group.waiters.append(waiter)
        opened, coming = self._table.open, self._coming
        for partition, _, _ in batches:
            if partition.name not in opened and partition.name not in coming:
                coming.add(partition.name)
                group.opens.append(partition.name)
        self._queued_bytes += group.bytes - before
        if group.bytes >= self._group_bytes:
            self._queue.append(group)
            self._group = _Gathering()
            if self._queued_bytes >= self._segment_bytes:
                self._gate.close(gates.BACKLOG)
        if not self._scheduled and not self._committing:
            self.schedule()

    def seal(self, obj: SealedObject) -> None:
        """A chunk is sealed in this object."""
        self._sealed.append(obj)
        self.schedule()

    def finish(self, done: Done) -> None:
        """A sealed object needs no more work."""
        self._done.append(done)
        self.schedule()

    def schedule(self) -> None:
        """Commit at the end of this turn of the loop, when every readable connection has added its records."""
        if not self._scheduled and not self._committing and self._over is None:
            self._scheduled = True
            self._loop.call_soon(self._commit)

    # ---- life

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting nor on its way."""
        return not (self._committing or self._queue or self._group.waiters or self._sealed or self._done)

    @property
    def holding(self) -> int:
        """Full groups that wait."""
        return len(self._queue)

    def refuse(self, refusal: Overloaded | None) -> None:
        """Take no records for this reason, or (None) take them again; not once it is shut."""
        if self._over is None:
            self._refusal = refusal

    def shut(self, refusal: Overloaded) -> None:
        """Commit no more: what isn't on its way fails for this reason, and so does all that comes.

        What is on its way is told first, as it turns out; then call ``fail_waiting``, or it is done for you.
        """
        self._over = self._refusal = refusal

    def fail_waiting(self) -> None:
        """Tell all who wait that it is over, unless somebody has to be told something before them."""
        if not self._committing and self._over is not None:
            self._fail_all(self._over)

    # ---- one commit

    def _commit(self) -> None:
        self._scheduled = False
        if self._committing or self._over is not None:
            return
        group = self._next_group()
        if group is None and not self._sealed and not self._done:
            return
        placement = Placement() if group is None else self._table.place(group, self._clock())
        parts = self._encode(placement)
        fits = self._fits(parts, group)
        if group is not None and not fits and self._log.segment_count >= MAX_SEGMENTS:
            self._hold(group, placement)
            if not self._sealed and not self._done:
                return
            group, placement = None, Placement()  # seals and uploads make the room that the group waits for
            parts = self._encode(placement)
            fits = self._fits(parts, group)
        if group is not None:
            self._coming.difference_update(group.opens)  # they are open now
        snapshot = None if fits else self._table.snapshot()
        commit = _Commit(group, placement, self._sealed, self._done)
        self._sealed, self._done = [], []
        self._committing = True
        self._log.append(
            parts,
            snapshot,
            lambda result: self._appended(result, commit),
            control_only=group is None,
            sync=bool(commit.sealed or commit.done),
        )

    def _fits(self, parts: list[bytes], group: _Gathering | None) -> bool:
        return self._log.fits(sum(map(len, parts)), control_only=group is None)

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
        """Too many segments wait for a checkpoint: the group waits as well, until somebody schedules it.

        If it is the full disk that holds the checkpoint up, it may take long: then whoever waits is refused.
        """
        self._table.abort(placement)
        self._queue.appendleft(group)
        if self._gate.is_closed_by(gates.FULL):
            self._fail_all(gates.FULL)
        self._on_held()

    def _appended(self, result: Appended | S3SinkError, commit: _Commit) -> None:
        self._committing = False
        if isinstance(result, Appended):
            self._committed(result, commit)
        elif isinstance(result, NoRoom):
            self._table.abort(commit.placement)
            self._sealed = commit.sealed + self._sealed
            self._done = commit.done + self._done
            self._on_full()
            self._fail_group(commit.group, gates.FULL)
            self._fail_all(gates.FULL)
        else:
            self._fail_group(commit.group, gates.FAILED)
            self._on_failed(result)
        self.fail_waiting()

    def _committed(self, result: Appended, commit: _Commit) -> None:
        placement = commit.placement
        grown = self._table.commit(placement, result.position - placement.size)
        if commit.group is not None:
            self._dequeued(commit.group)
            for waiter in commit.group.waiters:
                waiter.committed()
        self._on_committed(Committed(placement, grown, commit.sealed, commit.done, result.rotated))
        if not self.idle:
            self.schedule()

    # ---- who waits

    def _fail_all(self, error: S3SinkError) -> None:
        waiting = [*self._queue, self._group]
        self._queue.clear()
        self._group = _Gathering()
        for group in waiting:
            self._fail_group(group, error)

    def _fail_group(self, group: _Gathering | None, error: S3SinkError) -> None:
        if group is None:
            return
        self._dequeued(group)
        self._coming.difference_update(group.opens)
        for waiter in group.waiters:
            waiter.failed(error)

    def _dequeued(self, group: _Gathering) -> None:
        self._queued_bytes -= group.bytes
        if self._queued_bytes < self._segment_bytes // 2:
            self._gate.open(gates.BACKLOG)
