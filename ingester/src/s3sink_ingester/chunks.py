"""The chunk state machine. Pure: it mutates at once and returns what is to be done; the store does it.

A chunk is what one partition received in one window. Its life:

    open ──close──► closed ──encode──► sealed ──upload──► done
      │ place → commit | abort      (nothing is appended any more)

``place`` gives every payload of a group its chunk; ``commit`` makes it count after the sync, ``abort`` takes it back.
Between the two the chunk is *in flight*, and a closed chunk isn't sealed before it has landed. Recovery feeds the same
table (``restore``), so that a restart and a live process can't disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from s3sink_ingester.journal import entries
from s3sink_ingester.journal.entries import Definition, OpenChunk, Snapshot, Totals
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.policy import BatchLimits, SealReason, time_to_seal, window_start
from s3sink_ingester.records import Batch, Kind, Partition


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks. Seconds; ``wall`` since the epoch, ``monotonic`` since some fixed moment.

    The wall clock only names windows; ages and deadlines are monotonic, so that a clock that jumps can't hold
    records back or seal everything at once.
    """

    wall: float
    monotonic: float


class Chunk:
    """One chunk that isn't sealed yet. ``length`` and ``records`` count what is committed."""

    __slots__ = (
        "closed",
        "deadline",
        "deadline_reason",
        "definition",
        "encoded",
        "flushed",
        "flushing",
        "in_flight",
        "length",
        "pending",
        "pending_bytes",
        "records",
    )

    def __init__(self, definition: Definition, deadline: float, reason: SealReason) -> None:
        self.definition = definition
        self.encoded = definition.encode()
        self.deadline = deadline
        self.deadline_reason = reason
        self.length = 0
        self.records = 0
        self.in_flight = False
        self.closed: SealReason | None = None
        self.pending: list[bytes] = []  # committed, not yet in the chunk's file
        self.pending_bytes = 0
        self.flushed = 0  # bytes in the chunk's file
        self.flushing = False  # some of its bytes are on the way to the file

    @property
    def id(self) -> int:
        """Unique in the life of the volume."""
        return self.definition.chunk_id


def chunk_path(chunk_id: int) -> str:
    """Where the raw lines of a chunk lie on the volume."""
    return f"chunks/{chunk_id:016x}.raw"


class Gathered:
    """Payloads of one partition in one group, in arrival order."""

    __slots__ = ("bytes", "partition", "payloads", "records")

    def __init__(self, partition: Partition, payload: bytes, records: int) -> None:
        self.partition = partition
        self.payloads = [payload]
        self.bytes = len(payload)
        self.records = records


class Group:
    """What is gathered for one sync."""

    __slots__ = ("bytes", "gathered")

    def __init__(self) -> None:
        self.gathered: dict[str, Gathered] = {}
        self.bytes = 0

    def add(self, batches: Sequence[Batch]) -> None:
        """Add the records of one request."""
        for partition, payload, records in batches:
            size = len(payload)
            self.bytes += size
            found = self.gathered.get(partition.name)
            if found is None:
                self.gathered[partition.name] = Gathered(partition, payload, records)
            else:
                found.payloads.append(payload)
                found.bytes += size
                found.records += records


