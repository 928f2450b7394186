"""The uploader on a store that fails as it is told, in a time that moves when the test says so."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.errors import ObjectCorrupt, ObjectUnreadable, StoreRefused, StoreUnavailable
from s3sink_ingester.objects import PutOutcome, SealedObject
from s3sink_ingester.objects.fake import (
    FakeStore,
    Fault,
    forbidden,
    hang,
    refused_connection,
    reset_after_storing,
    slow_down,
)
from s3sink_ingester.uploader import READS, Uploader

from tests.rig.object_store_contract import seal

HOUR = 3600.0


class ManualTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualTimers:
    """Time that stands still until it is moved to the next timer."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._count = 0

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None], /) -> ManualTimer:
        timer = ManualTimer(callback)
        self._count += 1
        heapq.heappush(self._timers, (self.now + delay, self._count, timer))
        return timer

    @property
    def next(self) -> float | None:
        """When the next timer is due."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def fire(self) -> None:
        """Move to the next timer."""
        assert self.next is not None
        due, _, timer = heapq.heappop(self._timers)
        self.now = max(self.now, due)
        assert timer.callback is not None
        timer.callback()


class Recorder:
    """Everything that the uploader tells."""

    def __init__(self) -> None:
        self.done: list[tuple[SealedObject, PutOutcome]] = []
        self.bad: list[SealedObject] = []
        self.observed: list[str] = []

    def on_uploaded(self, obj: SealedObject, outcome: PutOutcome) -> None:
        self.done.append((obj, outcome))

    def on_corrupt(self, obj: SealedObject, error: ObjectCorrupt) -> None:
        self.bad.append(obj)

    def uploaded(self, obj: SealedObject, outcome: PutOutcome, seconds: float) -> None:
        assert seconds >= 0.0
        self.observed.append(outcome.value)

    def failed(self, obj: SealedObject | None, reason: str, detail: str) -> None:
        assert detail
        self.observed.append(reason)

    @property
    def keys(self) -> list[str]:
        return [obj.key for obj, _ in self.done]


class Rig:
    def __init__(self, concurrency: int) -> None:
        self.disk = FakeDisk()
        self.store = FakeStore(self.disk)
        self.timers = ManualTimers()
        self.told = Recorder()
        self._template = seal(self.disk, "template", b"content")
        self.uploader = Uploader(
            self.store,
            self.told.on_uploaded,
            self.told.on_corrupt,
            concurrency=concurrency,
            clock=lambda: 1.8e9 + self.timers.now,
            timers=self.timers,
            rng=random.Random(1),
            observer=self.told,
        )

    def objects(self, count: int, first: int = 0) -> list[SealedObject]:
        """Objects of which `first` is the oldest; they share a file, which no store minds."""
        return [
            replace(self._template, chunk_id=n, key=f"k{n:06d}", oldest_at=float(n))
            for n in range(first, first + count)
        ]

    async def at_rest(self) -> None:
        """Wait until nothing is out."""
        await self.reach(lambda: self.uploader.running == 0)

    async def reach(self, condition: Callable[[], bool]) -> None:
        """Wait for the threads, not for time."""
        for _ in range(100_000):
            if condition():
                return
            await asyncio.sleep(0.0001)
        raise AssertionError("never came to this")

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and whatever is due in it happen."""
        end = self.timers.now + seconds
        while True:
            await self.at_rest()
            due = self.timers.next
            if due is None or due > end:
                break
            self.timers.fire()
        self.timers.now = end

    async def finish(self, limit: float = 24 * HOUR) -> None:
        """Let time pass until all is uploaded."""
        end = self.timers.now + limit
        await self.at_rest()
        while self.uploader.backlog and self.timers.now < end:
            self.timers.fire()
            await self.at_rest()
        assert self.uploader.backlog == 0


@asynccontextmanager
async def rig(concurrency: int = 4) -> AsyncIterator[Rig]:
    """A running uploader that has checked its destination and waits for objects."""
    made = Rig(concurrency)
    running = asyncio.create_task(made.uploader.run())
    await asyncio.sleep(0)
    await made.at_rest()
    try:
        yield made
    finally:
        await made.uploader.close(10.0)
        await running


async def test_all_are_uploaded_and_told_once() -> None:
    async with rig() as r:
        r.uploader.add_all(r.objects(200))
        await r.finish()
        assert sorted(r.told.keys) == sorted(r.store.objects) == [f"k{n:06d}" for n in range(200)]
        assert {outcome for _, outcome in r.told.done} == {PutOutcome.CREATED}
        assert r.told.observed == ["created"] * 200
        assert r.uploader.last_success == 1.8e9 + r.timers.now
        assert r.uploader.failures == 0


