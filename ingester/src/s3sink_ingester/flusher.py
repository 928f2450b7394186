"""Pending bytes to chunk files, and the checkpoint that lets old segments go. Chunk files have one lane."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial

from s3sink_ingester.chunkfiles import ChunkFiles
from s3sink_ingester.chunks import Chunk, ChunkTable, Pending, chunk_path
from s3sink_ingester.disk import FULL_DISK, Disk
from s3sink_ingester.journal import segment
from s3sink_ingester.journal.log import Log
from s3sink_ingester.journal.segment import Spare
from s3sink_ingester.journal.spans import Extent, SpanReader
from s3sink_ingester.lanes import Lane, Outcome
from s3sink_ingester.volume import put_aside

_log = logging.getLogger(__name__)

PORTION_BYTES = 4 << 20
"""Payloads that are read from the journal at a time. Each time costs a walk through the segments."""


class FlusherStats:
    """Counts of writes to chunk files."""

    __slots__ = ("checkpoint_seconds", "checkpoints", "flushed_bytes", "flushes")

    def __init__(self) -> None:
        self.flushes = 0
        self.flushed_bytes = 0
        self.checkpoints = 0
        self.checkpoint_seconds = 0.0


class Flusher:
    """Runs on the loop; its work runs in its lane. A full disk is retried (``retry``); any other error is fatal."""

    def __init__(
        self,
        disk: Disk,
        lane: Lane,
        table: ChunkTable,
        log: Log,
        *,
        held_limit: int,
        on_flushed: Callable[[Chunk], None],
        on_full: Callable[[], None],
        on_failed: Callable[[BaseException], None],
        on_checkpoint: Callable[[], None],
        keep_spares: Callable[[], bool],
        damaged: frozenset[int],
        stats: FlusherStats,
    ) -> None:
        """``held_limit``: bytes of payloads that may wait here in memory; what waits beyond is read from the journal.

        ``damaged``: segments that are moved into the quarantine where others are deleted.
        """
        self._disk = disk
        self._lane = lane
        self._table = table
        self._log = log
        self._files = ChunkFiles(disk)
        self._held_limit = held_limit
        self._held = 0
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
        self._stats = stats

    def flush(self, chunks: Iterable[Chunk]) -> None:
        """Write the pending bytes of chunks; not synced, since the journal still has them."""
        if self._settling or self._failed:
            return  # a checkpoint is about to flush everything; or nothing can be written any more
        detached = self._detach(chunks)
        if not detached:
            return
        extents = self._log.extents()

        def done(outcome: Outcome[list[OSError | None]]) -> None:
            self._written(detached, outcome)

        self._lane.submit(lambda: self._write(detached, extents), done)

    def load(self, pending: Pending, done: Callable[[Outcome[list[bytes]]], None]) -> None:
        """Read what is pending of a chunk. In this lane, since it is here that segments are let go.

        A journal that can't be read is fatal, as it is to a checkpoint: recovery finds out what it still holds.
        """
        extents = self._log.extents()

        def read() -> list[bytes]:
            with closing(SpanReader(self._disk, extents)) as journal:
                (missing,) = journal.read([pending.missing])
                return missing + pending.parts

        def loaded(outcome: Outcome[list[bytes]]) -> None:
            if outcome.error is not None:
                self._fail(outcome.error)
            done(outcome)

        self._lane.submit(read, loaded)

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

    def put_chunk_aside(self, chunk: Chunk, done: Callable[[bool], None]) -> bool:
        """Move a closed chunk's file into the quarantine; then ``done``, with False if the disk was too full for it.

        Its last bytes are written to it before: a checkpoint would, and find no file any more. Returns False if it has
        to be asked for again after that.
        """
        if chunk.flushing or chunk.pending_bytes:
            if not chunk.flushing:
                self.flush([chunk])
            return False

        def move() -> bool:
            self._files.finish(chunk.id)
            try:
                put_aside(self._disk, chunk_path(chunk.id))
            except OSError as error:
                if error.errno not in FULL_DISK:
                    raise
                return False
            return True

        def moved(outcome: Outcome[bool]) -> None:
            if outcome.error is not None:  # what it held is unknown; recovery finds out where it is
                self._fail(outcome.error)
                return
            if not outcome.get():
                self._on_full()
            done(outcome.get())

        self._lane.submit(move, moved)
        return True

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
                self._log.adopt([], [spare])
            else:
                _log.warning("no spare segment could be made", extra={"error": str(outcome.error)})

        self._lane.submit(lambda: segment.make_spare(self._disk, spare), made)

    def release_spares(self) -> None:
        """Delete the spares: the disk is full."""
        for spare in self._log.take_spares():
            self._lane.submit(partial(self._remove_spare, spare), self._removed)

    def _remove_spare(self, spare: Spare) -> None:
        self._disk.unlink(segment.spare_path(spare.segment_id), missing_ok=True)

    def _detach(self, chunks: Iterable[Chunk]) -> list[Pending]:
        detached = []
        for chunk in chunks:
            pending = self._table.detach(chunk)
            if self._held + pending.length > self._held_limit:
                pending = pending._replace(parts=[])
            self._held += sum(map(len, pending.parts))
            detached.append(pending)
        return detached

    def _settled(self, started: float) -> None:
        self._settling = False
        if self._failed:  # a flush that was under way is lost: only the older segments hold its bytes now
            return
        older = self._log.older_segments()
        sound = [one for one in older if one.segment_id not in self._damaged]
        kept = sound[: self._log.spares_wanted] if self._keep_spares() else []
        detached = self._detach(list(self._table.dirty()))

        extents = self._log.extents()

        def write_and_let_go() -> list[OSError | None]:
            results = self._write(detached, extents)
            if not any(results):
                self._let_go(older, kept)
            return results

        def done(outcome: Outcome[list[OSError | None]]) -> None:
            self._checkpointing = False
            written = self._written(detached, outcome)
            if written:
                for one in older:
                    self._log.let_go(one, kept=one in kept)
                self._stats.checkpoints += 1
                self._stats.checkpoint_seconds += time.monotonic() - started
                self._on_checkpoint()

        self._lane.submit(write_and_let_go, done)

    def _write(self, detached: Sequence[Pending], extents: Sequence[Extent]) -> list[OSError | None]:
        """In the lane. A full disk is a result, for each chunk; other errors are raised."""
        results: list[OSError | None] = []
        with closing(SpanReader(self._disk, extents)) as journal:
            for some in _portions(detached):
                missing = journal.read([one.missing for one in some])
                results += map(self._write_one, some, missing)
        return results

    def _write_one(self, pending: Pending, missing: list[bytes]) -> OSError | None:
        try:
            self._files.write(pending.chunk.id, pending.offset, missing + pending.parts)
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            return error
        return None

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

    def _written(self, detached: Sequence[Pending], outcome: Outcome[list[OSError | None]]) -> bool:
        """Account for a write; whether all of it was done."""
        self._held -= sum(len(part) for one in detached for part in one.parts)
        if outcome.error is not None:
            self._fail(outcome.error)
            return False
        results = outcome.get()
        for one, error in zip(detached, results, strict=True):
            if error is None:
                self._table.flushed(one.chunk)
                self._stats.flushes += 1
                self._stats.flushed_bytes += one.length
            else:
                self._table.flush_failed(one)
            self._on_flushed(one.chunk)
        if not any(results):
            return True
        self._on_full()
        return False

    def _fail(self, error: BaseException) -> None:
        self._failed = True
        self._on_failed(error)

    def _removed(self, outcome: Outcome[None]) -> None:
        if outcome.error is not None:  # it costs room, no data: recovery removes it at the next start
            _log.warning("a file could not be removed", extra={"error": str(outcome.error)})


def _portions(detached: Sequence[Pending]) -> Iterator[list[Pending]]:
    """Not more at a time than may be read into memory, unless a single one is larger."""
    portion: list[Pending] = []
    size = 0
    for one in detached:
        if portion and size + one.length > PORTION_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(one)
        size += one.length
    if portion:
        yield portion
