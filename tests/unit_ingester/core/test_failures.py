"""Disks that fail: the store says so, everybody who waits is told once, and a recovery in place loses nothing."""

from __future__ import annotations

import errno

import pytest
from s3sink_ingester.lanes import Lane, Outcome
from s3sink_ingester.policy import BatchLimits

from tests.rig.volumes import Machine, PowerCut, Request

FATAL = {
    "journal write": (("write",), "journal/*.seg"),
    "journal sync": (("sync",), "journal/*.seg"),
    "segment": (("create", "rename"), "journal/*.seg"),
    "journal directory": (("sync_dir",), "journal"),
    "letting go": (("rename", "unlink"), "journal/*"),
    "chunk file": (("create",), "chunks/*"),
    "chunk file again": (("open",), "chunks/*"),
    "chunk write": (("write",), "chunks/*"),
    "chunk sync": (("sync",), "chunks/*"),
    "sync of many chunks": (("sync_fs",), ""),
    "chunks directory": (("sync_dir",), "chunks"),
}
HARMLESS = {
    "object": (("create",), "objects/*"),
    "object write": (("write",), "objects/*"),
    "object sync": (("sync",), "objects/*"),
    "object rename": (("rename",), "objects/*"),
    "objects directory": (("sync_dir",), "objects"),
    "reading a chunk": (("read",), "chunks/*"),
    "reading an object": (("read",), "objects/*"),
    "removing a chunk": (("unlink",), "chunks/*"),
    "removing an object": (("unlink",), "objects/*"),
    "spare": (("create", "write", "sync"), "journal/*.spare.tmp"),
    "reserve": (("create",), "reserve"),
}


async def traffic(machine: Machine, rounds: int, partitions: int = 4) -> list[Request]:
    """Some of everything that a volume does, until it fails."""
    requests = []
    for _ in range(rounds):
        for _ in range(4):
            requests.append(machine.send(partitions, records=partitions))
            await machine.turns(machine.rng.randrange(20))
        machine.clock.advance(7.0)
        machine.running.tick()
        await machine.settle()
        if machine.running.failed.is_set():
            break
    return requests


