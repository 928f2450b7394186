"""A chunk whose file the disk doesn't give back: it ends in the quarantine, counted, and everything else goes on."""

from __future__ import annotations

import errno
from contextlib import suppress

import pytest
from s3sink_ingester.policy import BatchLimits
from s3sink_ingester.sealer import READS, RETRY_SECONDS
from s3sink_ingester.store import StoreStatus

from tests.rig.volumes import Machine, PowerCut, put_aside

RECORDS = 256
"""Of each of the two chunks."""

ROUNDS = 16
BAD = "chunks/*1.raw"


async def with_a_bad_sector() -> Machine:
    """Two chunks with records in their files and some behind, of which the first can't be read."""
    machine = Machine(0, limits=BatchLimits(3600, 1 << 20, 3600.0))
    await machine.start()
    for _ in range(ROUNDS):
        machine.send_to(["p0/", "p1/"] * (RECORDS // ROUNDS))
        await machine.settle()
    assert machine.running.counts.flushes.checkpoints, "the journal hasn't all of it any more"
    for name in machine.disk.listdir("chunks"):
        if name.endswith("1.raw"):
            machine.fake.make_unreadable(f"chunks/{name}", 10, 1)
    return machine


async def give_up(machine: Machine) -> StoreStatus:
    """Seal all, for as long as it takes to give the chunk up, or until the power goes."""
    machine.running.seal_all()
    for _ in range(2 * READS):
        await machine.settle()
        if not machine.on:
            raise PowerCut
        machine.clock.advance(RETRY_SECONDS + 0.1)
        machine.running.tick()
    await machine.settle()
    if not machine.on:
        raise PowerCut
    return machine.running.status()


def mend(machine: Machine) -> set[str]:
    """Ids that a person finds in the quarantine, once the bytes around the bad place were saved."""
    for directory in ("chunks", "quarantine"):
        for name in machine.disk.listdir(directory):
            machine.fake.mend(f"{directory}/{name}")
    return put_aside(machine.disk)


def check(machine: Machine, status: StoreStatus) -> None:
    """All that was acknowledged is in the bucket or in the quarantine, and no record in both."""
    assert (status.accepted_records, status.uploaded_records) == (2 * RECORDS, RECORDS)
    assert (status.quarantined_records, status.buffered_records) == (RECORDS, 0)
    aside = mend(machine)
    assert len(aside) == RECORDS
    assert not aside & set(machine.ledger.found())
    machine.ledger.check(aside)


async def test_it_is_put_aside_and_the_drain_ends() -> None:
    machine = await with_a_bad_sector()
    status = await give_up(machine)
    (told,) = status.damage
    assert "can't be read" in told
    assert f"its {RECORDS} records are in quarantine/" in told
    await machine.stop()
    status = (await machine.start()).status()
    assert status.quarantined_records == RECORDS
    await machine.settle()
    check(machine, machine.running.status())


async def test_a_disk_that_comes_back_costs_nothing() -> None:
    machine = await with_a_bad_sector()
    for name in machine.disk.listdir("chunks"):
        machine.fake.mend(f"chunks/{name}")
    machine.fail("read", paths=BAD, number=errno.EIO, times=READS - 1)
    status = await give_up(machine)
    assert (status.damage, status.uploaded_records) == ((), 2 * RECORDS)
    assert not machine.disk.listdir("quarantine")
    machine.ledger.check()


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("operations", range(60))
async def test_a_death_anywhere_on_the_way_comes_to_the_same(operations: int, power: bool) -> None:
    machine = await with_a_bad_sector()
    machine.cut_power_after(operations)
    with suppress(PowerCut):
        await give_up(machine)
    await (machine.power_loss() if power else machine.kill())
    await machine.start()
    check(machine, await give_up(machine))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_disk_too_full_for_the_move_is_asked_again(number: int) -> None:
    machine = await with_a_bad_sector()
    fault = machine.fail("rename", paths="quarantine/*", number=number)
    status = await give_up(machine)
    assert fault.hits == 1
    assert not machine.running.failed.is_set()
    check(machine, status)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
async def test_a_shortage_of_descriptors_or_memory_is_no_bad_sector(number: int) -> None:
    machine = await with_a_bad_sector()
    for name in machine.disk.listdir("chunks"):
        machine.fake.mend(f"chunks/{name}")
    machine.fail("read", paths=BAD, number=number, times=READS + 1)
    status = await give_up(machine)
    assert (status.damage, status.uploaded_records) == ((), 2 * RECORDS)
    machine.ledger.check()


async def test_another_chunk_of_the_same_id_is_not_taken_for_the_one_that_was_put_aside() -> None:
    """Where the journal isn't synced the power may take all of it, and the file that was moved stays."""
    machine = Machine(0, durable=False, segment_bytes=1 << 16)
    await machine.start()
    machine.disk.create("quarantine/0000000000000001.raw").append(b"r0 put aside before the power went\n")
    request = machine.send_to(["p0/"])
    await machine.settle()
    assert request.outcome is True
    assert list(machine.running.table.unsealed) == [1]
    assert not machine.disk.listdir("chunks")
    await machine.kill()
    status = (await machine.start()).status()
    assert (status.buffered_records, status.quarantined_records) == (1, 0)
    await machine.finish()
    machine.ledger.check()
