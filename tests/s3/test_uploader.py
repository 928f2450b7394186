"""The uploader, a real client, a real server, and a connection that breaks in every way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from s3sink_ingester.objects import PutOutcome, SealedObject
from s3sink_ingester.uploader import Timer, Uploader

from tests.rig.flaky_proxy import Fault, Request, flaky_proxy
from tests.rig.object_store_contract import noise, seal
from tests.rig.stores import Bucket


class HastyTimers:
    """The event loop's time, with waits a thousandth as long."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self._loop.time() * 1000.0

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        return self._loop.call_later(delay / 1000.0, callback)


FAULTS = [
    Fault.SLOW_DOWN,
    Fault.INTERNAL_ERROR,
    Fault.FORBIDDEN,
    Fault.CONFLICT,
    Fault.NOT_S3,
    Fault.CUT_BEFORE,
    Fault.CUT_AFTER,
]


@pytest.mark.parametrize("seed", range(2))
async def test_every_object_arrives_once_and_whole(bucket: Bucket, seed: int) -> None:
    rng = random.Random(seed)
    sizes = [rng.choice([10, 20_000, 300_000, 6 << 20]) for _ in range(15)]
    objects = [
        seal(bucket.disk, f"p{n % 4}/x.{n}.gz", noise(size, n), chunk_id=n, oldest_at=float(n))
        for n, size in enumerate(sizes)
    ]

    def decide(request: Request) -> Fault | None:
        return rng.choice(FAULTS) if rng.random() < 0.3 else None

    done: list[SealedObject] = []
    everything = asyncio.Event()

    def on_uploaded(obj: SealedObject, outcome: PutOutcome) -> None:
        done.append(obj)
        if len(done) == len(objects):
            everything.set()

    with flaky_proxy(bucket.server.endpoint) as proxy:
        proxy.decide = decide
        uploader = Uploader(
            bucket.new_store(proxy.endpoint),
            on_uploaded,
            lambda obj, error: pytest.fail(f"{obj.key} is corrupt: {error}"),
            timers=HastyTimers(),
            rng=random.Random(seed),
        )
        uploader.add_all(objects)
        running = asyncio.create_task(uploader.run())
        await asyncio.wait_for(everything.wait(), 120.0)
        assert await uploader.close(10.0)
        await running
    assert sorted(obj.key for obj in done) == sorted(obj.key for obj in objects) == bucket.listing()
    for obj in objects:
        assert bucket.read(obj.key) == noise(obj.size, obj.chunk_id)
    assert bucket.sidecars() == []
    assert uploader.backlog == 0