@dataclass(slots=True)
class Placement:
    """A group with a chunk for each of its partitions: not yet committed."""

    appends: list[tuple[Chunk, Gathered]] = field(default_factory=list)
    created: list[Chunk] = field(default_factory=list)

    def encode(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """Definitions, appends and payloads for the journal."""
        appends = [
            entries.encode_append(c.definition.chunk_id, c.length, g.bytes, g.records)
            for c, g in self.appends
        ]
        payloads = [payload for _, g in self.appends for payload in g.payloads]
        return [chunk.encoded for chunk in self.created], appends, payloads


class ChunkTable:
    """All chunks and sealed objects of a volume."""

    def __init__(self, limits: BatchLimits, rng: Random) -> None:
        self._limits = limits
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
        self.pending_bytes = 0
        self.sealed_bytes = 0
        self.accepted_by_kind = [0] * len(Kind)

    # ---- records come in

    def place(self, group: Group, now: Now) -> Placement:
        """Give every payload of the group a chunk, opening and closing chunks as the limits say."""
        placement = Placement()
        start = window_start(now.wall, self._limits.window)
        max_bytes = self._limits.max_bytes
        for name, gathered in group.gathered.items():
            chunk = self.open.get(name)
            if chunk is not None:
                if chunk.definition.window_start != start:
                    self.close(chunk, SealReason.WINDOW)
                    chunk = None
                elif chunk.length and chunk.length + gathered.bytes > max_bytes:
                    self.close(chunk, SealReason.BYTES)
                    chunk = None
            if chunk is None:
                chunk = self._open(gathered.partition, start, now)
                placement.created.append(chunk)
            chunk.in_flight = True
            placement.appends.append((chunk, gathered))
        return placement

    def commit(self, placement: Placement) -> None:
        """The group is durable: its records are accepted."""
        max_bytes = self._limits.max_bytes
        for chunk, gathered in placement.appends:
            size = gathered.bytes
            chunk.in_flight = False
            chunk.pending.extend(gathered.payloads)
            chunk.pending_bytes += size
            chunk.length += size
            chunk.records += gathered.records
            self.pending_bytes += size
            self.raw_bytes += size
            self.accepted += gathered.records
            self.accepted_by_kind[gathered.partition.kind] += gathered.records
            if chunk.length >= max_bytes and chunk.closed is None:
                self.close(chunk, SealReason.BYTES)

    def abort(self, placement: Placement) -> None:
        """The group was not written: as if it had never been placed."""
        for chunk, _ in placement.appends:
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
        chunk = self.unsealed.pop(sealed.chunk_id)
        self.pending_bytes -= chunk.pending_bytes
        self.raw_bytes -= chunk.length
        self._add_sealed(sealed)

    def finish(self, chunk_id: int, *, quarantined: bool) -> SealedObject:
        """The object is uploaded (or put aside) and the journal says so."""
        sealed = self.sealed.pop(chunk_id)
        del self._sealed_encoded[chunk_id]
        self.sealed_bytes -= sealed.size
        if quarantined:
            self.quarantined += sealed.records
        else:
            self.uploaded += sealed.records
        return sealed

    # ---- pending bytes go to files

    def detach_pending(self, chunk: Chunk) -> list[bytes]:
        """Take the pending payloads of a chunk to write them at ``chunk.flushed``."""
        parts, chunk.pending = chunk.pending, []
        self.pending_bytes -= chunk.pending_bytes
        chunk.pending_bytes = 0
        chunk.flushing = True
        return parts

    def flushed(self, chunk: Chunk, size: int) -> None:
        """``size`` bytes that were detached are in the file."""
        chunk.flushing = False
        chunk.flushed += size

    def flush_failed(self, chunk: Chunk, parts: list[bytes], size: int) -> None:
        """They aren't: they are pending again."""
        chunk.flushing = False
        chunk.pending = parts + chunk.pending
        chunk.pending_bytes += size
        if chunk.id in self.unsealed:
            self.pending_bytes += size

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

    def restore(self, snapshot: Snapshot, pending: Mapping[int, bytes], now: Now) -> None:
        """Take over a recovered state; ``pending`` has the bytes of each chunk that its file lacks."""
        self._next_id = snapshot.next_chunk_id
        self.accepted = snapshot.totals.accepted
        self.uploaded = snapshot.totals.uploaded
        self.quarantined = snapshot.totals.quarantined
        for one in snapshot.open:
            self._restore_open(one, pending.get(one.definition.chunk_id, b""), now)
        for sealed in snapshot.sealed:
            self._add_sealed(sealed)

    def oldest(self) -> float | None:
        """Epoch seconds of the oldest record that isn't uploaded."""
        # Chunks are opened in time order and dicts keep it; sealed objects come in any order.
        first = next((one.definition.opened_at / 1000 for one in self.unsealed.values()), None)
        candidates = [sealed.oldest_at for sealed in self.sealed.values()]
        if first is not None:
            candidates.append(first)
        return min(candidates, default=None)

    def buffered_records(self) -> int:
        """Committed records that are neither uploaded nor quarantined."""
        return self.accepted - self.uploaded - self.quarantined

    def is_empty(self) -> bool:
        """Whether nothing is left to seal or upload."""
        return not self.unsealed and not self.sealed

    def dirty(self) -> Iterator[Chunk]:
        """Chunks with pending bytes that aren't on their way to a file."""
        return (one for one in self.unsealed.values() if one.pending_bytes and not one.flushing)

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

    def _restore_open(self, one: OpenChunk, pending: bytes, now: Now) -> None:
        previous = self.open.get(one.definition.name)
        if previous is not None:  # it was closed, and not sealed, when the process ended
            self.close(previous, SealReason.WINDOW)
        chunk = self._add(one.definition, one.definition.opened_at / 1000, now)
        chunk.length = one.length
        chunk.records = one.records
        chunk.flushed = one.length - len(pending)
        if pending:
            chunk.pending.append(pending)
            chunk.pending_bytes = len(pending)
            self.pending_bytes += len(pending)
        self.raw_bytes += one.length

    def _add_sealed(self, sealed: SealedObject) -> None:
        self.sealed[sealed.chunk_id] = sealed
        self._sealed_encoded[sealed.chunk_id] = entries.encode_sealed(sealed)
        self.sealed_bytes += sealed.size
