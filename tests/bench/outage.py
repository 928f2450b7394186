"""Ingest while S3 is healthy, refuses connections, never answers, or is slow: latency should not tell which."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.bench import stalls
from tests.bench.loads import LOADS
from tests.bench.servers import Bench, S3Sink, Store, store
from tests.bench.throughput import Sample, Timing, sample, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("healthy", "refusing", "hanging", "slow")
SLOW = 64 * 1024.0  # bytes a second for each connection


def measure(contestant: S3Sink, kind: str, bench: Bench, timing: Timing) -> Sample:
    """Single messages over 100 keys, with S3 in the state `kind`."""
    with (
        scratch(bench, "s3") as directory,
        store(bench, directory) as healthy,
        _state(kind, healthy) as target,
    ):
        return sample(contestant, LOADS[0], bench, timing, target)


@contextmanager
def _state(kind: str, healthy: Store) -> Iterator[Store]:
    if kind == "healthy":
        yield healthy
        return
    port = urlsplit(healthy.endpoint).port or 0
    endpoints = {
        "refusing": stalls.refusing(),
        "hanging": stalls.hanging(),
        "slow": stalls.slow(port, SLOW),
    }
    with endpoints[kind] as endpoint:
        yield Store(healthy.objects, healthy.server, endpoint)