@pytest.mark.parametrize("skip", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
@pytest.mark.parametrize("kind", FATAL)
async def test_a_failure_that_leaves_doubt(kind: str, number: int, skip: int) -> None:
    operations, paths = FATAL[kind]
    machine = Machine(seed=skip)
    store = await machine.start()
    requests = await traffic(machine, 2)
    fault = machine.fail(*operations, paths=paths, number=number, skip=skip)
    requests += await traffic(machine, 40, partitions=25 if kind == "sync of many chunks" else 4)
    assert fault.hits == 1
    assert store.failed.is_set()
    assert store.failure is not None
    late = machine.send(partitions=1, records=1)
    assert late.refused_for == "failed"
    assert store.refusal is not None
    assert store.refusal.reason == "failed"
    store.tick()
    await machine.settle()
    assert all(one.outcome is not None for one in requests), "everybody is told"
    assert {one.refused_for for one in requests} <= {None, "failed"}
    store = await machine.reopen()
    assert store.status().damage == ()
    again = await traffic(machine, 2)
    assert all(one.outcome is True for one in again)
    await machine.finish()
    machine.ledger.check()


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("kind", ["journal sync", "chunk sync", "journal directory", "chunk write"])
async def test_what_a_failed_sync_was_for_is_written_again(kind: str, seed: int) -> None:
    """The kernel takes the pages for clean: a power loss after the recovery must find them all the same."""
    operations, paths = FATAL[kind]
    machine = Machine(seed)
    await machine.start()
    await traffic(machine, 2)
    machine.fail(*operations, paths=paths, skip=machine.rng.randrange(4))
    await traffic(machine, 40)
    assert machine.running.failed.is_set()
    machine.faults.clear()
    await machine.stop()
    machine.cut_power_after(machine.rng.randrange(60))
    try:
        await machine.start()
        await traffic(machine, 3)
    except PowerCut:
        pass
    await machine.power_loss()
    store = await machine.start()
    assert store.status().damage == ()
    await machine.finish()
    machine.ledger.check()


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("skip", [0, 1, 2])
@pytest.mark.parametrize("kind", HARMLESS)
async def test_a_failure_that_is_tried_again(kind: str, skip: int, times: int) -> None:
    operations, paths = HARMLESS[kind]
    machine = Machine(seed=skip)
    store = await machine.start()
    fault = machine.fail(*operations, paths=paths, skip=skip, times=times)
    requests = await traffic(machine, 30)
    assert fault.hits or kind in {"spare", "reserve"}
    assert not store.failed.is_set()
    assert all(one.outcome is True for one in requests)
    machine.faults.clear()
    status = await machine.drain()
    assert status.damage == ()
    await machine.stop()
    machine.ledger.check()
    await machine.start()
    await machine.settle()
    assert not machine.disk.listdir("objects")
    assert not machine.disk.listdir("chunks"), "what could not be removed was removed by the next start"
    await machine.stop()


async def test_a_flush_that_fails_while_a_checkpoint_waits_for_it() -> None:
    """The checkpoint must not let the segments go that alone hold the bytes."""
    machine = await rotated_with_a_flush_under_way()
    machine.fail("write", paths="chunks/*")
    machine.lanes.held.clear()
    await machine.settle()
    assert machine.running.failed.is_set()
    await machine.reopen()
    await machine.finish()
    machine.ledger.check()


async def test_a_flush_without_room_while_a_checkpoint_waits_for_it() -> None:
    """A flush that comes between a checkpoint's start and its own writes would escape it."""
    machine = await rotated_with_a_flush_under_way()
    machine.send_to(["p0/"] * 12)  # enough for its chunk to be flushed at once
    await machine.settle()
    assert machine.running.log.segment_count == 2
    machine.fail("write", paths="chunks/*", number=errno.ENOSPC, skip=1)
    machine.lanes.held.clear()
    await machine.settle()
    assert not machine.running.failed.is_set()
    await machine.kill()
    store = await machine.start()
    assert store.status().damage == ()
    await machine.finish()
    machine.ledger.check()


async def rotated_with_a_flush_under_way() -> Machine:
    """A machine whose chunk files' lane stands still, with a flush in it and a checkpoint behind that."""
    machine = Machine(3, limits=BatchLimits(3600, 1 << 20, 3600.0), memory_bytes=1 << 20)
    store = await machine.start()
    await machine.settle()
    machine.lanes.held.add("chunk-files")
    machine.send_to(["p1/"] * 20)
    await machine.settle()
    assert machine.lanes.waiting("chunk-files") == 1, "a flush"
    while store.log.segment_count < 2:
        machine.send_to([f"q{n}/" for n in range(10)], size=20)
        await machine.settle()
    return machine


async def test_a_seal_waits_for_the_flush_of_its_chunk() -> None:
    machine = Machine(0, limits=BatchLimits(60, 1 << 20, 60.0))
    store = await machine.start()
    await machine.settle()
    machine.lanes.held.add("chunk-files")
    machine.send_to(["p0/"] * 20)
    await machine.settle()
    assert any(chunk.flushing for chunk in store.table.unsealed.values())
    machine.clock.advance(64.0)
    store.tick()
    await machine.settle()
    assert store.sealer.backlog == 1
    assert not machine.ledger.bucket, "some of its bytes are nowhere but in the flush"
    machine.lanes.held.clear()
    await machine.settle()
    assert len(machine.ledger.bucket) == 1
    await machine.finish()
    machine.ledger.check()


async def test_who_is_being_committed_is_told_before_who_waits() -> None:
    """A chunk file fails while a commit is under way: its requests may still be committed."""
    machine = Machine(0)
    store = await machine.start()
    machine.fail("write", paths="chunks/*")
    machine.lanes.held.add("chunk-files")
    machine.send_to(["p0/"] * 20)
    await machine.settle()
    machine.lanes.held.add("journal")
    under_way = machine.send(partitions=1, records=1)
    await machine.turns(3)
    waiting = machine.send(partitions=1, records=1)
    machine.lanes.held.remove("chunk-files")
    await machine.settle()
    assert store.failed.is_set()
    assert under_way.outcome is waiting.outcome is None
    machine.lanes.held.clear()
    await machine.settle()
    assert under_way.outcome is True
    assert waiting.refused_for == "failed"
    await machine.reopen()
    await machine.finish()
    machine.ledger.check()


async def test_a_close_with_a_commit_under_way_and_one_waiting() -> None:
    machine = Machine(0)
    await machine.start()
    machine.lanes.held.add("journal")
    under_way = machine.send(partitions=1, records=1)
    await machine.turns(3)
    waiting = machine.send(partitions=1, records=1)
    machine.lanes.held.clear()
    await machine.running.close()
    assert under_way.outcome is True
    assert waiting.refused_for == "stopping"
    assert machine.send(partitions=1, records=1).refused_for == "stopping"
    await machine.start()
    await machine.finish()
    machine.ledger.check()


async def test_drain_and_resume_on_a_store_that_failed_leave_it_shut() -> None:
    machine = Machine(0)
    store = await machine.start()
    machine.fail("sync", paths="journal/*.seg")
    machine.send(partitions=1, records=1)
    await machine.settle()
    assert store.failed.is_set()
    await store.drain("x")
    await store.resume()
    assert machine.send(partitions=1, records=1).refused_for == "failed"
    await machine.reopen()
    await machine.finish()
    machine.ledger.check()


async def test_a_drain_outlives_the_process_and_a_resume_too() -> None:
    machine = Machine(0)
    store = await machine.start()
    machine.upload = False
    machine.send(partitions=3, records=9)
    await machine.settle()
    await store.drain("epoch 1")
    await machine.settle()
    assert machine.send(partitions=1, records=1).refused_for == "draining"
    await machine.power_loss()
    store = await machine.start()
    assert store.status().drain_epoch == "epoch 1"
    assert not store.status().drained
    assert machine.send(partitions=1, records=1).refused_for == "draining"
    machine.upload = True
    assert (await machine.until_drained()).drained
    await store.resume()
    assert machine.send(partitions=1, records=1).outcome is None
    await machine.settle()
    await machine.power_loss()
    store = await machine.start()
    assert store.status().drain_epoch is None
    assert store.refusal is None
    await machine.finish()
    machine.ledger.check()


async def test_a_raised_refusal_does_not_grow() -> None:
    machine = Machine(0)
    store = await machine.start()
    await store.drain("x")
    for _ in range(5):
        error = machine.send(partitions=1, records=1).outcome
    assert isinstance(error, Exception)
    depth, traceback = 0, error.__traceback__
    while traceback is not None:
        depth, traceback = depth + 1, traceback.tb_next
    assert depth <= 2
    await machine.stop()


# ---- real lanes


async def test_a_lane_outlives_whatever_its_jobs_raise() -> None:
    import asyncio

    lane = Lane("test", asyncio.get_running_loop())
    outcomes: list[Outcome[int]] = []

    def fail(error: BaseException) -> int:
        raise error

    for error in (OSError(5, "x"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()):
        lane.submit(lambda error=error: fail(error), outcomes.append)  # type: ignore[misc]  # a default in a lambda
    assert await lane.call(lambda: 7) == 7
    assert [type(one.error) for one in outcomes] == [OSError, SystemExit, KeyboardInterrupt, GeneratorExit]
    with pytest.raises(OSError, match="x"):
        outcomes[0].get()
    with pytest.raises(PowerCut):
        await lane.call(lambda: fail(PowerCut()))
    await lane.close()


async def test_jobs_of_a_lane_are_done_in_order_and_before_it_closes() -> None:
    import asyncio

    lane = Lane("test", asyncio.get_running_loop())
    done: list[int] = []
    told: list[int] = []
    for number in range(200):
        lane.submit(lambda number=number: done.append(number), lambda _, number=number: told.append(number))  # type: ignore[misc]
    await lane.close()
    assert done == list(range(200))
    assert told == list(range(200))


@pytest.mark.parametrize("seed", range(6))
async def test_a_life_with_threads(seed: int) -> None:
    """The same store with the lanes that it has in the world."""
    machine = Machine(seed, threads=True)
    for _ in range(3):
        await machine.start()
        await traffic(machine, 6)
        await machine.kill()
    await machine.finish()
    machine.ledger.check()
