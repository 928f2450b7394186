"""A real file system that is full: by our own records, and by somebody else's file."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.crash.conftest import MakeSink, Tell
from tests.crash.load import Load, Shape
from tests.crash.sink import Sink
from tests.rig.small_disks import CannotMount, fill, small_disk

LARGE = Shape(partitions=6, size=8000, batch=20, singles=0.2, pipelined=2)
FULL = "the buffer is full"


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB."""
    try:
        with small_disk(request.param, tmp_path, 32) as mounted:
            yield mounted
    except CannotMount as error:
        pytest.skip(f"mounting a small file system needs root on a machine that allows it ({error})")


@pytest.fixture
def sink(make_sink: MakeSink, disk: Path) -> Sink:
    """A volume on it; its objects go elsewhere and are as large as what they are made of."""
    buffer = {"path": str(disk / "buffer"), "segmentBytes": "512Ki", "memoryBytes": "256Ki"}
    return make_sink(
        source={"maxRequestBytes": "256Ki"},
        batch={"window": "2s", "maxBytes": "512Ki"},
        object={"compression": "none"},
        buffer=buffer,
    )


async def test_full_of_records(sink: Sink, tell: Tell) -> None:
    """The store is away until there is no room; when it is back, all goes on by itself."""
    sink.block_uploads()
    sink.start()
    port = await sink.port()
    load = Load(sink.ledger, Random(1), LARGE)
    load.start(port)
    await refused_as_full(load, 200)
    assert sink.process.alive
    sink.unblock_uploads()
    acked = load.answers.acked
    async with asyncio.timeout(60):
        while load.answers.acked < acked + 50:
            sink.signal(signal.SIGHUP)
            await asyncio.sleep(0.05)
    await load.stop()
    assert load.answers.retry_after
    assert load.answers.hung == 0
    sink.kill()
    tell("full of records", await sink.drained_verdict())


async def test_filled_by_a_file_of_somebody_else(sink: Sink, disk: Path, tell: Tell) -> None:
    """While there is no room at all, what was acked is sealed and uploaded; when there is, records are taken again."""
    sink.block_uploads()
    sink.start()
    port = await sink.port()
    load = Load(sink.ledger, Random(2), LARGE)
    await load.send_until_acked(port, 80)
    load.start(port)
    fill(disk / "foreign")
    await refused_as_full(load, 50)
    await load.stop()
    sink.unblock_uploads()
    await sink.all_found()
    (disk / "foreign").unlink()
    await load.send_until_acked(port, 60)
    sink.kill()
    tell("disk filled by a foreign file", await sink.drained_verdict())


async def test_a_neighbour_that_takes_all_room_at_once(sink: Sink, disk: Path, tell: Tell) -> None:
    """What is given up for sealing is taken by somebody else too: nothing is lost, and it goes on when he is gone."""
    sink.block_uploads()
    sink.start()
    port = await sink.port()
    load = Load(sink.ledger, Random(4), LARGE)
    await load.send_until_acked(port, 80)
    load.start(port)
    for number in range(60):
        fill(disk / "foreign")
        if number == 20:
            sink.unblock_uploads()
        sink.signal(signal.SIGHUP)
        await asyncio.sleep(0.02)
    await load.stop()
    (disk / "foreign").unlink()
    await load.send_until_acked(port, 60)
    await sink.all_found()
    sink.kill()
    tell("disk filled again and again by a neighbour", await sink.drained_verdict())


async def test_starts_on_a_full_disk(sink: Sink, disk: Path, tell: Tell) -> None:
    """Whatever was acked before is uploaded, though there is room for nothing else."""
    sink.block_uploads()
    sink.start()
    load = Load(sink.ledger, Random(3), LARGE)
    await load.send_until_acked(await sink.port(), 60)
    sink.kill()
    fill(disk / "foreign")
    sink.unblock_uploads()
    sink.start()
    port = await sink.port()
    await sink.all_found()
    (disk / "foreign").unlink()
    await load.send_until_acked(port, 20)
    sink.kill()
    tell("started on a full disk", await sink.drained_verdict())


@pytest.mark.parametrize("seed", range(3))
async def test_kills_on_a_disk_that_is_full_again_and_again(
    sink: Sink, disk: Path, tell: Tell, seed: int
) -> None:
    rng = Random(seed)
    load = Load(sink.ledger, rng, LARGE)
    for _ in range(8):
        sink.start()
        load.start(await sink.port())
        await asyncio.sleep(rng.uniform(0.0, 0.3))
        fill(disk / "foreign", keep=rng.choice((0, 4096, 1 << 20, 4 << 20)))
        await asyncio.sleep(rng.uniform(0.0, 0.3))
        if rng.random() < 0.7:
            sink.kill()
            await load.stop()
            if rng.random() < 0.5:
                sink.start()
                await sink.port()
                await asyncio.sleep(rng.uniform(0.0, 0.3))
                sink.kill()
        (disk / "foreign").unlink()
        sink.kill()
        await load.stop()
    tell("8 kills on a full disk", await sink.drained_verdict())


async def refused_as_full(load: Load, requests: int) -> None:
    """Return when so many more were refused because the buffer is full. Raises TimeoutError."""

    def count() -> int:
        return sum(n for (_, why), n in load.answers.refusals.items() if why.startswith(FULL))

    wanted = count() + requests
    async with asyncio.timeout(60):
        while count() < wanted:  # noqa: ASYNC110  # it is a count of answers that a client keeps
            await asyncio.sleep(0.01)
