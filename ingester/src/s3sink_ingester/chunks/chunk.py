"""One chunk that isn't sealed yet, and the moment of two clocks. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import NamedTuple

from s3sink_ingester.journal.entries import Definition
from s3sink_ingester.policy import SealReason


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks. Seconds; ``wall`` since the epoch, ``monotonic`` since some fixed moment.

    The wall clock only names windows; ages and deadlines are monotonic, so that a clock that jumps can't hold
    records back or seal everything at once.
    """

    wall: float
    monotonic: float


class Chunk:
    """One chunk that isn't sealed yet. ``length`` and ``records`` count what is committed.

    Its first ``flushed`` bytes are in its file, then up to ``taken`` on the way there; the rest is *pending*. The
    journal has all that is pending (``spans``), memory the newest appends of it (``parts``).
    """

    __slots__ = (
        "closed",
        "deadline",
        "deadline_reason",
        "definition",
        "encoded",
        "flushed",
        "id",
        "in_flight",
        "kind",
        "length",
        "parts",
        "records",
        "spans",
        "taken",
        "window_start",
    )

    def __init__(self, definition: Definition, deadline: float, reason: SealReason) -> None:
        self.id = definition.chunk_id
        self.definition = definition
        self.kind = definition.kind
        self.window_start = definition.window_start
        self.encoded = definition.encode()
        self.deadline = deadline
        self.deadline_reason = reason
        self.length = 0
        self.records = 0
        self.in_flight = False
        self.closed: SealReason | None = None
        self.flushed = 0
        self.taken = 0
        self.spans = array("Q")  # position and length of each append in turn
        self.parts: list[bytes] = []

    @property
    def flushing(self) -> bool:
        """Whether some of its bytes are on the way to its file: only one write may be."""
        return self.taken != self.flushed

    @property
    def pending_bytes(self) -> int:
        """Committed, not in its file nor on the way there."""
        return self.length - self.taken

    def pending(self) -> Pending:
        """What is pending now; more of it may become so in a chunk that is open."""
        return Pending(self, self.taken, self.length - self.taken, self.spans, self.parts)


class Pending(NamedTuple):
    """Appends of a chunk, taken to be written at ``offset`` in its file, or into its object."""

    chunk: Chunk
    offset: int
    length: int
    spans: array[int]
    """Of all of them."""
    parts: list[bytes]
    """The payloads of the last of them."""

    @property
    def missing(self) -> array[int]:
        """The spans of those whose payloads must be read from the journal."""
        return self.spans[: len(self.spans) - 2 * len(self.parts)]


def chunk_path(chunk_id: int) -> str:
    """Where the raw lines of a chunk lie on the volume."""
    return f"chunks/{chunk_id:016x}.raw"
