"""A store on a disk with a ledger: what was acknowledged, and what is found at the end."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import os
import re
import zlib
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from random import Random
from typing import Any, TypeVar

from s3sink_ingester.chunks import Now
from s3sink_ingester.config import Compression
from s3sink_ingester.disk import Disk
from s3sink_ingester.disk.fake import CutShort, FakeDisk
from s3sink_ingester.errors import ObjectCorrupt, Overloaded, S3SinkError
from s3sink_ingester.gate import Gate
from s3sink_ingester.lanes import Lane, Outcome
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.opening import open_store
from s3sink_ingester.policy import BatchLimits
from s3sink_ingester.records import Kind, Partition
from s3sink_ingester.sealer import Encoding
from s3sink_ingester.store import Store, StoreSettings, StoreStatus
from s3sink_ingester.volume import QUARANTINE

from tests.rig.lanes import Lanes

T = TypeVar("T")


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


def settings(**changes: Any) -> StoreSettings:
    """Small limits, so that a short test rotates, seals and checkpoints many times."""
    values: dict[str, Any] = {
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
    return StoreSettings(**values)


@dataclass(slots=True)
class Ledger:
    """The oracle. Ids are unique; a line is ``<id> <padding>``."""

    sent: set[str] = field(default_factory=set)
    acked: set[str] = field(default_factory=set)
    bucket: dict[str, bytes] = field(default_factory=dict)

    def put(self, disk: Disk, obj: SealedObject) -> None:
        """What the object store does with an upload: the same key again must be the same bytes."""
        data = disk.read(obj.path)
        if (len(data), hashlib.sha256(data).digest()) != (obj.size, obj.sha256):
            raise ObjectCorrupt(f"{obj.path} isn't what was sealed")
        assert len(_lines(data)) == obj.records, f"{obj.key} counts {obj.records} records"
        assert self.bucket.setdefault(obj.key, data) == data, (
            f"{obj.key} was uploaded with other bytes before"
        )

    def found(self) -> Counter[str]:
        """How often each id stands in the bucket."""
        return Counter(line.split()[0].decode() for data in self.bucket.values() for line in _lines(data))

    def check(self, put_aside: Iterable[str] = (), *, lost: int = 0) -> None:
        """Every acknowledged record once (or ``put_aside``), nothing twice, nothing that was never sent.

        ``lost``: so many acknowledged ones may be missing (no disk was made that can't lose what it lost).
        """
        found = self.found()
        assert set(found) <= self.sent
        missing = self.acked - set(found) - set(put_aside)
        assert len(missing) <= lost, f"lost: {sorted(missing)[:10]}"
        twice = [one for one, count in found.items() if count > 1]
        assert not twice, f"duplicated: {twice[:10]}"


def _lines(data: bytes) -> list[bytes]:
    return gzip.decompress(data).splitlines()


def put_aside(disk: Disk) -> set[str]:
    """Ids of the records that a person finds in the quarantine, however they lie there."""
    found: set[str] = set()
    for name in disk.listdir(QUARANTINE):
        data = disk.read(f"{QUARANTINE}/{name}")
        if data.startswith(b"\x1f\x8b"):
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error):
                continue
        found.update(one.decode() for one in re.findall(rb"\br\d+(?= )", data))
    return found


@dataclass(slots=True)
class Request:
    """A waiter that writes its fate into the ledger. A dead process tells nobody anything."""

    number: int
    ids: list[str]
    ledger: Ledger
    process: Lanes
    told: list[int]
    """Numbers of the requests of the process that were told their fate, in that order."""
    outcome: S3SinkError | bool | None = None

    def committed(self) -> None:
        if self._tell(True):
            self.ledger.acked.update(self.ids)

    def failed(self, error: S3SinkError) -> None:
        self._tell(error)

    def _tell(self, outcome: S3SinkError | bool) -> bool:
        if self.process.alive:
            assert self.outcome is None, "a waiter is told once"
            assert not self.told or self.told[-1] < self.number, (
                "waiters are told in the order of their requests"
            )
            self.told.append(self.number)
            self.outcome = outcome
        return self.process.alive

    @property
    def refused_for(self) -> str | None:
        """Why the records weren't taken."""
        return self.outcome.reason if isinstance(self.outcome, Overloaded) else None


@dataclass(slots=True)
class Fault:
    """From the ``skip``-th operation that fits on, ``times`` of them fail; -1: until it is taken away.

    ``operations``: names as in ``FakeDisk.before``. ``paths``: a pattern as in a shell. ``fraction``: of a write
    that is done anyway.
    """

    operations: tuple[str, ...]
    paths: str
    number: int = errno.EIO
    skip: int = 0
    times: int = 1
    fraction: float = 0.0
    hits: int = 0

    def check(self, operation: str, path: str) -> None:
        if operation not in self.operations or not fnmatchcase(path, self.paths) or self.times == 0:
            return
        if self.skip:
            self.skip -= 1
            return
        self.times -= 1
        self.hits += 1
        error = OSError(self.number, os.strerror(self.number), path)
        if operation == "write":
            raise CutShort(self.fraction, error)
        raise error


class Machine:
    """A machine with one volume, one process at a time, and a power cord.

    Lanes are simulated: what runs when follows from the seed alone. ``threads``: real ones.
    """

    def __init__(
        self, seed: int, *, disk: Disk | None = None, threads: bool = False, **changes: object
    ) -> None:
        self.rng = Random(seed)
        self.disk: Disk = FakeDisk() if disk is None else disk
        self.clock = ManualClock()
        self.ledger = Ledger()
        self.settings = settings(**changes)
        self.store: Store | None = None
        self.lanes = Lanes(self.rng)
        self.faults: list[Fault] = []
        self.operations: list[tuple[str, str]] = []
        self.on = True
        self._threads = threads
        self._uploads: Lane | None = None
        self._waiting: list[SealedObject] = []
        self._operations_left = -1
        self._lines_sent = 0
        self._requests = 0
        self._told: list[int] = []
        self._upload = True
        self._wrong: list[AssertionError] = []

    @property
    def fake(self) -> FakeDisk:
        """The disk, where it is a fake one."""
        assert isinstance(self.disk, FakeDisk)
        return self.disk

    @property
    def running(self) -> Store:
        """The store of the process."""
        assert self.store is not None
        return self.store

    @property
    def upload(self) -> bool:
        """Whether the object store can be reached."""
        return self._upload

    @upload.setter
    def upload(self, reachable: bool) -> None:
        self._upload = reachable
        if reachable:
            waiting, self._waiting = self._waiting, []
            for obj in waiting:
                self._put(obj)

    async def start(self) -> Store:
        """Start the process: recover and open."""
        self.lanes = Lanes(self.rng)
        self.on = True
        self._waiting = []
        self._told = []
        if isinstance(self.disk, FakeDisk):
            self.disk.before = self._before
        loop = asyncio.get_running_loop()
        make = Lane if self._threads else self.lanes.make
        self._uploads = make("uploads", loop)
        self.store = await self._guarded(
            open_store(
                self.disk,
                self.settings,
                self.clock,
                self.rng,
                gate=Gate(),
                on_sealed=partial(self._sealed, self.lanes),
                make_lane=make,
            )
        )
        self.upload = self._upload
        return self.store

    def send(self, partitions: int, records: int, size: int = 40) -> Request:
        """One request with ``records`` records over some of ``partitions`` partitions."""
        chosen = [f"p{self.rng.randrange(partitions)}/" for _ in range(records)]
        return self.send_to(chosen, size)

    def send_to(self, partitions: list[str], size: int = 40) -> Request:
        """One request with one record for each of ``partitions``, of up to ``size`` bytes of padding."""
        batches: dict[str, list[bytes]] = {}
        ids = []
        for name in partitions:
            self._lines_sent += 1
            ids.append(f"r{self._lines_sent}")
            batches.setdefault(name, []).append(f"{ids[-1]} {'x' * self.rng.randrange(size)}\n".encode())
        self.ledger.sent.update(ids)
        self._requests += 1
        request = Request(self._requests, ids, self.ledger, self.lanes, self._told)
        try:
            self.running.submit(
                [
                    (Partition(name, Kind.DATA), b"".join(lines), len(lines))
                    for name, lines in batches.items()
                ],
                request,
            )
        except S3SinkError as error:
            request.outcome = error
        return request

    async def settle(self, turns: int = 30) -> None:
        """Let the lanes and the loop do what they have to do."""
        if self._threads:
            for _ in range(turns):
                await asyncio.sleep(0)
            await asyncio.sleep(0.0005)
        else:
            await self.lanes.settle()

    async def turns(self, count: int) -> None:
        """Let the loop turn so often: something is done, and something is not."""
        for _ in range(count):
            await asyncio.sleep(0)

    async def drain(self) -> StoreStatus:
        """Seal and upload everything. Returns the last status."""
        self.upload = True
        await self._guarded(self.running.drain("test"))
        return await self.until_drained()

    async def until_drained(self) -> StoreStatus:
        """Tick until nothing is left. Returns the last status."""
        for _ in range(1000):
            self.clock.advance(0.25)
            self.running.tick()
            await self.settle(5)
            self.check_uploads()
            self.upload = self._upload
            if self.running.is_drained:
                return self.running.status()
        raise AssertionError(f"not drained: {self.running.status()}")

    def cut_power_after(self, operations: int) -> None:
        """The machine dies at the n-th disk operation from now."""
        self._operations_left = operations

    def fail(
        self, *operations: str, paths: str = "", number: int = errno.EIO, skip: int = 0, times: int = 1
    ) -> Fault:
        """Have disk operations fail."""
        fault = Fault(operations, paths, number, skip, times)
        self.faults.append(fault)
        return fault

    async def power_loss(self) -> None:
        """The power goes and comes back."""
        await self._die()
        self.disk = self.fake.after_power_loss(self.rng)

    async def kill(self) -> None:
        """The process is killed; the page cache survives."""
        store = self.store
        await self._die()
        if isinstance(self.disk, FakeDisk):
            self.disk = self.disk.after_kill()
        elif store is not None:
            store._volume.lock.close()  # the kernel does this for a process that is gone

    async def stop(self) -> None:
        """End the process in order."""
        if self.store is not None:
            await self._guarded(self.store.close())
            if self._uploads is not None:
                await self._guarded(self._uploads.close())
            self.lanes.kill()
            self.store = None

    async def finish(self) -> StoreStatus:
        """Take away what was wrong, start if need be, upload everything and stop. Returns the last status."""
        self.faults.clear()
        self._operations_left = -1
        if self.store is None:
            await self.start()
        status = await self.drain()
        assert status.accepted_records == status.uploaded_records + status.quarantined_records
        assert status.buffered_records == 0
        await self.stop()
        return status

    async def reopen(self) -> Store:
        """What the app does with a store that failed: close it and recover the volume in place."""
        await self.stop()
        return await self.start()

    async def _guarded(self, work: Coroutine[object, object, T]) -> T:
        """What ``work`` gives, unless the machine dies meanwhile."""
        task = asyncio.ensure_future(work)
        while not task.done():
            if not self.on:
                task.cancel()
                await asyncio.wait({task})
                raise PowerCut
            await asyncio.sleep(0)
        self.check_uploads()
        return task.result()

    def check_uploads(self) -> None:
        """Raise what the object store found wrong."""
        if self._wrong:
            raise self._wrong[0]

    async def _die(self) -> None:
        self.on = False
        self._operations_left = -1
        self.lanes.kill()
        if self._threads:
            if self.store is not None:
                await self.store.close()
            if self._uploads is not None:
                await self._uploads.close()
        self.store = None

    def _before(self, operation: str, path: str) -> None:
        if not self.on:
            raise PowerCut
        if self._operations_left == 0:
            self.on = False
            self.lanes.kill()
            if operation == "write":
                raise CutShort(self.rng.choice((0.0, 0.0, self.rng.random(), 1.0)), PowerCut())
            raise PowerCut
        self._operations_left -= self._operations_left > 0
        self.operations.append((operation, path))
        for fault in self.faults:
            fault.check(operation, path)

    def _sealed(self, process: Lanes, obj: SealedObject) -> None:
        if not process.alive:
            return
        self._waiting.append(obj)
        if self.store is not None:
            self.upload = self._upload

    def _put(self, obj: SealedObject) -> None:
        store, uploads = self.running, self._uploads
        assert uploads is not None
        disk = self.disk

        def done(outcome: Outcome[None]) -> None:
            if isinstance(outcome.error, AssertionError):
                self._wrong.append(outcome.error)
            elif isinstance(outcome.error, ObjectCorrupt):
                store.quarantine(obj, str(outcome.error))
            elif isinstance(outcome.error, OSError):  # an uploader tries again
                self._waiting.append(obj)
            elif outcome.error is None:
                store.uploaded(obj)

        uploads.submit(lambda: self.ledger.put(disk, obj), done)
