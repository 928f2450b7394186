"""What a recovery knows of a volume while it reads it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from itertools import chain
from uuid import UUID

from s3sink_ingester.journal.entries import Append, Definition, OpenChunk, Snapshot, Totals
from s3sink_ingester.journal.segment import Spare
from s3sink_ingester.journal.spans import Extent
from s3sink_ingester.objects import SealedObject


@dataclass(slots=True)
class RecoveringChunk:
    """A chunk as the base and the frames behind it say."""

    definition: Definition
    base: int  # bytes that were durable in the chunk's file at the base
    base_records: int
    length: int
    appends: list[Append] = field(default_factory=list)

    @property
    def records(self) -> int:
        return self.base_records + sum(one.records for one in self.appends)

    def spans(self) -> array[int]:
        """Where the bytes lie in the journal that the chunk's file lacks: position and length of each append."""
        return array("Q", chain.from_iterable((one.position, one.length) for one in self.appends))

    def close_gaps(self) -> int:
        """Move the appends together where frames between them were lost; returns the bytes that are missing."""
        end = self.base
        kept = []
        missing = 0
        for one in self.appends:
            if one.end <= end + missing:
                continue  # it is in the file
            missing = one.offset - end
            kept.append(replace(one, offset=end))
            end += one.length
        missing = max(missing, self.length - end)
        self.appends, self.length = kept, end
        return missing

    def follow_repair(self, length: int, records: int) -> None:
        """A recovery that found damage has gone on with ``length`` bytes and ``records`` records: see it as it did.

        Appends behind that snapshot count from there. What gaps don't explain was missing in the chunk's file.
        """
        if length < self.length:
            self.close_gaps()
            self.base -= self.length - length
            self.appends = [replace(one, offset=one.offset - self.length + length) for one in self.appends]
            self.base_records += records - self.records
        self.length = length


@dataclass(slots=True)
class State:
    """What the journal says, and what is wrong with it."""

    next_chunk_id: int = 1
    next_segment_id: int = 1
    next_sequence: int = 1
    accepted: int = 0
    uploaded: int = 0
    quarantined: int = 0
    chunks: dict[int, RecoveringChunk] = field(default_factory=dict)
    sealed: dict[int, SealedObject] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    damaged_segments: set[int] = field(default_factory=set)
    orphans: list[Append] = field(default_factory=list)
    unfinished: list[int] = field(default_factory=list)
    """Segments whose creation was not finished."""
    spares: list[Spare] = field(default_factory=list)
    extents: dict[int, Extent] = field(default_factory=dict)
    """The segments, by id, oldest first."""
    bytes_read: int = 0
    store_ids: dict[UUID, str] = field(default_factory=dict)
    """Whose segments these are, by what their headers say: a store's id to one of its segments."""
    based: bool = False
    """Whether the base snapshot was seen."""
    last_frame: tuple[int, int, int] | None = None
    """Segment id, first and last offset of the newest good frame, with the segment's header if it is its first."""

    def snapshot(self) -> Snapshot:
        """The state as the store takes it over."""
        chunks = tuple(
            OpenChunk(one.definition, one.length, one.records) for one in self.chunks.values() if one.length
        )
        totals = Totals(self.accepted, self.uploaded, self.quarantined)
        return Snapshot(self.next_chunk_id, totals, chunks, tuple(self.sealed.values()))
