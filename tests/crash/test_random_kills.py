"""kill -9 at random moments under load, again and again on the same volume, also while it recovers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random

from tests.crash.conftest import MakeSink, Tell
from tests.crash.ledger import Verdict
from tests.crash.load import Load, Shape
from tests.crash.points import Fault
from tests.crash.sink import Settings, Sink

ROUNDS_BETWEEN_VERDICTS = 25


@dataclass(frozen=True, slots=True)
class Lane:
    """A volume with its own limits and load."""

    name: str
    rounds: int
    shape: Shape
    groups: dict[str, Settings]


SMALL_CHUNKS = Lane("small chunks", 110, Shape(), {})
LARGE_CHUNKS = Lane(  # their bytes are in chunk files when they are sealed
    "large chunks",
    110,
    Shape(partitions=3, size=1500, batch=10),
    {"batch": {"window": "1s", "maxBytes": "600Ki"}, "object": {"compression": "none"}},
)
MANY_PARTITIONS = Lane(  # checkpoints sync the file system instead of files; seals are by age alone
    "many partitions",
    110,
    Shape(partitions=400, batch=60, singles=0.3),
    {"batch": {"window": "4s", "maxAge": "1s"}, "object": {"compression": "zstd"}},
)
RELAXED = Lane(  # what the kernel has survives the process, synced or not
    "relaxed durability", 40, Shape(size=1500), {"buffer": {"durability": "Relaxed"}}
)


async def kill_rounds(sink: Sink, lane: Lane, rng: Random) -> Verdict:
    """Every round: kill the process at most two times while it recovers, then once under load."""
    load = Load(sink.ledger, rng, lane.shape, pause=0.001)
    for number in range(1, lane.rounds + 1):
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            sink.start(Fault(passage=rng.randint(1, 80)), seed=rng.getrandbits(32))
            await asyncio.sleep(0)
            await _dead_or_idle(sink)
        sink.start()
        load.start(await sink.port())
        await asyncio.sleep(rng.uniform(0.0, 0.35))
        sink.kill()
        await load.stop()
        sink.inspected()
        if number % ROUNDS_BETWEEN_VERDICTS == 0:
            verdict = await sink.drained_verdict()
            assert verdict.good, str(verdict)
            sink.undrain()
    assert load.answers.hung == 0
    return await sink.drained_verdict()


async def _dead_or_idle(sink: Sink) -> None:
    """It killed itself while it recovered, or had less to do than that and is killed now."""
    for _ in range(300):
        if not sink.process.alive:
            break
        if (sink.directory / "port").exists():
            await asyncio.sleep(0.05)
            break
        await asyncio.sleep(0.005)
    sink.kill()


async def test_killed_at_random_under_load(make_sink: MakeSink, tell: Tell) -> None:
    lanes = (SMALL_CHUNKS, LARGE_CHUNKS, MANY_PARTITIONS, RELAXED)
    verdicts = await asyncio.gather(
        *(
            kill_rounds(make_sink(lane.name, **lane.groups), lane, Random(number))
            for number, lane in enumerate(lanes)
        )
    )
    for lane, verdict in zip(lanes, verdicts, strict=True):
        tell(f"{lane.rounds} random kills, {lane.name}", verdict)
