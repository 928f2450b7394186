"""A store on a fake disk with a ledger: what was acknowledged, and what is found at the end."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from s3sink_ingester.chunks import Now
from s3sink_ingester.config import Compression
from s3sink_ingester.disk import Disk
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.errors import S3SinkError
from s3sink_ingester.gate import Gate
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.policy import BatchLimits
from s3sink_ingester.records import Kind, Partition
from s3sink_ingester.sealer import Encoding
from s3sink_ingester.store import Store, StoreSettings, open_store


class PowerCut(BaseException):
    """The machine is gone: no code of ours handles this."""


class ManualClock:
    """Both clocks, moved by hand."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.wall = wall
        self.monotonic = 1000.0

    def __call__(self) -> Now:
        return Now(self.wall, self.monotonic)

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


def settings(**changes: object) -> StoreSettings:
    """Small limits, so that a short test rotates, seals and checkpoints many times."""
    values: dict[str, object] = {
        "pod": "pod-0",
        "limits": BatchLimits(window=60, max_bytes=600, max_age=60.0),
        "encoding": Encoding(Compression.GZIP, 1),
        "size": 1 << 30,
        "high_watermark_percent": 85,
        "segment_bytes": 1500,
        "memory_bytes": 800,
        "block_bytes": 300,
    }
    values.update(changes)
    return StoreSettings(**values)  # type: ignore[arg-type]  # a table of changes has no better type


@dataclass(slots=True)
class Ledger:
    """The oracle. Ids are unique; a line is ``<id> <padding>``."""

    sent: set[str] = field(default_factory=set)
    acked: set[str] = field(default_factory=set)
    bucket: dict[str, bytes] = field(default_factory=dict)

    def put(self, disk: Disk, obj: SealedObject) -> None:
        """What the object store does with an upload: the same key again must be the same bytes."""
        data = disk.read(obj.path)
        assert self.bucket.setdefault(obj.key, data) == data, f"{obj.key} was uploaded with other bytes before"

    def found(self) -> Counter[str]:
        """How often each id stands in the bucket."""
        return Counter(line.split()[0].decode() for data in self.bucket.values() for line in _lines(data))

    def check(self) -> None:
        """Every acknowledged record once, nothing twice, nothing that was never sent."""
        found = self.found()
        assert set(found) <= self.sent
        assert self.acked <= set(found), f"lost: {sorted(self.acked - set(found))[:10]}"
        twice = [one for one, count in found.items() if count > 1]
        assert not twice, f"duplicated: {twice[:10]}"


def _lines(data: bytes) -> Iterable[bytes]:
    return gzip.decompress(data).splitlines()


@dataclass(slots=True)
class Request:
    """A waiter that writes its fate into the ledger."""

    ids: list[str]
    ledger: Ledger
    outcome: S3SinkError | bool | None = None

    def committed(self) -> None:
        assert self.outcome is None
        self.outcome = True
        self.ledger.acked.update(self.ids)

    def failed(self, error: S3SinkError) -> None:
        assert self.outcome is None
        self.outcome = error


class Machine:
    """A machine with one volume, one process at a time, and a power cord."""

    def __init__(self, seed: int, **changes: object) -> None:
        self.rng = Random(seed)
        self.disk = FakeDisk()
        self.clock = ManualClock()
        self.ledger = Ledger()
        self.settings = settings(**changes)
        self.store: Store | None = None
        self.upload = True
        self.held: list[SealedObject] = []
        self._count = 0

    async def start(self) -> Store:
        """Start the process: recover and open."""
        self.held = []
        store = await open_store(
            self.disk, self.settings, self.clock, self.rng, gate=Gate(), on_sealed=self._sealed
        )
        self.store = store
        for obj in self.held:
            self._put(obj)
        if self.upload:
            self.held = []
        return store

    def send(self, partitions: int, records: int, size: int = 40) -> Request:
        """One request with ``records`` records over some of ``partitions`` partitions."""
        assert self.store is not None
        batches = {}
        ids = []
        for _ in range(records):
            self._count += 1
            ids.append(f"r{self._count}")
            name = f"p{self.rng.randrange(partitions)}/"
            batches.setdefault(name, []).append(f"{ids[-1]} {'x' * self.rng.randrange(size)}\n".encode())
        self.ledger.sent.update(ids)
        request = Request(ids, self.ledger)
        self.store.submit(
            [(Partition(name, Kind.DATA), b"".join(lines), len(lines)) for name, lines in batches.items()], request
        )
        return request

    async def settle(self, turns: int = 30) -> None:
        """Let the lanes and the loop do what they have to do."""
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.sleep(0.0005)

    async def drain(self) -> None:
        """Seal and upload everything."""
        assert self.store is not None
        self.upload = True
        held, self.held = self.held, []
        for obj in held:
            self._put(obj)
        await self.store.drain("test")
        for _ in range(2000):
            self.store.tick()
            await self.settle(5)
            if self.store.is_drained:
                return
        raise AssertionError(f"not drained: {self.store.status()}")

    def cut_power_after(self, operations: int) -> None:
        """The machine dies at the n-th disk operation from now."""
        left = operations

        def before(operation: str, path: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise PowerCut

        self.disk.before = before

    async def power_loss(self) -> None:
        """The power goes and comes back."""
        await self._die()
        self.disk = self.disk.after_power_loss(self.rng)

    async def kill(self) -> None:
        """The process is killed; the page cache survives."""
        await self._die()
        self.disk = self.disk.after_kill()

    async def stop(self) -> None:
        """End the process in order."""
        if self.store is not None:
            await self.store.close()
            self.store = None

    async def _die(self) -> None:
        def dead(operation: str, path: str) -> None:
            raise PowerCut

        self.disk.before = dead
        if self.store is not None:
            await self.store.close()
            self.store = None

    def _sealed(self, obj: SealedObject) -> None:
        self.held.append(obj)
        if self.store is not None and self.upload:
            self._put(self.held.pop())

    def _put(self, obj: SealedObject) -> None:
        if not self.upload or self.store is None:
            return
        try:
            self.ledger.put(self.disk, obj)
        except PowerCut:
            return
        self.store.uploaded(obj)
