"""A damaged journal: what can be read is kept, through any number of crashes on the way."""

from __future__ import annotations

import copy
from random import Random

import pytest
from s3sink_ingester.chunkfiles import DIRECTORY as CHUNKS
from s3sink_ingester.errors import Overloaded
from s3sink_ingester.journal import segment

from tests.rig.volumes import Machine, PowerCut


def damage(machine: Machine, rng: Random) -> bool:
    """Flip a byte anywhere behind a segment's header, or make it unreadable, or cut a chunk's file short.

    Returns whether one frame at most is lost. A page may hold a seal and its upload: then nobody knows of either, and
    the records are uploaded again.
    """
    disk = machine.fake
    chunks = disk.listdir(CHUNKS)
    if chunks and rng.random() < 0.3:
        name, size = rng.choice(list(chunks.items()))
        disk.open(f"{CHUNKS}/{name}").truncate(rng.randrange(size + 1))
        return True
    names = disk.listdir(segment.DIRECTORY)
    path = segment.path_of(rng.choice(segment.ids_of(names)))
    data = disk.read(path)
    offset = rng.randrange(segment.HEADER_BYTES, len(data.rstrip(b"\0")))
    if rng.random() < 0.3:
        disk.make_unreadable(path, offset, 1)
        return False
    disk.corrupt(path, offset, bytes([data[offset] ^ 0x55]))
    return True


@pytest.mark.parametrize("seed", range(200))
async def test_damage_then_more_crashes(seed: int) -> None:
    rng = Random(seed)
    machine = Machine(seed)
    await machine.start()
    for _ in range(rng.randrange(4, 60)):
        machine.send(partitions=3, records=rng.randrange(1, 6), size=80)
        await machine.settle(rng.randrange(1, 30))
    await machine.kill()
    one_frame = damage(machine, rng)
    reference = Machine(seed)
    reference.disk, reference.ledger = copy.deepcopy((machine.disk, machine.ledger))
    await reference.start()
    await reference.drain()
    await reference.stop()
    readable = set(reference.ledger.found())

    acked_before = set(machine.ledger.acked)
    for _ in range(rng.randrange(1, 4)):
        try:
            machine.cut_power_after(rng.randrange(1, 40))
            await machine.start()
            for _ in range(rng.randrange(6)):
                machine.send(partitions=3, records=rng.randrange(1, 6), size=80)
                await machine.settle(rng.randrange(1, 30))
        except (PowerCut, Overloaded):
            pass  # it died while it started, or between two requests
        await (machine.kill() if rng.random() < 0.7 else machine.power_loss())
        machine.cut_power_after(1 << 30)
    await machine.start()
    await machine.drain()
    assert machine.store is not None
    status = machine.store.status()
    await machine.stop()
    found = machine.ledger.found()
    twice = [one for one, count in found.items() if count > 1]
    assert not one_frame or not twice, twice
    new = machine.ledger.acked - acked_before
    assert new <= set(found), f"lost after the damage: {sorted(new - set(found))}"
    assert readable <= set(found), f"lost though it was readable: {sorted(readable - set(found))}"
    assert status.accepted_records == status.uploaded_records + status.quarantined_records
