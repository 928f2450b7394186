"""What is gathered for one sync, and where it is placed. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from s3sink_ingester.chunks.chunk import Chunk
from s3sink_ingester.journal import entries
from s3sink_ingester.records import Batch


class Group:
    """What is gathered for one sync: batches by the names of their partitions, in arrival order."""

    __slots__ = ("batches", "bytes")

    def __init__(self) -> None:
        self.batches: defaultdict[str, list[Batch]] = defaultdict(list)
        self.bytes = 0

    def add(self, batches: Sequence[Batch]) -> None:
        """Add the records of one request."""
        gathered = self.batches
        size = 0
        for batch in batches:
            gathered[batch[0].name].append(batch)
            size += len(batch[1])
        self.bytes += size


Append: TypeAlias = tuple[Chunk, bytes, int]
"""(chunk, payload, number of records)."""


class Placement:
    """A group with a chunk for each of its partitions: not yet committed."""

    __slots__ = ("appends", "created", "size", "words")

    def __init__(self, size: int = 0) -> None:
        self.appends: list[Append] = []
        self.created: list[Chunk] = []
        self.size = size  # bytes of all payloads
        self.words: list[int] = []  # of the appends, as ``entries.encode_appends`` takes them

    def encode(self) -> tuple[list[bytes], bytes, list[bytes]]:
        """Definitions, appends and payloads for the journal."""
        payloads = [payload for _, payload, _ in self.appends]
        return [chunk.encoded for chunk in self.created], entries.encode_appends(self.words), payloads