async def test_the_oldest_goes_first() -> None:
    async with rig(concurrency=1) as r:
        shuffled = r.objects(50)
        random.Random(2).shuffle(shuffled)
        go_on = threading.Event()
        r.store.script.append(hang(go_on))
        r.uploader.add(r.objects(1, first=1000)[0])
        for obj in shuffled[:25]:
            r.uploader.add(obj)
        r.uploader.add_all(shuffled[25:])
        go_on.set()
        await r.finish()
        assert r.store.attempts == ["k001000"] + [f"k{n:06d}" for n in range(50)]


@pytest.mark.parametrize("concurrency", [1, 4, 7])
async def test_no_more_at_a_time_than_allowed(concurrency: int) -> None:
    go_on = threading.Event()
    async with rig(concurrency) as r:
        r.store.decide = lambda _: hang(go_on)
        r.uploader.add_all(r.objects(30))
        await r.reach(lambda: len(r.store.attempts) == concurrency)
        assert r.uploader.running == concurrency
        assert r.uploader.backlog == 30
        assert r.timers.next is None, "with no room left there is nothing to wake up for"
        go_on.set()
        await r.finish()
        assert r.store.most_at_once == concurrency


async def test_it_begins_with_a_check() -> None:
    assert Rig(1).uploader.destination_ok is None
    async with rig() as r:
        assert r.store.checks == 1
        assert r.uploader.destination_ok is True
        assert r.uploader.last_success is None, "nothing was uploaded yet"
        await r.pass_time(24 * HOUR)
        assert r.store.checks == 1


async def test_what_recovery_found_goes_first_and_needs_no_check() -> None:
    made = Rig(4)
    made.uploader.add_all(made.objects(30))
    made.uploader.add(made.objects(1, first=30)[0])
    running = asyncio.create_task(made.uploader.run())
    await made.reach(lambda: len(made.told.done) == 31)
    assert made.store.attempts[0] == "k000000"
    assert made.store.checks == 0
    await made.uploader.close(10.0)
    await running


async def test_a_wrong_destination_shows_before_data_does() -> None:
    made = Rig(4)
    made.store.check_error = StoreRefused("no_such_bucket", "NoSuchBucket: no such bucket")
    running = asyncio.create_task(made.uploader.run())
    await asyncio.sleep(0)
    await made.at_rest()
    assert made.uploader.destination_ok is False
    assert made.uploader.last_error == "NoSuchBucket: no such bucket"
    assert made.uploader.last_error_reason == "no_such_bucket"
    await made.pass_time(HOUR)
    assert made.store.checks < 60
    made.store.check_error = None
    await made.pass_time(301.0)
    assert made.uploader.destination_ok is True
    await made.uploader.close(10.0)
    await running


@pytest.mark.parametrize("fault", [refused_connection, slow_down, forbidden])
async def test_a_backlog_does_not_hammer_a_store_that_is_away(fault: Callable[[], Fault]) -> None:
    async with rig() as r:
        r.store.decide = lambda _: fault()
        r.uploader.add_all(r.objects(100_000))
        await r.at_rest()
        assert len(r.store.attempts) <= 6  # the four that were under way, and a first probe
        await r.pass_time(HOUR)
        assert len(r.store.attempts) < 200  # one a half minute, and the climb to there
        assert r.uploader.backlog == 100_000
        assert r.uploader.destination_ok is False
        assert r.told.done == []


@pytest.mark.parametrize("fault", [refused_connection, slow_down, forbidden])
async def test_when_the_store_is_back_everything_goes(fault: Callable[[], Fault]) -> None:
    async with rig() as r:
        r.store.decide = lambda _: fault()
        r.uploader.add_all(r.objects(500))
        await r.pass_time(3 * HOUR)
        r.store.decide = lambda _: None
        before = len(r.told.done)
        await r.finish(limit=301.0 * 2)
        assert len(r.told.done) == 500
        assert before < 500
        assert r.uploader.destination_ok is True
        assert r.uploader.last_error, "what the last failure was stays known"


async def test_one_probe_at_a_time_until_one_succeeds() -> None:
    go_on = threading.Event()
    async with rig() as r:
        r.store.script.extend([slow_down(), slow_down(), slow_down(), slow_down(), hang(go_on)])
        r.uploader.add_all(r.objects(20))
        await r.at_rest()
        assert len(r.store.attempts) == 4
        r.timers.fire()
        await r.reach(lambda: len(r.store.attempts) == 5)
        assert r.timers.next is None or r.timers.next > r.timers.now
        for _ in range(20):
            await asyncio.sleep(0.0001)
        assert len(r.store.attempts) == 5
        go_on.set()
        await r.finish()


