"""One operation of the volume fails, any one: the store goes on or is recovered in place, and nothing is lost."""

from __future__ import annotations

import errno
import os
from random import Random

import pytest
from s3sink_ingester.policy import BatchLimits

from tests.rig.volumes import Machine

LIVES = 150


class Breaker:
    """Fails the n-th operation from now, and the ones behind it as long as luck has it."""

    def __init__(self, number: int, error: int, rng: Random) -> None:
        self._left = number
        self._error = error
        self._rng = rng
        self.failing = False
        self.failed: list[str] = []

    def stop(self) -> None:
        """From now on everything works."""
        self.failing = False
        self._left = 0

    def __call__(self, operation: str, path: str) -> None:
        if operation == "read" and path.startswith("objects/"):
            return  # the test's own store
        self._left -= 1
        if self._left == 0:
            self.failing = True
        if self.failing:
            self.failing = self._rng.random() < 0.4
            self.failed.append(f"{operation} {path}")
            raise OSError(self._error, os.strerror(self._error), path)


async def life(seed: int, error: int) -> None:
    rng = Random(seed)
    machine = Machine(seed)
    await machine.start()
    breaker = Breaker(rng.randrange(1, 120), error, rng)
    machine.fake.before = breaker
    for _ in range(rng.randrange(10, 60)):
        assert machine.store is not None
        if machine.store.failed.is_set():
            await reopen(machine)
        machine.send(partitions=rng.choice((2, 25)), records=rng.randrange(1, 8), size=60)
        if rng.random() < 0.5:
            await machine.settle(rng.randrange(1, 20))
        if rng.random() < 0.2:
            machine.clock.advance(rng.randrange(60))
            machine.store.tick()
    await machine.settle()
    breaker.stop()
    assert machine.store is not None
    if machine.store.failed.is_set() or rng.random() < 0.3:
        await reopen(machine)
    await machine.drain()
    damage = machine.store.status().damage
    await machine.stop()
    machine.ledger.check()
    assert not damage, f"{breaker.failed}: {damage}"


async def reopen(machine: Machine) -> None:
    """As the app does: let go of the volume and recover it, until that works."""
    await machine.stop()
    for _ in range(20):
        try:
            await machine.start()
        except OSError:
            continue
        return
    raise AssertionError("the volume could not be opened again")


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
async def test_an_operation_fails(error: int) -> None:
    failures = []
    for seed in range(LIVES):
        try:
            await life(seed, error)
        except Exception as failure:  # noqa: BLE001  # each seed is a case of its own; all of them are told at once
            failures.append(f"seed {seed}: {failure!r}"[:500])
    assert not failures, f"{len(failures)} of {LIVES}:\n" + "\n".join(failures[:10])


@pytest.mark.parametrize("seed", range(12))
async def test_a_flush_that_fails_while_a_checkpoint_waits_for_it(seed: int) -> None:
    """The checkpoint must not let the older segments go: they alone hold what the flush should have written."""
    limits = BatchLimits(window=3600, max_bytes=1 << 20, max_age=3600.0)
    machine = Machine(seed, limits=limits, memory_bytes=700, block_bytes=1 << 20)
    await machine.start()
    assert machine.store is not None
    store = machine.store

    def fail(operation: str, path: str) -> None:
        if operation == "write" and path.startswith("chunks/") and store.log.older_segments():
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    machine.fake.before = fail
    while not store.failed.is_set():
        machine.send(partitions=1, records=8)
        await machine.settle()
    machine.fake.before = lambda operation, path: None
    await reopen(machine)
    await machine.drain()
    await machine.stop()
    machine.ledger.check()
