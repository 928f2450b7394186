"""What is counted of the work on a volume since the process started."""

from __future__ import annotations

from dataclasses import dataclass, field

from s3sink_ingester.flusher import FlusherStats
from s3sink_ingester.journal.log import SyncStats
from s3sink_ingester.records import Kind
from s3sink_ingester.sealer import SealerStats


@dataclass(slots=True)
class Counts:
    """One for all stores of a process: a volume that is recovered in place gets a new store, and counters go on."""

    groups: int = 0
    """Commits."""
    accepted_bytes: int = 0
    accepted_by_kind: list[int] = field(default_factory=lambda: [0] * len(Kind))
    """Records; an entry for each ``Kind``."""
    syncs: SyncStats = field(default_factory=SyncStats)
    flushes: FlusherStats = field(default_factory=FlusherStats)
    seals: SealerStats = field(default_factory=SealerStats)
