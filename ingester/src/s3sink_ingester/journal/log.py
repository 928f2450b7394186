"""The single writer. One frame at a time is written and synced in a thread; the next is gathered meanwhile."""

from __future__ import annotations

import errno
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from random import SystemRandom
from uuid import UUID

from s3sink_ingester.disk import Disk
from s3sink_ingester.errors import JournalFailed, S3SinkError
from s3sink_ingester.journal import segment as segments
from s3sink_ingester.journal.frame import HEADER_BYTES, FrameType, encode
from s3sink_ingester.journal.segment import Segment, SegmentHeader, Spare
from s3sink_ingester.journal.spans import Extent
from s3sink_ingester.lanes import Lane, Outcome

FORMAT_VERSION = 1

MARGIN_BYTES = 1 << 20
"""Twice in every segment (less in a small one): for the snapshot, so that segments have one size and serve again as
spares; and at the end for seals and uploads only, which must be writable when records are not."""

MAX_SPARES = 2
_MADE_SPARE_IDS = 1 << 63

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
class _Rotation:
    """A new segment to be made: its header and first frame, and how large."""

    header: SegmentHeader
    sequence: int
    snapshot: Sequence[bytes]
    spare: Spare | None
    room: int
    """Bytes that it must have behind the snapshot."""
    may_be_small: bool
    """Whether on a full disk a segment with no more than that will do."""


