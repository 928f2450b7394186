"""How long an ingester takes from `kill -9` to ready again, for the two kinds of buffer there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import filling
from tests.bench.servers import DRAIN_TIMEOUT, Bench, S3Sink, count_records, store
from tests.bench.throughput import scratch

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Buffer:
    """A buffer of `size` bytes over `keys` keys. Up to one journal segment it lies in the journal alone."""

    name: str
    keys: int
    size: int


@dataclass(frozen=True)
class Recovery:
    """Seconds from the start of the process to /readyz, on an empty volume and after a kill -9."""

    empty: float
    recovered: float
    buffer_bytes: int  # on the disk, as the ingester says after recovery
    acknowledged: int
    accepted: int  # as it says after recovery
    found: int

    @property
    def seconds_per_gib(self) -> float:
        return max(0.0, self.recovered - self.empty) / (self.buffer_bytes or 1) * GIB

    @property
    def honest(self) -> bool:
        return self.acknowledged == self.accepted == self.found


def buffers(size: int) -> list[Buffer]:
    return [
        Buffer("in the journal, 10,000 keys", 10_000, 48 * MIB),
        Buffer("in chunks, 100 keys", 100, size),
        Buffer("in chunks, 10,000 keys", 10_000, size),
    ]


def sample(contestant: S3Sink, buffer: Buffer, bench: Bench) -> Recovery:
    """Fill a buffer, kill the ingester, start it again; then drain it and count what is in the objects."""
    with scratch(bench) as directory:
        return _sample(contestant, buffer, bench, directory)


def _sample(contestant: S3Sink, buffer: Buffer, bench: Bench, directory: Path) -> Recovery:
    with store(bench, directory) as objects:
        ingester = contestant.prepare(bench, directory, objects.destination)
        try:
            empty = ingester.start()
            levels = filling.evenly(buffer.keys, buffer.size)
            posted = filling.post(ingester.data_url, contestant.form, buffer.keys, levels)
            ingester.kill()
            recovered = ingester.start(timeout=600.0)
            status = ingester.status()
            ingester.drain(DRAIN_TIMEOUT)
        finally:
            ingester.stop_if_running()
        return Recovery(
            empty=empty,
            recovered=recovered,
            buffer_bytes=status.raw["diskBytes"],
            acknowledged=posted,
            accepted=status.accepted_records,
            found=count_records(objects.objects),
        )
