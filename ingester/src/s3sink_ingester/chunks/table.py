"""All chunks and sealed objects of a volume: the state machine itself. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import chain
from random import Random
from typing import Final

from s3sink_ingester.chunks.chunk import Chunk, Now, Pending
from s3sink_ingester.chunks.group import Group, Placement
from s3sink_ingester.journal import entries
from s3sink_ingester.journal.entries import Definition, OpenChunk, Snapshot, Totals
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.policy import BatchLimits, SealReason, time_to_seal, window_start
from s3sink_ingester.records import Kind, Partition

PART_OVERHEAD: Final = 64
"""Of a payload in memory: the object around its bytes, the slot in its list, and what the allocator rounds up."""

_NO_SPANS: Final = array("Q")


def _held(parts: Sequence[bytes]) -> int:
    """Memory that payloads take up, bytes."""
    return sum(map(len, parts)) + PART_OVERHEAD * len(parts)


class ChunkTable:
    """All chunks and sealed objects of a volume."""

    def __init__(
        self,
        limits: BatchLimits,
        rng: Random,
        *,
        block_bytes: int,
        held_chunks: int,
        accepted_by_kind: list[int] | None = None,
    ) -> None:
        """``block_bytes``: what is worth a write of its own. ``accepted_by_kind``: counted here, and goes on from it.

        ``held_chunks``: chunks up to which payloads are kept in memory. With more of them memory is full before any has
        a block, and the journal has them all.
        """
        self._limits = limits
        self._block_bytes = block_bytes
        self._held_chunks = held_chunks
        self._rng = rng
        self._next_id = 1
        self._deadlines: list[tuple[float, int]] = []
        self._landing: list[Chunk] = []  # closed, to be handed out by take_sealable
        self.open: dict[str, Chunk] = {}
        self.unsealed: dict[int, Chunk] = {}
        self.sealed: dict[int, SealedObject] = {}
        self._sealed_encoded: dict[int, bytes] = {}
        self.accepted = 0
        self.uploaded = 0
        self.quarantined = 0
        self.raw_bytes = 0
        self.held_bytes = 0
        self.sealed_bytes = 0
        self.accepted_by_kind = accepted_by_kind or [0] * len(Kind)

    # ---- records come in

    def place(self, group: Group, now: Now) -> Placement:
        """Give every payload of the group a chunk, opening and closing chunks as the limits say."""
        placement = Placement(group.bytes)
        start = window_start(now.wall, self._limits.window)
        max_bytes = self._limits.max_bytes
        get, append, words = self.open.get, placement.appends.append, placement.words
        for name, batches in group.batches.items():
            if len(batches) == 1:
                partition, payload, records = batches[0]
            else:
                partition = batches[0][0]
                payload = b"".join([batch[1] for batch in batches])
                records = sum([batch[2] for batch in batches])
            size = len(payload)
            chunk = get(name)
            if chunk is not None:
                if chunk.window_start != start:
                    self.close(chunk, SealReason.WINDOW)
                    chunk = None
                elif chunk.length and chunk.length + size > max_bytes:
                    self.close(chunk, SealReason.BYTES)
                    chunk = None
            if chunk is None:
                chunk = self._open(partition, start, now)
                placement.created.append(chunk)
            chunk.in_flight = True
            append((chunk, payload, records))
            words += (chunk.id, chunk.length, records << 32 | size)
        return placement

    def commit(self, placement: Placement, position: int) -> list[Chunk]:
        """The group is durable: its records are accepted. ``position``: where its payloads begin in the journal.

        Returns the chunks that have a block to write now.
        """
        hold = len(self.unsealed) <= self._held_chunks
        if hold:
            self.held_bytes += placement.size + PART_OVERHEAD * len(placement.appends)
        elif self.held_bytes:
            self.drop_held()
        max_bytes, block_bytes = self._limits.max_bytes, self._block_bytes
        grown = []
        by_kind = self.accepted_by_kind
        for chunk, payload, records in placement.appends:
            size = len(payload)
            chunk.in_flight = False
            chunk.spans.append(position)
            chunk.spans.append(size)
            if hold:
                chunk.parts.append(payload)
            chunk.records += records
            by_kind[chunk.kind] += records
            self.accepted += records
            position += size
            chunk.length = length = chunk.length + size
            if length - chunk.taken >= block_bytes and chunk.taken == chunk.flushed:
                grown.append(chunk)
            if length >= max_bytes and chunk.closed is None:
                self.close(chunk, SealReason.BYTES)
        self.raw_bytes += placement.size
        return grown

    def abort(self, placement: Placement) -> None:
        """The group was not written: as if it had never been placed."""
        for chunk, _, _ in placement.appends:
            chunk.in_flight = False
        for chunk in placement.created:
            self.unsealed.pop(chunk.id, None)
            if self.open.get(chunk.definition.name) is chunk:
                del self.open[chunk.definition.name]

    # ---- chunks end

    def close(self, chunk: Chunk, reason: SealReason) -> None:
        """Nothing more goes into the chunk; ``take_sealable`` hands it out when it has landed."""
        if chunk.closed is None:
            chunk.closed = reason
            self._landing.append(chunk)
        if self.open.get(chunk.definition.name) is chunk:
            del self.open[chunk.definition.name]

    def close_due(self, now: Now) -> None:
        """Close every chunk whose deadline has come."""
        while self._deadlines and self._deadlines[0][0] <= now.monotonic:
            _, chunk_id = heappop(self._deadlines)
            chunk = self.unsealed.get(chunk_id)
            if chunk is not None and chunk.closed is None:
                self.close(chunk, chunk.deadline_reason)

    def close_all(self, reason: SealReason) -> None:
        """Close every open chunk."""
        for chunk in list(self.open.values()):
            self.close(chunk, reason)

    def close_largest(self, count: int) -> None:
        """Close the ``count`` largest open chunks, to make room."""
        for chunk in sorted(self.open.values(), key=lambda one: one.length, reverse=True)[:count]:
            self.close(chunk, SealReason.PRESSURE)

    def take_sealable(self) -> list[Chunk]:
        """Closed chunks that have landed, each handed out once."""
        if not self._landing:
            return []
        ready = [chunk for chunk in self._landing if not chunk.in_flight and chunk.length]
        self._landing = [chunk for chunk in self._landing if chunk.in_flight]
        return ready

    def add_sealed(self, sealed: SealedObject) -> None:
        """The chunk's sealed object is in the journal: its raw bytes aren't needed any more."""
        self._forget(self.unsealed[sealed.chunk_id])
        self._add_sealed(sealed)

    def finish(self, chunk_id: int, *, quarantined: bool) -> SealedObject | None:
        """The object is uploaded (or put aside) and the journal says so. None: a chunk was put aside, unsealed."""
        chunk = self.unsealed.get(chunk_id)
        if chunk is not None:
            self._forget(chunk)
            self.quarantined += chunk.records
            return None
        sealed = self.sealed.pop(chunk_id)
        del self._sealed_encoded[chunk_id]
        self.sealed_bytes -= sealed.size
        if quarantined:
            self.quarantined += sealed.records
        else:
            self.uploaded += sealed.records
        return sealed

    def _forget(self, chunk: Chunk) -> None:
        del self.unsealed[chunk.id]
        self.held_bytes -= _held(chunk.parts)
        chunk.parts = []
        self.raw_bytes -= chunk.length

    # ---- pending bytes go to files

    def detach(self, chunk: Chunk) -> Pending:
        """Take what is pending, to write it to the chunk's file."""
        pending = chunk.pending()
        self.held_bytes -= _held(chunk.parts)
        chunk.spans = array("Q")
        chunk.parts = []
        chunk.taken = chunk.length
        return pending

    def flushed(self, chunk: Chunk) -> None:
        """What was detached is in the file."""
        chunk.flushed = chunk.taken

    def flush_failed(self, pending: Pending) -> None:
        """It isn't: it is pending again, and only the journal has it."""
        chunk = pending.chunk
        chunk.taken = chunk.flushed
        chunk.spans = pending.spans + chunk.spans

    def drop_held(self) -> None:
        """Keep no payload in memory: the journal has them."""
        for chunk in self.unsealed.values():
            if chunk.parts:
                chunk.parts = []
        self.held_bytes = 0

    # ---- the state as a whole

    def snapshot(self) -> list[bytes]:
        """The committed state as the parts of a snapshot's body."""
        chunks = [
            entries.encode_open(one.encoded, one.length, one.records)
            for one in self.unsealed.values()
            if one.length
        ]
        totals = Totals(self.accepted, self.uploaded, self.quarantined)
        return entries.encode_snapshot(self._next_id, totals, chunks, list(self._sealed_encoded.values()))

    def restore(self, snapshot: Snapshot, pending: Mapping[int, array[int]], now: Now) -> None:
        """Take over a recovered state; ``pending`` has the spans of what each chunk's file lacks."""
        self._next_id = snapshot.next_chunk_id
        self.accepted = snapshot.totals.accepted
        self.uploaded = snapshot.totals.uploaded
        self.quarantined = snapshot.totals.quarantined
        for one in snapshot.open:
            self._restore_open(one, pending.get(one.definition.chunk_id, _NO_SPANS), now)
        for sealed in snapshot.sealed:
            self._add_sealed(sealed)

    def oldest(self) -> float | None:
        """Epoch seconds of the oldest record that isn't uploaded."""
        # All are looked at: where the clock was set back, chunks weren't opened in the order of their times.
        opened = (one.definition.opened_at / 1000 for one in self.unsealed.values())
        sealed = (one.oldest_at for one in self.sealed.values())
        return min(chain(opened, sealed), default=None)

    def buffered_records(self) -> int:
        """Committed records that are neither uploaded nor quarantined."""
        return self.accepted - self.uploaded - self.quarantined

    def is_empty(self) -> bool:
        """Whether nothing is left to seal or upload."""
        return not self.unsealed and not self.sealed

    def dirty(self) -> Iterator[Chunk]:
        """Chunks with pending bytes that aren't on their way to a file."""
        return (one for one in self.unsealed.values() if one.length > one.taken == one.flushed)

    def _open(self, partition: Partition, start: int, now: Now) -> Chunk:
        definition = Definition(self._next_id, partition.name, partition.kind, start, round(now.wall * 1000))
        self._next_id += 1
        return self._add(definition, now.wall, now)

    def _add(self, definition: Definition, opened_at: float, now: Now) -> Chunk:
        until, reason = time_to_seal(self._limits, definition.window_start, opened_at, self._rng.random())
        age = max(0.0, now.wall - opened_at)  # a clock that went back mustn't make a chunk younger than new
        chunk = Chunk(definition, now.monotonic + until - age, reason)
        self.unsealed[definition.chunk_id] = chunk
        self.open[definition.name] = chunk
        heappush(self._deadlines, (chunk.deadline, definition.chunk_id))
        return chunk

    def _restore_open(self, one: OpenChunk, spans: array[int], now: Now) -> None:
        previous = self.open.get(one.definition.name)
        if previous is not None:  # it was closed, and not sealed, when the process ended
            self.close(previous, SealReason.WINDOW)
        chunk = self._add(one.definition, one.definition.opened_at / 1000, now)
        chunk.length = one.length
        chunk.records = one.records
        chunk.flushed = chunk.taken = one.length - sum(spans[1::2])
        chunk.spans = array("Q", spans)
        self.raw_bytes += one.length

    def _add_sealed(self, sealed: SealedObject) -> None:
        self.sealed[sealed.chunk_id] = sealed
        self._sealed_encoded[sealed.chunk_id] = entries.encode_sealed(sealed)
        self.sealed_bytes += sealed.size
