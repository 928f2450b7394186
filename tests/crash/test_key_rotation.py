"""API keys change under load, also across kills: what was acknowledged is stored, a key that is gone is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from tests.crash.conftest import MakeSink, Tell
from tests.crash.load import Load, Shape
from tests.crash.sink import PATIENCE, Sink
from tests.rig.mounted import MountedSecret

ROUNDS: Final = 6
CONNECTIONS: Final = 6
SHAPE: Final = Shape(size=600, pipelined=3)


def key(number: int) -> str:
    return f"key-number-{number}"


class Rotation:
    """A sink whose only key is that of the round."""

    def __init__(self, sink: Sink, secret: MountedSecret, rng: Random) -> None:
        self.sink = sink
        self._secret = secret
        self._rng = rng

    def load(self, number: int) -> Load:
        """Clients that send with a round's key."""
        return Load(self.sink.ledger, self._rng, SHAPE, pause=0.001, key=key(number))

    async def turn(self, port: int, number: int) -> None:
        """Take the round's key away under load; whoever has it is refused from the first refusal on."""
        before, after = self.load(number), self.load(number + 1)
        try:
            before.start(port, CONNECTIONS)
            await until(lambda: before.answers.acked >= 20)
            self._secret.write({"key": key(number + 1).encode()})
            after.start(port, connections=3)
            await until(lambda: unauthorized(before))
            acked = before.answers.acked
            await until(lambda: unauthorized(before) >= 40 and after.answers.acked >= 20)
            # What the clients had sent when the first refusal came may have been let in before it.
            assert before.answers.acked <= acked + CONNECTIONS * SHAPE.pipelined
            acked = before.answers.acked
            await until(lambda: unauthorized(before) >= 80)
            assert before.answers.acked == acked
        finally:
            await before.stop()
            await after.stop()
        assert {status for status, _ in before.answers.refusals} <= {401, 503}
        assert before.answers.hung == after.answers.hung == 0


def unauthorized(load: Load) -> int:
    """Requests that were answered 401."""
    return sum(times for (status, _), times in load.answers.refusals.items() if status == 401)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - any fact about answers
            await asyncio.sleep(0.005)


async def test_keys_are_rotated_under_load(make_sink: MakeSink, tell: Tell, tmp_path: Path) -> None:
    rng = Random(1)
    secret = MountedSecret(tmp_path / "auth", {"key": key(0).encode()})
    sink = make_sink(source={"auth": {"path": str(secret.path)}})
    rotation = Rotation(sink, secret, rng)
    sink.start()
    for number in range(ROUNDS):
        await rotation.turn(await sink.port(), number)
        if number % 2:  # it comes back with the keys of now, whatever it had when it was killed
            load = rotation.load(number + 1)
            load.start(await sink.port())
            await asyncio.sleep(rng.uniform(0.0, 0.3))
            sink.kill()
            await load.stop()
            sink.inspected()
            sink.start()
    gone = rotation.load(ROUNDS - 1)
    await gone.send(await sink.port(), 5)
    assert set(gone.answers.refusals) == {(401, "the API key isn't one of those that are accepted here")}
    sink.kill()
    tell(f"{ROUNDS} rotations of API keys, {ROUNDS // 2} kills", await sink.drained_verdict())
    assert not any(key(number) in (sink.directory / "log").read_text() for number in range(ROUNDS + 1))
