"""Payloads read back from the journal: while their segment is there, they need not be held in memory.

A *position* is a place in the journal as one process sees it: its segments laid end to end. A *span* is the position
and the length of a payload. Neither is ever written to a disk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from s3sink_ingester.disk import Disk, Reader
from s3sink_ingester.errors import VolumeError
from s3sink_ingester.journal.segment import path_of

BLOCK_BYTES = 1 << 20
"""What is read together: spans are many and small, and a system call gives the interpreter to another thread."""

Wanted = tuple[int, int, list[bytes]]
"""Position and length of a span, and the list that its payload goes to."""


class Extent(NamedTuple):
    """Where a segment lies among the positions."""

    position: int
    size: int
    segment_id: int


class SpanReader:
    """Reads spans of the segments that ``extents`` names. For one job in one thread; to be closed behind it."""

    def __init__(self, disk: Disk, extents: Sequence[Extent]) -> None:
        self._disk = disk
        self._extents = extents
        self._readers: dict[int, Reader] = {}

    def read(self, wanted: Sequence[Sequence[int]]) -> list[list[bytes]]:
        """For each of ``wanted`` (position and length of each span in turn, ascending) its payloads.

        Everything is read in the journal's order and a block at a time, whatever the order of the spans.
        Raises ``OSError``, ``VolumeError``.
        """
        found: list[list[bytes]] = [[] for _ in wanted]
        blocks: defaultdict[int, list[Wanted]] = defaultdict(list)
        for payloads, spans in zip(found, wanted, strict=True):
            numbers = iter(spans)
            for position, length in zip(numbers, numbers, strict=True):
                blocks[position // BLOCK_BYTES].append((position, length, payloads))
        for block in sorted(blocks):
            self._read_together(blocks.pop(block))
        return found

    def close(self) -> None:
        """Let go of the files."""
        for one in self._readers.values():
            one.close()
        self._readers.clear()

    def _read_together(self, spans: Sequence[Wanted]) -> None:
        first = min(position for position, _, _ in spans)
        begin, end, reader = self._find(first)
        here = [span for span in spans if span[0] < end]
        try:
            data = reader.read(first - begin, max(position + length for position, length, _ in here) - first)
        except OSError:
            if len(spans) == 1:
                raise
            for span in spans:  # what can't be read may lie between them: recovery has read each of them
                self._read_together([span])
            return
        for position, length, payloads in here:
            payload = data[position - first : position - first + length]
            if len(payload) != length:
                raise VolumeError(
                    f"a segment of the journal ends within the payload at byte {position - begin}"
                )
            payloads.append(payload)
        if len(here) < len(spans):  # a block may reach into the next segment
            self._read_together([span for span in spans if span[0] >= end])

    def _find(self, position: int) -> tuple[int, int, Reader]:
        for begin, size, segment_id in self._extents:
            if begin <= position < begin + size:
                reader = self._readers.get(segment_id)
                if reader is None:
                    reader = self._readers[segment_id] = self._disk.reader(path_of(segment_id))
                return begin, begin + size, reader
        raise VolumeError(f"no segment of the journal has position {position}: it was let go too early")
