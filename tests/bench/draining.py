"""How fast an ingester seals and uploads a full buffer, to files and to a real S3 server."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import filling, measure
from tests.bench.messages import SIZE
from tests.bench.servers import DRAIN_TIMEOUT, Bench, S3Sink, Store, count_records, store
from tests.bench.throughput import scratch

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Drain:
    """From POST /drain until nothing is left."""

    seconds: float
    cpu_seconds: float
    records: int
    found: int
    objects: int

    @property
    def megabytes_per_second(self) -> float:
        """Of raw records, 10^6 bytes."""
        return self.records * SIZE / self.seconds / 1e6

    @property
    def objects_per_second(self) -> float:
        return self.objects / self.seconds

    @property
    def honest(self) -> bool:
        return self.records == self.found


def sample(contestant: S3Sink, keys: int, size: int, bench: Bench, *, to_files: bool) -> Drain:
    """Fill the buffer with `size` bytes over `keys` keys, then empty it."""
    with scratch(bench) as directory:
        files = nullcontext(Store(directory / "objects"))
        with files if to_files else store(bench, directory) as objects:
            return _sample(contestant, filling.evenly(keys, size), bench, directory, objects)


def _sample(
    contestant: S3Sink, levels: dict[str, int], bench: Bench, directory: Path, objects: Store
) -> Drain:
    ingester = contestant.prepare(bench, directory, objects.destination)
    try:
        ingester.start()
        posted = filling.post(ingester.data_url, contestant.form, len(levels), levels)
        cpu = measure.cpu_seconds(ingester.process.pid)
        started = time.monotonic()
        ingester.drain(DRAIN_TIMEOUT)
        elapsed = time.monotonic() - started
        cpu = measure.cpu_seconds(ingester.process.pid) - cpu
    finally:
        ingester.stop_if_running()
    return Drain(
        seconds=elapsed,
        cpu_seconds=cpu,
        records=posted,
        found=count_records(objects.objects),
        objects=sum(1 for _ in objects.objects.rglob("*.gz")),
    )
