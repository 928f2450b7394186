"""Acknowledged records survive a power cut at any disk operation, and every record is found exactly once."""

from __future__ import annotations

import pytest

from s3sink_ingester.errors import S3SinkError
from tests.rig.volumes import Machine, PowerCut


async def _live(machine: Machine) -> None:
    """Some traffic, until the power goes."""
    try:
        store = await machine.start()
        for _ in range(machine.rng.randrange(1, 25)):
            for _ in range(machine.rng.randrange(1, 6)):
                machine.send(partitions=6, records=machine.rng.randrange(1, 5))
            await machine.settle(machine.rng.randrange(1, 20))
            if machine.rng.random() < 0.3:
                machine.clock.advance(machine.rng.choice([1.0, 20.0, 61.0]))
            store.tick()
            await machine.settle(machine.rng.randrange(1, 20))
    except (PowerCut, OSError, S3SinkError):
        return


@pytest.mark.parametrize("seed", range(150))
async def test_power_cut_at_a_random_operation(seed: int) -> None:
    machine = Machine(seed)
    for _ in range(4):
        machine.cut_power_after(machine.rng.randrange(3, 200))
        await _live(machine)
        if machine.rng.random() < 0.5:
            await machine.power_loss()
        else:
            await machine.kill()
    await machine.start()
    await machine.drain()
    status = machine.store.status() if machine.store else None
    await machine.stop()
    machine.ledger.check()
    assert status is not None
    assert status.damage == ()
    assert status.accepted_records == status.uploaded_records
    assert status.buffered_records == 0
