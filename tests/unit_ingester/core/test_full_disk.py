"""A full disk: nothing acknowledged is lost, uploads go on and make room, and then records are taken again."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from s3sink_ingester.commits import MAX_SEGMENTS
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.policy import BatchLimits
from s3sink_ingester.reserve import PATH as RESERVE
from s3sink_ingester.reserve import Reserve

from tests.rig.volumes import Machine, Request

KINDS = {
    "segment": (("create", "rename"), "journal/*.seg"),
    "spare": (("create", "write"), "journal/*.spare.tmp"),
    "chunk": (("create",), "chunks/*"),
    "bytes of a chunk": (("write",), "chunks/*"),
    "object": (("create",), "objects/*"),
    "bytes of an object": (("write",), "objects/*"),
    "reserve": (("create",), RESERVE),
}


async def traffic(machine: Machine, rounds: int) -> list[Request]:
    """Some of everything that a volume does."""
    requests: list[Request] = []
    for _ in range(rounds):
        requests.extend(machine.send(partitions=4, records=4) for _ in range(3))
        await machine.settle()
        machine.clock.advance(7.0)
        machine.running.tick()
        await machine.settle()
    return requests


@pytest.mark.parametrize("skip", [0, 1, 2, 4])
@pytest.mark.parametrize("times", [1, 5, -1])
@pytest.mark.parametrize("kind", KINDS)
async def test_no_room_for_one_kind_of_file(kind: str, times: int, skip: int) -> None:
    operations, paths = KINDS[kind]
    machine = Machine(seed=skip)
    store = await machine.start()
    before = await traffic(machine, 3)
    fault = machine.fail(*operations, paths=paths, number=errno.ENOSPC, skip=skip, times=times)
    during = await traffic(machine, 25)
    assert fault.hits or kind in ("spare", "reserve") or skip == 4, "the fault must have been met"
    machine.faults.clear()
    store.tick()
    await machine.settle()
    machine.clock.advance(3.0)
    store.tick()
    await machine.settle()
    assert not store.failed.is_set()
    assert store.refusal is None, "there is room again"
    after = await traffic(machine, 2)
    assert all(one.outcome is True for one in before + after)
    assert all(one.outcome is True or one.refused_for == "full" for one in during), "everybody is told"
    await machine.kill()
    await machine.start()
    status = await machine.finish()
    machine.ledger.check()
    assert status.damage == ()


@pytest.mark.parametrize("seed", range(25))
async def test_a_small_disk_fills_while_the_store_is_away_and_empties_again(seed: int) -> None:
    machine = Machine(
        seed,
        disk=FakeDisk(200_000),
        size=200_000,
        limits=BatchLimits(window=60, max_bytes=4000, max_age=60.0),
    )
    store = await machine.start()
    machine.upload = False
    refused = []
    for _ in range(3000):
        request = machine.send(partitions=5, records=8, size=200)
        await machine.turns(machine.rng.randrange(30))
        if machine.rng.random() < 0.2:
            machine.clock.advance(machine.rng.choice([0.1, 3.0, 30.0]))
            store.tick()
        if request.outcome not in (True, None):
            refused.append(request)
        if machine.rng.random() < 0.002:
            await machine.settle()
            await machine.kill()
            store = await machine.start()
        if len(refused) > 20:
            break
    await machine.settle()
    assert refused, "the disk must have been full"
    assert {one.refused_for for one in refused} == {"full"}
    assert not store.failed.is_set()
    machine.upload = True
    for _ in range(200):
        if store.refusal is None:
            break
        machine.clock.advance(1.0)
        store.tick()
        await machine.settle()
    assert store.refusal is None, store.status()
    request = machine.send(partitions=5, records=8)
    await machine.settle()
    assert request.outcome is True
    await machine.finish()
    machine.ledger.check()


async def test_between_the_marks_the_answer_stays_what_it_was() -> None:
    """Records are refused from the high mark on, and taken again only below the low one."""
    machine = Machine(0, size=100_000, high_watermark_percent=50, limits=BatchLimits(60, 1 << 20, 60.0))
    store = await machine.start()
    machine.upload = False
    while store.refusal is None:
        machine.send_to(["a/"], size=400)
        await machine.settle()
        store.tick()
    assert store.used_bytes >= 45_000
    machine.running.seal_all()  # sealed, it is smaller
    await machine.settle()
    store.tick()
    used = store.used_bytes
    assert (store.refusal is None) == (used < 45_000)
    machine.upload = True
    await machine.settle()
    store.tick()
    assert store.used_bytes < 45_000
    assert store.refusal is None
    await machine.finish()
    machine.ledger.check()


@pytest.mark.parametrize("percent", [150, 300, 3000])
async def test_a_full_buffer_takes_records_again_once_it_may_be_larger(percent: int) -> None:
    """And shrunk again below what it holds, it is full again; nothing is lost by either."""
    machine = Machine(0, size=200_000, limits=BatchLimits(60, 4000, 60.0))
    store = await machine.start()
    machine.upload = False
    await fill(machine)
    assert machine.disk.size(RESERVE) == 200_000 // 16
    store.resize(200_000 * percent // 100)
    store.tick()
    assert store.refusal is None
    assert machine.disk.size(RESERVE) == 200_000 * percent // 100 // 16
    request = machine.send_to(["a/"], size=400)
    await machine.settle()
    assert request.outcome is True
    store.resize(100_000)
    store.tick()
    assert store.refusal is not None
    assert store.refusal.reason == "full"
    machine.upload = True
    await machine.kill()
    await machine.start()
    await machine.finish()
    machine.ledger.check()


async def fill(machine: Machine) -> None:
    """Until no record is taken any more, also when all are sealed."""
    store = machine.running
    for _ in range(10_000):
        store.tick()
        if store.refusal is not None:
            machine.running.seal_all()
            await machine.settle()
            store.tick()
            if store.refusal is not None:
                return
        machine.send_to(["a/"], size=400)
        await machine.settle()
    raise AssertionError("never full")


async def test_a_buffer_that_was_made_small_is_not_filled_by_segments_of_before() -> None:
    machine = Machine(0, segment_bytes=1 << 20, size=1 << 24)
    await machine.start()
    for _ in range(40):
        machine.send(partitions=4, records=1000)
        await machine.settle()
    assert any(size > 1 << 20 for name, size in machine.disk.listdir("journal").items() if "spare" in name)
    await machine.stop()
    machine.settings = replace(machine.settings, segment_bytes=64 << 10, size=1 << 20)
    store = await machine.start()
    for _ in range(20):
        machine.clock.advance(4.0)
        store.tick()
        await machine.settle()
    assert store.refusal is None


async def test_a_backlog_that_is_refused_does_not_keep_the_intake_closed() -> None:
    machine = Machine(0)
    store = await machine.start()
    await traffic(machine, 2)
    machine.lanes.held.add("journal")
    machine.fail("create", "rename", paths="journal/*.seg", number=errno.ENOSPC, times=-1)
    requests = [machine.send(partitions=3, records=10) for _ in range(30)]
    assert store.refusal is not None
    assert store.refusal.reason == "backlog"
    machine.lanes.held.clear()
    await machine.settle()
    assert {one.refused_for for one in requests if one.outcome is not True} == {"full"}
    assert all(one.outcome is not None for one in requests)
    machine.faults.clear()
    store.tick()
    await machine.settle()
    assert store.refusal is None
    await machine.finish()
    machine.ledger.check()


async def test_seals_and_uploads_are_journalled_when_there_is_no_room_for_a_whole_segment() -> None:
    """Also when there are so many that the margin for them is used up: they are what makes room."""
    disk = FakeDisk(10_000_000)
    machine = Machine(0, disk=disk, segment_bytes=30_000, memory_bytes=1 << 20, size=1 << 30)
    store = await machine.start()
    machine.upload = False
    machine.send_to([f"{'k' * 60}{n}/" for n in range(60)])
    await machine.settle()
    while store.log.fits(2000, control_only=False):
        machine.send_to(["large/"], size=1000)
        await machine.settle()
    assert store.log.segment_count == 1
    store.flusher.release_spares()
    await machine.settle()
    disk.capacity = 10_000_000 - disk.usage().free + 30_000  # less than a segment
    store.seal_all()
    for _ in range(50):
        machine.clock.advance(3.0)
        store.tick()
        await machine.settle()
    status = store.status()
    assert status.unsealed_backlog == 0, status
    assert status.sealed_backlog >= 60
    assert status.open_chunks == 0
    machine.upload = True
    await machine.settle()
    assert store.is_drained, store.status()
    await machine.finish()
    machine.ledger.check()


async def test_a_rotation_without_room_leaves_no_gap_that_looks_like_lost_frames() -> None:
    machine = Machine(0)
    store = await machine.start()
    machine.lanes.held.add("chunk-files")  # no checkpoint hides it
    machine.fail("create", "rename", paths="journal/*.seg", number=errno.ENOSPC, times=2)
    while store.log.segment_count < 2:
        machine.send(partitions=3, records=10)
        await machine.settle()
    await machine.kill()
    store = await machine.start()
    assert store.status().damage == ()
    await machine.finish()
    machine.ledger.check()


async def test_segments_pile_up_and_the_intake_waits_for_the_checkpoint() -> None:
    machine = Machine(0)
    store = await machine.start()
    machine.lanes.held.add("chunk-files")
    requests = []
    for _ in range(60):
        requests.append(machine.send(partitions=3, records=10))
        await machine.settle()
    assert store.log.segment_count == MAX_SEGMENTS
    waiting = [one for one in requests if one.outcome is None]
    assert waiting, "some have to wait"
    assert requests[: len(requests) - len(waiting)] == [one for one in requests if one.outcome is True]
    assert store.refusal is not None, "and no more of them are asked for"
    assert store.refusal.reason == "backlog"
    machine.lanes.held.clear()
    await machine.settle()
    assert all(one.outcome is True for one in requests)
    assert store.refusal is None
    assert store.log.segment_count < MAX_SEGMENTS
    await machine.finish()
    machine.ledger.check()


async def test_uploads_are_journalled_while_the_intake_waits_for_a_checkpoint() -> None:
    machine = Machine(0)
    store = await machine.start()
    machine.upload = False
    machine.send_to(["early/"])
    await machine.settle()
    machine.clock.advance(64.0)
    store.tick()
    await machine.settle()
    assert len(store.table.sealed) == 1
    machine.lanes.held.add("chunk-files")
    while store.log.segment_count < MAX_SEGMENTS or not store.commits.holding:
        machine.send(partitions=3, records=10)
        await machine.settle()
    machine.upload = True
    await machine.settle()
    assert not store.table.sealed, "its upload is in the journal"
    machine.lanes.held.clear()
    await machine.finish()
    machine.ledger.check()


async def test_who_waits_for_a_checkpoint_on_a_full_disk_is_told() -> None:
    machine = Machine(0)
    store = await machine.start()
    machine.fail("create", "write", paths="chunks/*", number=errno.ENOSPC, times=-1)
    requests = []
    for _ in range(60):
        requests.append(machine.send(partitions=3, records=10))
        await machine.settle()
    store.tick()
    await machine.settle()
    assert store.log.segment_count == MAX_SEGMENTS
    assert all(one.outcome is not None for one in requests)
    assert {one.refused_for for one in requests} == {None, "full"}
    await machine.finish()
    machine.ledger.check()


@pytest.mark.parametrize("operation", ["create", "write"])
async def test_a_drain_that_can_not_be_marked(operation: str) -> None:
    machine = Machine(0)
    store = await machine.start()
    machine.fail(operation, paths="drain*", number=errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        await machine.drain()
    store.tick()
    await machine.settle()
    assert store.refusal is None, "it isn't draining"
    assert machine.fake.size(RESERVE) is None or store.status().drain_epoch is None
    request = machine.send(partitions=1, records=1)
    await machine.settle()
    assert request.outcome is True
    await machine.finish()
    machine.ledger.check()


async def test_a_drain_that_can_not_be_marked_again_goes_on() -> None:
    machine = Machine(0)
    store = await machine.start()
    await store.drain("first")
    machine.fail("create", paths="drain*", number=errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        await store.drain("second")
    assert store.status().drain_epoch == "first"
    assert machine.send(partitions=1, records=1).refused_for == "draining"
    await machine.stop()


async def test_a_full_disk_can_be_started_on() -> None:
    """With a drain marked, no spare, and the reserve held: it is what a start may use."""
    disk = FakeDisk(400_000)
    machine = Machine(0, disk=disk, size=200_000, limits=BatchLimits(60, 100_000, 60.0))
    store = await machine.start()
    machine.upload = False
    machine.send(partitions=3, records=20)
    await machine.settle()
    store.tick()
    assert disk.size(RESERVE) == 12_500
    await store.drain("now")
    await machine.settle()
    store.flusher.release_spares()
    await machine.settle()
    await machine.kill()
    used = machine.fake.capacity - machine.fake.usage().free
    machine.fake.capacity = used
    store = await machine.start()
    assert store.status().drain_epoch == "now"
    await machine.finish()
    machine.ledger.check()


@pytest.mark.parametrize("operation", ["write", "sync"])
@pytest.mark.parametrize("skip", [0, 1])
async def test_a_start_on_a_full_disk_that_copies_on_write(operation: str, skip: int) -> None:
    """Whether what was read is written again, or a segment's blocks for the first time: the reserve is given up."""
    machine = Machine(0)
    await machine.start()
    machine.send(partitions=3, records=20)
    await machine.settle()
    machine.running.tick()
    assert machine.disk.size(RESERVE)
    await machine.kill()
    machine.operations.clear()
    fault = machine.fail(operation, paths="journal/*.seg", number=errno.ENOSPC, skip=skip)
    await machine.start()
    assert fault.hits
    assert ("unlink", RESERVE) in machine.operations or skip, "a smaller segment may do"
    await machine.finish()
    machine.ledger.check()


def test_the_reserve_is_taken_only_when_there_is_plenty_of_room() -> None:
    disk = FakeDisk(1000)
    reserve = Reserve(disk, 400)
    reserve.ensure()
    assert disk.size(RESERVE) == 400
    reserve.ensure()
    assert reserve.held
    assert reserve.release()
    assert not reserve.release(), "once"
    disk.create("other").append(bytes(300))
    reserve.ensure()
    assert disk.size(RESERVE) is None
    assert not reserve.held


def test_a_reserve_of_another_size_is_made_anew() -> None:
    disk = FakeDisk(1000)
    Reserve(disk, 100).ensure()
    assert Reserve(disk, 100).held
    reserve = Reserve(disk, 200)
    assert not reserve.held
    reserve.ensure()
    assert disk.size(RESERVE) == 200
