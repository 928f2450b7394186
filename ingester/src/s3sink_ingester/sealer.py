"""Closed chunks to sealed objects, one after the other in a lane. What fails is kept and tried again.

Only a chunk whose file can't be read, time and again, is given up: it is put aside as a whole, as a damaged object is.
"""

from __future__ import annotations

import errno
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from s3sink_ingester import seal
from s3sink_ingester.chunks import Chunk, Pending, chunk_path
from s3sink_ingester.config import Compression
from s3sink_ingester.disk import Disk
from s3sink_ingester.errors import ChunkUnreadable
from s3sink_ingester.journal.entries import object_path
from s3sink_ingester.lanes import Lane, Outcome
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.records import render_prefix

_log = logging.getLogger(__name__)

_EXTENSIONS = {Compression.GZIP: "gz", Compression.ZSTD: "zst", Compression.NONE: "txt"}

QUEUED_PER_LANE = 2
"""Jobs that hold pending payloads in memory; the other closed chunks wait as they are."""


RETRY_SECONDS = 2.0
"""Between attempts to seal what couldn't be: each writes until the disk is full again."""

READS = 5
"""Attempts to read a chunk's file, before it is put aside: a bad sector doesn't get better, a lost cable may."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """What an object is made with."""

    compression: Compression
    level: int

    @property
    def extension(self) -> str:
        """What an object's name ends with."""
        return _EXTENSIONS[self.compression]


@dataclass(frozen=True, slots=True)
class ObjectNaming:
    """How objects are named behind their prefix: ``<pod>-<store>-<chunk>-<digest>.<extension>``."""

    pod: str
    store: str
    """First 8 hex digits of the store id: a new volume under an old pod name can't collide with its old keys."""
    extension: str

    def key(self, chunk: Chunk, sha256: bytes) -> str:
        """The object's whole key. ``sha256``: of its bytes.

        A sealed object is in the journal before it is sent, so a retry after any crash has the same key. One that holds
        anything else has another, even if the volume was set back to a snapshot and has forgotten what it sent since.
        """
        prefix = render_prefix(chunk.definition.name, chunk.definition.window_start)
        return f"{prefix}{self.pod}-{self.store}-{chunk.id:016x}-{sha256[:4].hex()}.{self.extension}"


class SealerStats:
    """Counts of seals."""

    __slots__ = ("by_reason", "failures", "raw_bytes", "seconds", "stored_bytes")

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()
        self.raw_bytes = 0
        self.stored_bytes = 0
        self.seconds = 0.0
        self.failures = 0


class Sealer:
    """Runs on the loop; encoding runs in its lane."""

    def __init__(
        self,
        disk: Disk,
        lane: Lane,
        naming: ObjectNaming,
        encoding: Encoding,
        *,
        load: Callable[[Pending, Callable[[Outcome[list[bytes]]], None]], None],
        wall: Callable[[], float],
        on_sealed: Callable[[SealedObject], None],
        on_full: Callable[[], None],
        on_unreadable: Callable[[Chunk, str], bool],
        stats: SealerStats,
    ) -> None:
        """``on_unreadable``: put a chunk aside, for this reason; whether it is done with, or comes here again."""
        self._disk = disk
        self._lane = lane
        self._naming = naming
        self._encoding = encoding
        self._load = load
        self._wall = wall
        self._on_sealed = on_sealed
        self._on_full = on_full
        self._on_unreadable = on_unreadable
        self._unread: Counter[int] = Counter()  # chunk id → attempts to read it that failed
        self._waiting: deque[Chunk] = deque()
        self._failed: list[Chunk] = []
        self._running = 0
        self._retry_at = 0.0
        self._stats = stats

    @property
    def backlog(self) -> int:
        """Closed chunks that aren't sealed yet."""
        return len(self._waiting) + len(self._failed) + self._running

    def add(self, chunk: Chunk) -> None:
        """Seal a chunk that is closed and has landed."""
        self._waiting.append(chunk)
        self._start()

    def landed(self) -> None:
        """A flush ended, for which a chunk may have waited."""
        self._start()

    def retry(self, now: float) -> None:
        """Try again what failed, from time to time. ``now``: monotonic seconds."""
        if self._failed and now >= self._retry_at:
            self._retry_at = now + RETRY_SECONDS
            self._waiting.extend(self._failed)
            self._failed.clear()
            self._start()

    def _start(self) -> None:
        for _ in range(len(self._waiting)):
            if self._running >= QUEUED_PER_LANE:
                return
            chunk = self._waiting.popleft()
            if chunk.flushing:  # some of its bytes are neither in the file nor pending
                self._waiting.append(chunk)
                continue
            self._running += 1
            self._submit(chunk)

    def _submit(self, chunk: Chunk) -> None:
        pending = chunk.pending()
        if 2 * len(pending.parts) == len(pending.spans):
            self._encode(pending, pending.parts)
            return

        def loaded(outcome: Outcome[list[bytes]]) -> None:
            if outcome.error is None:
                self._encode(pending, outcome.get())
            else:
                self._encoded(chunk, Outcome(None, outcome.error))

        self._load(pending, loaded)

    def _encode(self, pending: Pending, tail: Sequence[bytes]) -> None:
        chunk, raw_length = pending.chunk, pending.offset
        raw_path = chunk_path(chunk.id) if raw_length else None
        target = object_path(chunk.id)
        how = self._encoding

        def encode() -> tuple[seal.Encoded, float]:
            before = time.perf_counter()
            encoded = seal.encode(self._disk, raw_path, raw_length, tail, target, how.compression, how.level)
            return encoded, time.perf_counter() - before

        self._lane.submit(encode, lambda outcome: self._encoded(chunk, outcome))

    def _encoded(self, chunk: Chunk, outcome: Outcome[tuple[seal.Encoded, float]]) -> None:
        self._running -= 1
        if outcome.error is not None:
            self._failed_to_seal(chunk, outcome.error)
        else:
            encoded, seconds = outcome.get()
            reason = chunk.closed or "unknown"
            self._stats.by_reason[reason] += 1
            self._stats.raw_bytes += chunk.length
            self._stats.stored_bytes += encoded.size
            self._stats.seconds += seconds
            self._unread.pop(chunk.id, None)
            self._on_sealed(self._sealed_object(chunk, encoded))
        self._start()

    def _sealed_object(self, chunk: Chunk, encoded: seal.Encoded) -> SealedObject:
        return SealedObject(
            chunk_id=chunk.id,
            key=self._naming.key(chunk, encoded.sha256),
            path=object_path(chunk.id),
            size=encoded.size,
            sha256=encoded.sha256,
            records=chunk.records,
            raw_bytes=chunk.length,
            kind=chunk.definition.kind,
            sealed_at=self._wall(),
            oldest_at=chunk.definition.opened_at / 1000,
        )

    def _failed_to_seal(self, chunk: Chunk, error: BaseException) -> None:
        self._stats.failures += 1
        if isinstance(error, ChunkUnreadable):
            self._unread[chunk.id] += 1
            if self._unread[chunk.id] >= READS and self._on_unreadable(chunk, str(error)):
                _log.error("a chunk can't be read; it is put aside", extra={"error": str(error)})
                del self._unread[chunk.id]
                return
        self._failed.append(chunk)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            self._on_full()
            return
        _log.error(
            "a chunk could not be sealed; it is kept and tried again",
            extra={"chunk": f"{chunk.id:016x}", "error": str(error)},
        )