async def test_a_lost_answer_is_told_as_already_there() -> None:
    async with rig() as r:
        r.store.script.append(reset_after_storing())
        r.uploader.add_all(r.objects(3))
        await r.finish()
        assert len(r.told.done) == 3
        outcomes = sorted(outcome.value for _, outcome in r.told.done)
        assert outcomes == ["already_there", "created", "created"]


@pytest.mark.parametrize("fault", [forbidden, slow_down])
@pytest.mark.parametrize("bad", [1, 3, 20])
async def test_objects_that_fail_for_their_own_sake_do_not_block_the_others(
    fault: Callable[[], Fault], bad: int
) -> None:
    async with rig() as r:
        r.store.decide = lambda obj: fault() if obj.chunk_id < bad else None
        r.uploader.add_all(r.objects(bad + 100))
        await r.pass_time(60.0)
        assert len(r.told.done) == 100
        assert r.uploader.backlog == bad
        r.store.decide = lambda _: None
        await r.finish(limit=601.0)


async def test_an_object_that_is_refused_is_tried_seldom() -> None:
    async with rig() as r:
        r.store.decide = lambda _: forbidden()
        r.uploader.add_all(r.objects(1))
        await r.pass_time(HOUR)
        assert 10 < len(r.store.attempts) < 40
        assert r.uploader.destination_ok is True, "the check after each refusal finds the destination working"


async def test_a_corrupt_file_is_told_once_and_the_rest_goes_on() -> None:
    async with rig() as r:
        broken = replace(r.objects(1, first=7)[0], sha256=bytes(32), chunk_id=99, key="broken")
        r.uploader.add_all([*r.objects(20), broken])
        await r.finish()
        assert r.told.bad == [broken]
        assert len(r.told.done) == 20
        assert r.uploader.destination_ok is True
        assert r.told.observed.count("corrupt") == 1
        assert r.timers.now == 1000.0, "nothing waited for it"


@pytest.mark.parametrize("failures", [READS - 1, READS])
async def test_a_file_that_the_disk_does_not_give_back_is_asked_for_some_times(failures: int) -> None:
    async with rig() as r:
        broken, *others = r.objects(20)
        left = Counter({broken.key: failures})

        def decide(obj: SealedObject) -> Fault | None:
            left[obj.key] -= 1
            return Fault(ObjectUnreadable("a bad sector")) if left[obj.key] >= 0 else None

        r.store.decide = decide
        r.uploader.add_all([broken, *others])
        await r.reach(lambda: len(r.told.done) == len(others))
        assert r.timers.now == 1000.0, "nothing waited for it"
        await r.finish()
        assert r.told.bad == ([broken] if failures == READS else [])
        assert len(r.told.done) == 20 - len(r.told.bad)
        assert r.told.observed.count("volume") == READS - 1
        assert r.uploader.destination_ok is True


async def test_a_bug_in_a_store_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with rig() as r:
        r.store.script.extend([Fault(ValueError("a bug")), Fault(KeyError("another"))])
        r.uploader.add_all(r.objects(10))
        await r.finish()
        assert len(r.told.done) == 10
        assert r.told.observed.count("internal") == 2
        assert "Traceback" in caplog.text


async def test_the_request_id_is_in_the_log_and_not_in_what_the_status_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with rig() as r:
        for request_id in ("id1", "id2"):
            r.store.script.append(Fault(StoreUnavailable("slow_down", "SlowDown (HTTP 503)", request_id)))
            r.uploader.add_all(r.objects(1))
            await r.at_rest()
            assert r.uploader.last_error == "SlowDown (HTTP 503)"
            await r.finish()
        logged = [vars(record).get("request_id") for record in caplog.records if "SlowDown" in record.message]
        assert logged == ["id1", "id2"]


async def test_kick_tries_at_once() -> None:
    async with rig() as r:
        r.store.decide = lambda _: slow_down()
        r.uploader.add_all(r.objects(3))
        await r.pass_time(2 * HOUR)
        r.store.decide = lambda _: None
        now = r.timers.now
        r.uploader.kick()
        await r.at_rest()
        assert len(r.told.done) == 3
        assert r.timers.now == now


