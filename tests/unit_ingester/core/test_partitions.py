"""Partitions count from the moment that records which open them are taken, until they end or the records fail."""

from __future__ import annotations

import errno

import pytest
from s3sink_ingester.policy import BatchLimits
from s3sink_ingester.records import Framing, Kind, Layout, Partitioning, Router

from tests.rig.volumes import Machine

LONG = BatchLimits(window=3600, max_bytes=1 << 20, max_age=3600.0)


class Sender:
    """Who doesn't care what becomes of the records."""

    def committed(self) -> None:
        """Nothing to do."""

    def failed(self, error: Exception) -> None:
        """Nothing to do."""


async def test_requests_that_wait_for_one_commit_open_no_more_partitions_than_one_may() -> None:
    machine = Machine(0, limits=LONG)
    store = await machine.start()
    partitioning = Partitioning(regex=r"^(?P<path>\S+) (?P<content>.+)$", max_partitions=10)
    router = Router(partitioning, Layout(), 1000)
    for request in range(20):
        body = b"".join(b"key-%d x\n" % (4 * request + one) for one in range(4))
        store.submit(router.route(body, Framing.LINES, None, store.open_partitions), Sender())
        store.submit(
            [router.route(b"single-%d x" % request, Framing.SINGLE, None, store.open_partitions)[0]], Sender()
        )
    await machine.settle()
    kinds = [chunk.kind for chunk in store.table.open.values()]
    assert kinds.count(Kind.DATA) == 10
    assert kinds.count(Kind.OVERFLOW) == 1


@pytest.mark.parametrize("then", ["committed", "no room", "failed", "held", "closed"])
async def test_none_is_counted_for_ever(then: str) -> None:
    machine = Machine(0, limits=LONG, segment_bytes=2000)
    store = await machine.start()
    if then == "no room":
        machine.fail("create", "rename", paths="journal/*.seg", number=errno.ENOSPC, times=-1)
    elif then == "failed":
        machine.fail("write", paths="journal/*.seg", skip=3, times=-1)
    elif then == "held":
        machine.lanes.held.add("chunk-files")
    on_their_way = 0
    for turn in range(40):
        for one in range(3):
            machine.send_to([f"p{turn}-{one}/", f"p{turn}-{one + 1}/", "p/"])
        on_their_way += set(store.table.open) < set(store.open_partitions)
        if turn > 5 or then == "committed":
            await machine.turns(machine.rng.randrange(8))
    assert on_their_way
    if then == "closed":
        await machine.stop()
    else:
        machine.lanes.held.clear()
        await machine.settle()
    assert set(store.open_partitions) == set(store.table.open)
    assert len(store.open_partitions) == len(store.table.open)