@dataclass(frozen=True, slots=True)
class Appended:
    """A frame is durable. ``rotated``: it went into a new segment, which began with a snapshot."""

    sequence: int
    bytes: int
    rotated: bool
    position: int
    """Where the frame ends, as ``spans`` counts."""


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
        syncs: SyncStats,
    ) -> None:
        """``segment_id`` and ``sequence`` are the next to be used. ``open`` must be called first."""
        self._disk = disk
        self._lane = lane
        self._store_id = store_id
        self._next_segment_id = segment_id
        self._sequence = sequence
        self._margin = min(MARGIN_BYTES, max(4096, segment_bytes // 16))
        self._file_bytes = segment_bytes + 2 * self._margin
        self._durable = durable
        self._segment: Segment | None = None
        self._room = 0
        self._extents: dict[int, Extent] = {}
        self._end = 0
        self._spares: list[Spare] = []
        self.failed = False
        self._syncs = syncs

    @property
    def current_id(self) -> int:
        """Id of the segment that is being written."""
        return self._next_segment_id - 1

    @property
    def disk_bytes(self) -> int:
        """Bytes of the segments. Spares don't count: they are given up when room is short."""
        return sum(one.size for one in self._extents.values())

    @property
    def segment_count(self) -> int:
        """Segments not yet let go."""
        return len(self._extents)

    async def open(self, snapshot: Sequence[bytes]) -> None:
        """Write the first segment. Raises ``NoRoom`` or ``JournalFailed``.

        On a full disk it has room for seals and uploads only: these make room, and then it rotates.
        """
        rotation = self._rotation(snapshot, self._margin, may_be_small=True)
        try:
            segment = await self._lane.call(lambda: self._rotate(rotation))
        except (OSError, S3SinkError) as error:
            self._sequence = rotation.sequence
            raise self._translate(error) from error
        self._advance(segment, rotation)

    def fits(self, body_bytes: int, *, control_only: bool) -> bool:
        """Whether a group with a body of so many bytes goes into the current segment."""
        margin = 0 if control_only else self._margin
        return HEADER_BYTES + body_bytes + margin <= self._room

    def append(
        self,
        parts: Sequence[bytes],
        snapshot: Sequence[bytes] | None,
        done: Callable[[Appended | S3SinkError], None],
        *,
        control_only: bool = False,
        sync: bool = True,
    ) -> None:
        """Commit one group (an encoded body in parts); with ``snapshot``, in a new segment.

        ``control_only``: it has no records, and on a full disk a small segment will do, since what it says makes room.
        ``sync``: files are removed because of it, so it has to be durable whatever the settings say.

        ``done`` gets ``Appended`` after the sync, ``NoRoom`` if there is no room for the new segment (nothing was
        written), or ``JournalFailed``: then the log must not be used any more.
        """
        assert not self.failed, "a poisoned log must not be used"
        frame_bytes = HEADER_BYTES + sum(map(len, parts))
        rotation = None
        if snapshot is not None:
            rotation = self._rotation(snapshot, frame_bytes + self._margin, may_be_small=control_only)
        sequence = self._sequence
        self._sequence += 1

        def finished(outcome: Outcome[Segment]) -> None:
            if outcome.error is not None:
                if isinstance(outcome.error, NoRoom):
                    self._sequence = sequence - 1  # sequences have no gaps: a gap means that frames are lost
                done(self._translate(outcome.error))
                return
            segment = outcome.get()
            self._advance(segment, rotation)
            position = self._end - segment.room
            done(Appended(sequence, frame_bytes, rotation is not None, position))

        durable = self._durable or sync
        self._lane.submit(lambda: self._write(parts, sequence, rotation, durable), finished)

    def adopt(self, segments: Iterable[Extent], spares: Iterable[Spare]) -> None:
        """Segments (oldest first, with their positions) and spares of before, which are still on the disk."""
        for one in segments:
            self._extents[one.segment_id] = one
            self._end = one.position + one.size
        self._spares.extend(spares)

    def older_segments(self) -> list[Spare]:
        """The segments before the current one, oldest first."""
        return [
            Spare(one.segment_id, one.size)
            for one in self._extents.values()
            if one.segment_id < self.current_id
        ]

    def extents(self) -> list[Extent]:
        """Where the segments lie that are still there, the current one with them, newest first."""
        return list(self._extents.values())[::-1]

    def let_go(self, segment: Spare, *, kept: bool) -> None:
        """A segment isn't needed any more: it was deleted, or ``kept`` as a spare."""
        self._extents.pop(segment.segment_id, None)
        if kept:
            self._spares.append(segment)

    @property
    def spares_wanted(self) -> int:
        """How many more spares would be of use."""
        return max(0, MAX_SPARES - len(self._spares))

    def next_spare(self) -> Spare:
        """What a spare that is made now should be. Its id is no segment's and no other spare's."""
        taken = {one.segment_id for one in self._spares}
        return Spare(next(one for one in count(_MADE_SPARE_IDS) if one not in taken), self._file_bytes)

    def take_spares(self) -> list[Spare]:
        """All spares, to delete them: the disk is full."""
        taken, self._spares = self._spares, []
        return taken

    async def close(self) -> None:
        """Close the file, after what was submitted."""
        await self._lane.call(self._close)

    def _rotation(self, snapshot: Sequence[bytes], room: int, *, may_be_small: bool) -> _Rotation:
        header = SegmentHeader(
            FORMAT_VERSION, SystemRandom().getrandbits(32), self._store_id, self._next_segment_id
        )
        # The oldest first: if its new name and that of a later spare are lost with the power, what is missing is then
        # the beginning of the journal, which nobody needs, and not something in its middle.
        spare = self._spares.pop(0) if self._spares else None
        self._sequence += 1
        return _Rotation(header, self._sequence - 1, snapshot, spare, room, may_be_small)

    def _advance(self, segment: Segment, rotation: _Rotation | None) -> None:
        self._room = segment.room
        if rotation is not None:
            segment_id = segment.header.segment_id
            self._extents[segment_id] = Extent(self._end, segment.size, segment_id)
            self._end += segment.size
            self._next_segment_id += 1

    def _write(
        self, parts: Sequence[bytes], sequence: int, rotation: _Rotation | None, durable: bool
    ) -> Segment:
        """In the lane."""
        segment = self._segment if rotation is None else self._rotate(rotation)
        assert segment is not None
        segment.write(encode(FrameType.GROUP, sequence, parts, segment.header.salt))
        if durable:
            before = time.perf_counter()
            segment.sync()
            self._syncs.observe(time.perf_counter() - before)
        return segment

    def _rotate(self, rotation: _Rotation) -> Segment:
        """In the lane."""
        if self._segment is not None and not self._durable:
            self._segment.sync()  # the snapshot counts on every frame before it
        try:
            created = self._create(rotation)
        except segments.NotCreated as error:
            raise NoRoom(f"no room for a journal segment: {error}") from error
        previous, self._segment = self._segment, created
        if previous is not None:
            previous.close()
        return created

    def _create(self, rotation: _Rotation) -> Segment:
        def create(spare: Spare | None, size: int) -> Segment:
            return segments.create(
                self._disk,
                rotation.header,
                rotation.sequence,
                rotation.snapshot,
                spare,
                size=size,
                room=rotation.room,
            )

        try:
            return create(rotation.spare, self._file_bytes)
        except segments.NotCreated:
            if not rotation.may_be_small:
                raise
            return create(None, 0)

    def _close(self) -> None:
        if self._segment is not None:
            segment, self._segment = self._segment, None
            try:
                if not self._durable and not self.failed:
                    segment.sync()
            finally:
                segment.close()

    def _translate(self, error: BaseException) -> S3SinkError:
        if isinstance(error, NoRoom):
            return error
        self.failed = True
        number = error.errno if isinstance(error, OSError) and error.errno else 0
        name = errno.errorcode.get(number, type(error).__name__)
        failure = JournalFailed(f"writing the journal failed ({name}: {error})")
        failure.__cause__ = error
        return failure
