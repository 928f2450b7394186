"""Payloads read back from the journal: while their segment is there, they need not be held in memory.

A *position* is a place in the journal as one process sees it: its segments laid end to end. A *span* is the position
and the length of a payload. Neither is ever written to a disk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from s3sink_ingester.disk import Disk, Reader
from s3sink_ingester.errors import VolumeError
from s3sink_ingester.journal.segment import path_of

BLOCK_BYTES = 1 << 20
"""What is read together. The kernel maps a large folio as a whole, so one byte may cost as much resident memory."""

BLOCKS_MAPPED = 4
"""Blocks after which the kernel may take the mapped pages back."""


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
        """For each of ``wanted`` (position and length of each span in turn) its payloads.

        Everything is read in the journal's order, whatever the order of the spans: so little of it is mapped at a time.
        Raises ``OSError``, ``VolumeError``.
        """
        found: list[list[bytes]] = [[] for _ in wanted]
        blocks: defaultdict[int, list[tuple[int, int, list[bytes]]]] = defaultdict(list)
        for payloads, spans in zip(found, wanted, strict=True):
            numbers = iter(spans)
            for position, length in zip(numbers, numbers, strict=True):
                blocks[position // BLOCK_BYTES].append((position, length, payloads))
        for number, block in enumerate(sorted(blocks), start=1):
            self._read_block(blocks.pop(block))
            if number % BLOCKS_MAPPED == 0:
                self._forget()
        self._forget()
        return found

    def close(self) -> None:
        """Let go of the files."""
        for one in self._readers.values():
            one.close()
        self._readers.clear()

    def _read_block(self, spans: Sequence[tuple[int, int, list[bytes]]]) -> None:
        begin = end = 0
        read: Callable[[int, int], bytes] | None = None
        for position, length, payloads in spans:
            if read is None or not begin <= position < end:
                begin, end, read = self._find(position)
            payload = read(position - begin, length)
            if len(payload) != length:
                raise VolumeError(
                    f"a segment of the journal ends within the payload at byte {position - begin}"
                )
            payloads.append(payload)

    def _forget(self) -> None:
        for one in self._readers.values():
            one.forget()

    def _find(self, position: int) -> tuple[int, int, Callable[[int, int], bytes]]:
        for begin, size, segment_id in self._extents:
            if begin <= position < begin + size:
                reader = self._readers.get(segment_id)
                if reader is None:
                    reader = self._readers[segment_id] = self._disk.reader(path_of(segment_id))
                return begin, begin + size, reader.read
        raise VolumeError(f"no segment of the journal has position {position}: it was let go too early")
