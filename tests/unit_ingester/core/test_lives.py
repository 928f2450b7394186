"""Lives of a volume as Hypothesis makes them up: requests, seals, outages, full and failing disks, kills, power cuts.

The model is the ledger: what was acknowledged is found once when everything was uploaded, and nothing is found twice.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.errors import S3SinkError

from tests.rig.volumes import Machine, PowerCut

T = TypeVar("T")

FAILURES = (
    ("write", "journal/*.seg", errno.EIO),
    ("sync", "journal/*.seg", errno.EIO),
    ("rename", "journal/*.seg", errno.ENOSPC),
    ("create", "journal/*", errno.ENOSPC),
    ("create", "chunks/*", errno.ENOSPC),
    ("write", "chunks/*", errno.ENOSPC),
    ("write", "chunks/*", errno.EIO),
    ("sync", "chunks/*", errno.EIO),
    ("sync_dir", "*", errno.EIO),
    ("write", "objects/*", errno.ENOSPC),
    ("sync", "objects/*", errno.EIO),
    ("unlink", "*", errno.EIO),
    ("create", "drain.tmp", errno.ENOSPC),
    ("sync_fs", "*", errno.EIO),
)

up = precondition(lambda self: self.machine.on and self.machine.store is not None)
down = precondition(lambda self: not (self.machine.on and self.machine.store is not None))


class Lives(RuleBasedStateMachine):
    """See the module."""

    machine: Machine

    @initialize(seed=st.integers(0, 2**16), small=st.booleans())
    def make(self, seed: int, small: bool) -> None:
        self.runner = asyncio.Runner()
        disk = FakeDisk(120_000 if small else 1 << 40)
        self.machine = Machine(seed, disk=disk, size=120_000 if small else 1 << 30)
        self.accepted = 0
        self.run(self.machine.start())

    def run(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do it, unless the power goes meanwhile."""
        try:
            return self.runner.run(work)
        except PowerCut:
            assert not self.machine.on
            return None

    async def do(self, step: Any) -> None:
        """A step on the loop."""
        step()
        await asyncio.sleep(0)

    @up
    @rule(partitions=st.integers(1, 6), records=st.integers(1, 8), size=st.sampled_from([5, 40, 400]))
    def send(self, partitions: int, records: int, size: int) -> None:
        self.run(self.do(lambda: self.machine.send(partitions, records, size)))

    @up
    @rule(turns=st.integers(1, 60))
    def turn(self, turns: int) -> None:
        self.run(self.machine.turns(turns))

    @up
    @rule()
    def settle(self) -> None:
        self.run(self.machine.settle())

    @up
    @rule(seconds=st.sampled_from([0.3, 5.0, 31.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.machine.clock.advance(seconds)
        self.run(self.do(self.machine.running.tick))

    @rule(seconds=st.sampled_from([-3600.0, -60.0, 60.0, 86400.0]))
    def the_clock_is_set(self, seconds: float) -> None:
        self.machine.clock.wall += seconds

    @up
    @rule(reachable=st.booleans())
    def the_object_store_comes_or_goes(self, reachable: bool) -> None:
        self.machine.upload = reachable

    @rule(lane=st.sampled_from(["journal", "chunk-files", "seal", "uploads"]), held=st.booleans())
    def a_lane_is_slow(self, lane: str, held: bool) -> None:
        (self.machine.lanes.held.add if held else self.machine.lanes.held.discard)(lane)

    @up
    @rule(epoch=st.sampled_from(["1", "2"]))
    def drain(self, epoch: str) -> None:
        self.machine.lanes.held.clear()
        try:
            self.run(self.machine._guarded(self.machine.running.drain(epoch)))
        except OSError:
            assert self.machine.faults or isinstance(self.machine.disk, FakeDisk)

    @up
    @rule()
    def resume(self) -> None:
        self.machine.lanes.held.clear()
        try:
            self.run(self.machine._guarded(self.machine.running.resume()))
        except OSError:
            assert self.machine.faults

    @rule(failure=st.sampled_from(FAILURES), skip=st.integers(0, 4), times=st.integers(1, 3))
    def a_disk_operation_will_fail(self, failure: tuple[str, str, int], skip: int, times: int) -> None:
        operation, paths, number = failure
        self.machine.fail(operation, paths=paths, number=number, skip=skip, times=times)

    @rule()
    def the_disk_is_sound(self) -> None:
        self.machine.faults.clear()

    @up
    @rule(operations=st.integers(0, 60))
    def the_power_will_go(self, operations: int) -> None:
        self.machine.cut_power_after(operations)

    @rule(power=st.booleans())
    def killed(self, power: bool) -> None:
        self.run(self.machine.power_loss() if power else self.machine.kill())

    @up
    @rule()
    def stopped_in_order(self) -> None:
        self.machine.lanes.held.clear()
        self.run(self.machine.stop())

    @down
    @rule(operations=st.none() | st.integers(0, 80))
    def started(self, operations: int | None) -> None:
        if not self.machine.on:
            self.run(self.machine.kill())
        if operations is not None:
            self.machine.cut_power_after(operations)
        self.try_to_start()

    @precondition(lambda self: self.machine.on and self.machine.store and self.machine.store.failed.is_set())
    @rule()
    def recovered_in_place(self) -> None:
        self.machine.lanes.held.clear()
        self.run(self.machine.stop())
        if self.machine.on:
            self.try_to_start()

    def try_to_start(self) -> None:
        try:
            self.run(self.machine.start())
        except (OSError, S3SinkError):  # a full or failing disk; nothing must come of it
            self.machine.lanes.kill()

    @invariant()
    def nothing_is_found_that_must_not_be(self) -> None:
        if not hasattr(self, "machine"):
            return
        self.machine.check_uploads()
        found = self.machine.ledger.found()
        assert set(found) <= self.machine.ledger.sent
        assert not [one for one, count in found.items() if count > 1]
        if self.machine.store is not None:
            status = self.machine.store.status()
            assert status.damage == ()
            assert status.accepted_records >= len(self.machine.ledger.acked)
            assert status.uploaded_records + status.buffered_records == status.accepted_records

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        machine = self.machine
        try:
            machine.lanes.held.clear()
            machine.faults.clear()
            machine._operations_left = -1
            if machine.on:
                self.runner.run(machine.settle())  # what failed before may not have been told yet
            if not machine.on or machine.store is None or machine.store.failed.is_set():
                self.runner.run(machine.kill())
            machine.fake.capacity = 1 << 40
            status = self.runner.run(machine.finish())
            machine.ledger.check()
            assert status.damage == ()
            assert status.uploaded_records >= len(machine.ledger.acked)
        finally:
            self.runner.close()


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
