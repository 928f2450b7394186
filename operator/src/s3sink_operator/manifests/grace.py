"""How long a pod may take to end, and what it spends that on: the flush budget. Pure.

It serves on until no proxy sends anything to it any more, seals and uploads what it can, and ends as soon as nothing is
left. What it doesn't get done stays on its volume for the next pod, so the budget bounds how long a node drain is held
up, not what is safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from s3sink_operator.spec import Spec

SECONDS: Final = 300
"""Unless the user says otherwise. ``make bench`` shows 476 MB of records or 330 objects a second on one core: time for
an object in each of 10,000 partitions, and for what a fast network takes of a full buffer. It is the same for all sizes
of buffers, since the pod template mustn't change when volumes grow. The cluster autoscaler waits for 600 s."""
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


def grace_of(spec: Spec) -> Grace:
    """As the user says, else ``SECONDS``. A short one is shared out."""
    total = spec.pod_template.termination_grace_period_seconds or SECONDS
    routing = min(ROUTING_SECONDS, total // 6)
    return Grace(total, routing, total - routing - min(CLOSING_SECONDS, total // 6))
