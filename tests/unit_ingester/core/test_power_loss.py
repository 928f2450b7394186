"""Acknowledged records survive a power cut at any disk operation, and every record is found exactly once."""

from __future__ import annotations

import pytest
from s3sink_ingester.errors import S3SinkError

from tests.rig.volumes import Machine, PowerCut


async def _live(machine: Machine) -> None:
    """Some traffic, until the power goes."""
    rng = machine.rng
    try:
        store = await machine.start()
        for _ in range(rng.randrange(1, 25)):
            for _ in range(rng.randrange(1, 6)):
                machine.send(partitions=6, records=rng.randrange(1, 5))
            await machine.turns(rng.randrange(1, 60))
            if rng.random() < 0.3:
                machine.clock.advance(rng.choice([1.0, 20.0, 61.0]))
            if rng.random() < 0.1:
                machine.upload = not machine.upload
            store.tick()
            await machine.turns(rng.randrange(1, 60))
    except (PowerCut, OSError, S3SinkError):
        return


@pytest.mark.parametrize("seed", range(300))
async def test_power_cut_at_a_random_operation(seed: int) -> None:
    machine = Machine(seed)
    for _ in range(4):
        machine.cut_power_after(machine.rng.randrange(3, 200))
        await _live(machine)
        if machine.rng.random() < 0.5:
            await machine.power_loss()
        else:
            await machine.kill()
    status = await machine.finish()
    machine.ledger.check()
    assert status.damage == ()
    assert status.accepted_records == status.uploaded_records
    assert status.buffered_records == 0
