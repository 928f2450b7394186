"""How long a pod may take to end, and what it spends that on: the flush budget. Pure.

It serves on until no proxy sends anything to it any more, seals and uploads what it can, and ends as soon as nothing is
left. What it doesn't get done stays on its volume for the next pod, so the budget bounds how long a node drain is held
up, not what is safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from s3sink_operator.spec import Spec, usable_bytes

BASE_SECONDS: Final = 30
BYTES_PER_SECOND: Final = 64 * 2**20
OBJECTS_PER_SECOND: Final = 100
"""Sealing and uploading, of uncompressed records, as far as the bucket is fast enough. ``make bench`` shows 140 MiB and
160 objects a second on one core."""
MAX_SECONDS: Final = 600
"""No more than the cluster autoscaler waits for a node unless told otherwise."""
ROUTING_SECONDS: Final = 5
"""From the pod's being taken off the Service to the last proxy's knowing it."""
CLOSING_SECONDS: Final = 5
"""From the ingester's giving up to its end."""


@dataclass(frozen=True, slots=True)
class Grace:
    """In whole seconds. ``routing`` and ``flush`` are parts of ``total``, and leave time for closing."""

    total: int
    routing: int
    flush: int


def grace_of(spec: Spec, volume_size: str) -> Grace:
    """As the user says, else time for a buffer at its watermark and an object of each partition: 255 s for the
    defaults. A short one is shared out."""
    total = spec.pod_template.termination_grace_period_seconds or _total(spec, volume_size)
    routing = min(ROUTING_SECONDS, total // 6)
    return Grace(total, routing, total - routing - min(CLOSING_SECONDS, total // 6))


def _total(spec: Spec, volume_size: str) -> int:
    filled = usable_bytes(volume_size) * spec.buffer.high_watermark_percent // 100
    flush = filled // BYTES_PER_SECOND + spec.partitioning.max_partitions // OBJECTS_PER_SECOND
    return min(BASE_SECONDS + flush, MAX_SECONDS)
