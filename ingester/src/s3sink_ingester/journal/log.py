"""The single writer. One frame at a time is written and synced in a thread; the next is gathered meanwhile."""

from __future__ import annotations

import errno
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import SystemRandom
from uuid import UUID

from s3sink_ingester.disk import Disk
from s3sink_ingester.errors import JournalFailed, S3SinkError
from s3sink_ingester.journal import segment as segments
from s3sink_ingester.journal.frame import HEADER_BYTES, FrameType, encode
from s3sink_ingester.journal.segment import Segment, SegmentHeader
from s3sink_ingester.lanes import Lane, Outcome

FORMAT_VERSION = 1

CONTROL_MARGIN_BYTES = 1 << 20
"""Room in every segment that only seals and uploads may use: they must be writable when records are not."""

SYNC_BUCKETS_SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    5.0,
)


class NoRoom(S3SinkError):
    """The disk has no room for another segment. Nothing was written; the log goes on as it was."""


@dataclass(frozen=True, slots=True)
class Appended:
    """A frame is durable. ``rotated``: it went into a new segment, which began with a snapshot."""

    sequence: int
    bytes: int
    rotated: bool


class SyncStats:
    """Counts of syncs by duration; plain numbers, since a sync may come thousands of times a second."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(SYNC_BUCKETS_SECONDS) + 1)

    def observe(self, seconds: float) -> None:
        """Add one."""
        self.count += 1
        self.seconds += seconds
        self.buckets[bisect_left(SYNC_BUCKETS_SECONDS, seconds)] += 1


class Log:
    """The end of the journal. All methods run on the loop; at most one ``append`` is under way."""

    def __init__(
        self,
        disk: Disk,
        lane: Lane,
        store_id: UUID,
        *,
        segment_id: int,
        sequence: int,
        segment_bytes: int,
        durable: bool,
    ) -> None:
        """``segment_id`` and ``sequence`` are the next to be used. ``open`` must be called first."""
        self._disk = disk
        self._lane = lane
        self._store_id = store_id
        self._next_segment_id = segment_id
        self._sequence = sequence
        self._segment_bytes = segment_bytes
        self._durable = durable
        self._segment: Segment | None = None
        self._room = 0
        self._sizes: dict[int, int] = {}
        self.failed = False
        self.sync_stats = SyncStats()

    @property
    def current_id(self) -> int:
        """Id of the segment that is being written."""
        return self._next_segment_id - 1

    @property
    def disk_bytes(self) -> int:
        """Bytes of all segments that are on the disk because of this log."""
        return sum(self._sizes.values())

    @property
    def segment_count(self) -> int:
        """Segments not yet deleted."""
        return len(self._sizes)

    async def open(self, snapshot: Sequence[bytes]) -> None:
        """Write the first segment. Raises ``NoRoom`` or ``JournalFailed``.

        On a full disk it has room for seals and uploads only: these make room, and then it rotates.
        """
        try:
            await self._open(snapshot, self._segment_bytes)
        except NoRoom:
            await self._open(snapshot, 0)

    def fits(self, body_bytes: int, *, control_only: bool) -> bool:
        """Whether a group with a body of so many bytes goes into the current segment."""
        margin = 0 if control_only else CONTROL_MARGIN_BYTES
        return HEADER_BYTES + body_bytes + margin <= self._room

    def append(
        self,
        parts: Sequence[bytes],
        snapshot: Sequence[bytes] | None,
        done: Callable[[Appended | S3SinkError], None],
    ) -> None:
        """Commit one group (an encoded body in parts); with ``snapshot``, in a new segment.

        ``done`` gets ``Appended`` after the sync, ``NoRoom`` if there is no room for the new segment (nothing was
        written), or ``JournalFailed``: then the log must not be used any more.
        """
        assert not self.failed, "a poisoned log must not be used"
        first = self._take_sequence() if snapshot is not None else 0
        sequence = self._take_sequence()
        body_bytes = sum(map(len, parts))

        def finished(outcome: Outcome[None]) -> None:
            if outcome.error is not None:
                done(self._translate(outcome.error))
                return
            if snapshot is not None:
                self._rotated(snapshot, room)
            self._room -= HEADER_BYTES + body_bytes
            done(Appended(sequence, HEADER_BYTES + body_bytes, snapshot is not None))

        room = self._segment_bytes
        self._lane.submit(lambda: self._write(parts, sequence, snapshot, first, room), finished)

    def forget(self, segment_id: int) -> None:
        """A segment was deleted."""
        self._sizes.pop(segment_id, None)

    def adopt(self, sizes: dict[int, int]) -> None:
        """Segments of before, which are still on the disk: id to bytes."""
        self._sizes.update(sizes)

    def older_segments(self) -> list[int]:
        """Ids of the segments before the current one, oldest first."""
        return sorted(one for one in self._sizes if one < self.current_id)

    async def close(self) -> None:
        """Close the file, after what was submitted."""
        await self._lane.call(self._close)

    def _write(
        self, parts: Sequence[bytes], sequence: int, snapshot: Sequence[bytes] | None, first: int, room: int
    ) -> None:
        if snapshot is not None:
            self._rotate(snapshot, first, room)
        segment = self._segment
        assert segment is not None
        segment.write(encode(FrameType.GROUP, sequence, parts, segment.header.salt))
        if self._durable:
            before = time.perf_counter()
            segment.sync()
            self.sync_stats.observe(time.perf_counter() - before)

    def _rotate(self, snapshot: Sequence[bytes], sequence: int, room: int) -> None:
        salt = SystemRandom().getrandbits(32)
        header = SegmentHeader(FORMAT_VERSION, salt, self._store_id, self._next_segment_id)
        room += CONTROL_MARGIN_BYTES
        try:
            created = segments.create(self._disk, header, sequence, snapshot, room)
        except segments.NotCreated as error:
            raise NoRoom(f"no room for a journal segment of {room} bytes: {error}") from error
        previous, self._segment = self._segment, created
        if previous is not None:
            if not self._durable:
                previous.sync()
            previous.close()

    def _rotated(self, snapshot: Sequence[bytes], room: int) -> None:
        self._room = room + CONTROL_MARGIN_BYTES
        self._sizes[self._next_segment_id] = self._room + sum(map(len, snapshot))
        self._next_segment_id += 1

    async def _open(self, snapshot: Sequence[bytes], room: int) -> None:
        first = self._take_sequence()
        try:
            await self._lane.call(lambda: self._rotate(snapshot, first, room))
        except (OSError, S3SinkError) as error:
            raise self._translate(error) from error
        self._rotated(snapshot, room)

    def _take_sequence(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    def _close(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _translate(self, error: BaseException) -> S3SinkError:
        if isinstance(error, NoRoom):
            return error
        self.failed = True
        number = error.errno if isinstance(error, OSError) and error.errno else 0
        name = errno.errorcode.get(number, type(error).__name__)
        failure = JournalFailed(f"writing the journal failed ({name}: {error})")
        failure.__cause__ = error
        return failure
