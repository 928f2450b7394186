"""The wall clock jumps by hours and days, under a running process and between two: windows follow it, ages don't."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from random import Random

import pytest

from tests.crash.conftest import MakeSink, Tell
from tests.crash.load import Load, Shape
from tests.crash.sink import Sink

WINDOW = 2
HOUR, DAY = 3600.0, 86400.0
JUMPS = (2 * HOUR, -2 * HOUR, DAY, -DAY, 1.5, -1.5, 400 * DAY, -400 * DAY)
SHAPE = Shape(partitions=6, size=300)


def make(make_sink: MakeSink) -> Sink:
    """A volume whose objects are named by their window, and sealed by time alone."""
    return make_sink(
        batch={"window": f"{WINDOW}s", "maxBytes": "10Mi"}, object={"prefix": "{path}/{time:%Y%m%dT%H%M%S}/"}
    )


def windows(first: float, last: float) -> frozenset[str]:
    """Names of the windows from one moment (epoch seconds) to another."""
    starts = range(int(first // WINDOW) * WINDOW, int(last) + 1, WINDOW)
    return frozenset(datetime.fromtimestamp(one, UTC).strftime("%Y%m%dT%H%M%S") for one in starts)


async def send_at(sink: Sink, port: int, load: Load, offset: float) -> None:
    """Set the clock, send some requests and write down in which windows their records belong."""
    sink.set_clock(offset)
    before, began = len(sink.ledger.sent), time.time()
    await load.send_until_acked(port, 15)
    for one in sink.ledger.sent[before:]:
        one.windows = windows(began + offset, time.time() + offset)


@pytest.mark.parametrize("seed", range(6))
async def test_jumps(make_sink: MakeSink, tell: Tell, seed: int) -> None:
    rng = Random(seed)
    sink = make(make_sink)
    sink.set_clock(0.0)
    load = Load(sink.ledger, rng, SHAPE)
    sink.start()
    port = await sink.port()
    offset = 0.0
    for _ in range(12):
        await send_at(sink, port, load, offset)
        offset += rng.choice(JUMPS)
        await asyncio.sleep(rng.choice((0.0, 0.0, 0.3)))
        if rng.random() < 0.4:
            sink.kill()
            sink.set_clock(offset)
            sink.inspected()
            sink.start()
            port = await sink.port()
    await send_at(sink, port, load, offset)
    await sink.all_found()  # nothing is drained: every chunk has to be sealed by its age, at last
    sink.kill()
    tell(f"clock jumps, seed {seed}", await sink.drained_verdict())


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forth", "back"])
async def test_a_jump_between_the_last_record_and_the_seal(
    make_sink: MakeSink, tell: Tell, jump: float
) -> None:
    """No record comes after the jump, so that nothing but time can seal."""
    sink = make(make_sink)
    sink.set_clock(0.0)
    sink.start()
    await send_at(sink, await sink.port(), Load(sink.ledger, Random(1), SHAPE), 0.0)
    sink.set_clock(jump)
    await sink.all_found()
    await send_at(sink, await sink.port(), Load(sink.ledger, Random(2), SHAPE), jump)
    sink.kill()
    sink.set_clock(0.0)
    sink.start()
    await sink.all_found()
    sink.kill()
    tell(f"a jump of {jump / DAY:+.0f} days before the seal", await sink.drained_verdict())
