"""Pending bytes to chunk files, and the checkpoint that lets old segments go. Chunk files have one lane."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from s3sink_ingester.chunkfiles import ChunkFiles, Write
from s3sink_ingester.chunks import Chunk, ChunkTable
from s3sink_ingester.disk import FULL_DISK, Disk
from s3sink_ingester.journal import segment
from s3sink_ingester.journal.log import Log
from s3sink_ingester.journal.segment import Spare
from s3sink_ingester.lanes import Lane, Outcome
from s3sink_ingester.volume import put_aside

_log = logging.getLogger(__name__)


class FlusherStats:
    """Counts since the start."""

    __slots__ = ("checkpoint_seconds", "checkpoints", "flushed_bytes", "flushes")

    def __init__(self) -> None:
        self.flushes = 0
        self.flushed_bytes = 0
        self.checkpoints = 0
        self.checkpoint_seconds = 0.0


@dataclass(frozen=True, slots=True)
class _Detached:
    """Pending payloads of a chunk on the way to its file."""

    chunk: Chunk
    parts: list[bytes]
    write: Write


class Flusher:
    """Runs on the loop; its work runs in its lane. A full disk is retried (``retry``); any other error is fatal."""

    def __init__(
        self,
        disk: Disk,
        lane: Lane,
        table: ChunkTable,
        log: Log,
        *,
        on_flushed: Callable[[Chunk], None],
        on_full: Callable[[], None],
        on_failed: Callable[[BaseException], None],
        on_checkpoint: Callable[[], None],
        keep_spares: Callable[[], bool],
        damaged: frozenset[int],
    ) -> None:
        """``damaged``: segments that are moved into the quarantine where others are deleted."""
        self._disk = disk
        self._lane = lane
        self._table = table
        self._log = log
        self._files = ChunkFiles(disk)
        self._on_flushed = on_flushed
        self._on_full = on_full
        self._on_failed = on_failed
        self._on_checkpoint = on_checkpoint
        self._keep_spares = keep_spares
        self._damaged = damaged
        self._checkpointing = False
        self._settling = False
        self._failed = False
        self._making_spare = False
        self.stats = FlusherStats()

    def flush(self, chunks: Iterable[Chunk]) -> None:
        """Write the pending bytes of chunks; not synced, since the journal still has them."""
        if self._settling or self._failed:
            return  # a checkpoint is about to flush everything; or nothing can be written any more
        detached = self._detach(chunks)
        if detached:

            def done(outcome: Outcome[list[int | OSError]]) -> None:
                self._written(detached, outcome)

            self._lane.submit(lambda: self._write(detached), done)

    def checkpoint(self) -> None:
        """Make all that is committed durable in chunk files, then delete the segments before the current one.

        First the flushes under way must land: only one write a chunk may be in flight, or a failed one would leave
        a hole. Then everything pending is written, and only if all of it was, older segments may go.
        """
        if self._checkpointing or self._failed or not self._log.older_segments():
            return
        self._checkpointing = self._settling = True
        started = time.monotonic()
        self._lane.submit(lambda: None, lambda _: self._settled(started))

    def remove_chunk(self, chunk_id: int) -> None:
        """Delete a chunk's file, behind all writes to it."""
        self._lane.submit(lambda: self._files.remove(chunk_id), self._removed)

    def remove_object(self, path: str) -> None:
        """Delete a sealed object's file: it is uploaded."""
        self._lane.submit(lambda: self._disk.unlink(path, missing_ok=True), self._removed)

    def make_spare(self) -> None:
        """Have a segment ready before it is needed, if there is room."""
        if self._making_spare or not self._log.spares_wanted or not self._keep_spares():
            return
        self._making_spare = True
        spare = self._log.next_spare()

        def made(outcome: Outcome[None]) -> None:
            self._making_spare = False
            if outcome.error is None:
                self._log.adopt({}, [spare])
            else:
                _log.warning("no spare segment could be made", extra={"error": str(outcome.error)})

        self._lane.submit(lambda: segment.make_spare(self._disk, spare), made)

    def release_spares(self) -> None:
        """Delete the spares: the disk is full."""
        for spare in self._log.take_spares():
            self._lane.submit(partial(self._remove_spare, spare), self._removed)

    def _remove_spare(self, spare: Spare) -> None:
        self._disk.unlink(segment.spare_path(spare.segment_id), missing_ok=True)

    def _detach(self, chunks: Iterable[Chunk]) -> list[_Detached]:
        found = []
        for chunk in chunks:
            parts = self._table.detach_pending(chunk)
            found.append(_Detached(chunk, parts, Write(chunk.id, chunk.flushed, parts)))
        return found

    def _settled(self, started: float) -> None:
        self._settling = False
        if self._failed:  # a flush that was under way is lost: only the older segments hold its bytes now
            return
        older = self._log.older_segments()
        sound = [one for one in older if one.segment_id not in self._damaged]
        kept = sound[: self._log.spares_wanted] if self._keep_spares() else []
        detached = self._detach(list(self._table.dirty()))

        def write_and_let_go() -> list[int | OSError]:
            results = self._write(detached)
            if not any(isinstance(one, OSError) for one in results):
                self._let_go(older, kept)
            return results

        def done(outcome: Outcome[list[int | OSError]]) -> None:
            self._checkpointing = False
            written = self._written(detached, outcome)
            if written:
                for one in older:
                    self._log.let_go(one, kept=one in kept)
                self.stats.checkpoints += 1
                self.stats.checkpoint_seconds += time.monotonic() - started
                self._on_checkpoint()

        self._lane.submit(write_and_let_go, done)

    def _write(self, detached: Sequence[_Detached]) -> list[int | OSError]:
        """In the lane. A full disk is a result, for each chunk; other errors are raised."""
        results: list[int | OSError] = []
        for one in detached:
            try:
                results.append(self._files.write(one.write))
            except OSError as error:
                if error.errno not in FULL_DISK:
                    raise
                results.append(error)
        return results

    def _let_go(self, older: Sequence[Spare], kept: Sequence[Spare]) -> None:
        """In the lane. Oldest first: the oldest segment that is left is what recovery starts from."""
        self._files.sync()
        for one in older:
            path = segment.path_of(one.segment_id)
            if one in kept:
                self._disk.rename(path, segment.spare_path(one.segment_id))
            elif one.segment_id in self._damaged:
                put_aside(self._disk, path)
            else:
                self._disk.unlink(path, missing_ok=True)

    def _written(self, detached: Sequence[_Detached], outcome: Outcome[list[int | OSError]]) -> bool:
        """Account for a write; whether all of it was done."""
        if outcome.error is not None:
            self._failed = True
            self._on_failed(outcome.error)
            return False
        complete = True
        for one, result in zip(detached, outcome.get(), strict=True):
            if isinstance(result, OSError):
                complete = False
                self._table.flush_failed(one.chunk, one.parts, sum(map(len, one.parts)))
            else:
                self._table.flushed(one.chunk, result)
                self.stats.flushes += 1
                self.stats.flushed_bytes += result
            self._on_flushed(one.chunk)
        if not complete:
            self._on_full()
        return complete

    def _removed(self, outcome: Outcome[None]) -> None:
        if outcome.error is not None:  # it costs room, no data: recovery removes it at the next start
            _log.warning("a file could not be removed", extra={"error": str(outcome.error)})