async def test_kicks_of_a_store_that_is_away_stay_single_probes() -> None:
    async with rig() as r:
        r.store.decide = lambda _: slow_down()
        r.uploader.add_all(r.objects(50))
        await r.pass_time(HOUR)
        before = len(r.store.attempts)
        for _ in range(10):
            r.uploader.kick()
            await r.at_rest()
        assert len(r.store.attempts) == before + 10


async def test_close_waits_for_what_is_under_way_and_starts_nothing() -> None:
    go_on = threading.Event()
    made = Rig(2)
    running = asyncio.create_task(made.uploader.run())
    await asyncio.sleep(0)
    await made.at_rest()
    made.store.decide = lambda _: hang(go_on)
    made.uploader.add_all(made.objects(10))
    await made.reach(lambda: len(made.store.attempts) == 2)
    closing = asyncio.create_task(made.uploader.close(10.0))
    await asyncio.sleep(0)
    go_on.set()
    assert await closing is True
    await running
    assert len(made.told.done) == 2
    assert len(made.store.attempts) == 2
    assert made.uploader.backlog == 8


async def test_close_does_not_wait_for_ever() -> None:
    go_on = threading.Event()
    made = Rig(2)
    running = asyncio.create_task(made.uploader.run())
    await asyncio.sleep(0)
    await made.at_rest()
    made.store.decide = lambda _: hang(go_on)
    made.uploader.add_all(made.objects(1))
    await made.reach(lambda: len(made.store.attempts) == 1)
    assert await made.uploader.close(0.01) is False
    await running
    go_on.set()
    await made.at_rest()
    assert made.told.done == [], "what comes back after the close is not told: the journal may be closed"


async def test_close_without_run() -> None:
    assert await Rig(1).uploader.close(1.0) is True


async def test_a_callback_that_fails_does_not_stop_the_uploads() -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    made = Rig(2)
    uploaded: list[SealedObject] = []

    def on_uploaded(obj: SealedObject, outcome: PutOutcome) -> None:
        uploaded.append(obj)
        raise RuntimeError("the journal is gone")

    uploader = Uploader(made.store, on_uploaded, made.told.on_corrupt, concurrency=2)
    uploader.add_all(made.objects(5))
    running = asyncio.create_task(uploader.run())
    await made.reach(lambda: len(uploaded) == 5)
    await uploader.close(10.0)
    await running
    assert len(problems) == 5


async def test_with_real_time_and_a_flaky_store() -> None:
    made = Rig(4)
    uploader = Uploader(made.store, made.told.on_uploaded, made.told.on_corrupt, rng=random.Random(5))
    made.store.script.extend([slow_down(), refused_connection(), reset_after_storing()])
    uploader.add_all(made.objects(40))
    running = asyncio.create_task(uploader.run())
    await made.reach(lambda: len(made.told.done) == 40)
    await uploader.close(10.0)
    await running
    assert len(set(made.told.keys)) == 40


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_fails_every_object_is_told_exactly_once(seed: int) -> None:
    rng = random.Random(seed)
    errors: list[Callable[[], Exception]] = [
        lambda: StoreUnavailable("timeout", "timed out"),
        lambda: StoreRefused("access_denied", "denied"),
        lambda: ValueError("a bug"),
    ]

    def decide(obj: SealedObject) -> Fault | None:
        if rng.random() < 0.5:
            return None
        return Fault(rng.choice(errors)(), after_storing=rng.random() < 0.5)

    async with rig(concurrency=rng.randrange(1, 6)) as r:
        r.store.decide = decide
        expected = rng.randrange(40)
        r.uploader.add_all(r.objects(expected))
        for n in range(rng.randrange(40)):
            r.uploader.add(r.objects(1, first=1000 + n)[0])
            expected += 1
            if rng.random() < 0.3:
                await r.pass_time(rng.uniform(0.0, 100.0))
            if rng.random() < 0.1:
                r.uploader.kick()
        await r.finish()
        assert len(r.told.done) == len(set(r.told.keys)) == expected
        assert set(r.told.keys) == set(r.store.objects)


async def test_a_process_may_end_while_a_put_hangs() -> None:
    """The threads are daemons: nothing here joins them, and the test process must not either."""
    made = Rig(1)
    made.store.decide = lambda _: hang(threading.Event())
    made.uploader.add_all(made.objects(1))
    running = asyncio.create_task(made.uploader.run())
    await made.reach(lambda: len(made.store.attempts) == 1)
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("put-")]
    assert threads
    assert all(thread.daemon for thread in threads)
    await made.uploader.close(0.0)
    with contextlib.suppress(asyncio.CancelledError):
        await running
