"""The queue in virtual time: what runs when, and what never runs twice at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from s3sink_operator.errors import Conflict, Refused, Unavailable
from s3sink_operator.runtime.workqueue import Backoff, WorkQueue

from tests.rig import virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Work:
    """Takes ``takes`` seconds a key; notes when each began."""

    def __init__(self, takes: float = 0.0, answer: Callable[[int], float | None] = lambda _: None) -> None:
        self.takes = takes
        self.began: list[tuple[float, str]] = []
        self.running: list[str] = []
        self.most = 0
        self._answer = answer

    async def __call__(self, key: str) -> float | None:
        assert key not in self.running, "two at once for one key"
        self.began.append((now(), key))
        self.running.append(key)
        self.most = max(self.most, len(self.running))
        try:
            await asyncio.sleep(self.takes)
            return self._answer(len(self.began))
        finally:
            self.running.remove(key)

    def times(self, key: str) -> list[float]:
        return [round(when, 3) for when, one in self.began if one == key]


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def running(
    work: Work, workers: int = 4, backoff: Backoff | None = None
) -> AsyncIterator[WorkQueue[str]]:
    queue: WorkQueue[str] = WorkQueue(work, workers=workers, backoff=backoff, chance=lambda: 0.5)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_wishes_for_one_key_become_one() -> None:
    async def main() -> None:
        work = Work()
        async with running(work) as queue:
            for _ in range(10):
                queue.wake("a")
            queue.wake("a", 3.0)
            queue.wake("b")
            assert queue.depth == 2
            await asyncio.sleep(10)
        assert (work.times("a"), work.times("b")) == ([0.0], [0.0])

    virtual_time.run(main())


def test_the_earliest_of_delayed_wishes_counts() -> None:
    async def main() -> None:
        work = Work()
        async with running(work) as queue:
            queue.wake("a", 5.0)
            queue.wake("a", 2.0)
            queue.wake("a", 9.0)
            await asyncio.sleep(20)
        assert work.times("a") == [2.0]

    virtual_time.run(main())


def test_a_wish_while_it_runs_makes_it_run_once_more_afterwards() -> None:
    async def main() -> None:
        work = Work(takes=2.0)
        async with running(work) as queue:
            queue.wake("a")
            await asyncio.sleep(1.0)
            queue.wake("a")
            queue.wake("a")
            await asyncio.sleep(20)
        assert work.times("a") == [0.0, 2.0]

    virtual_time.run(main())


def test_a_delayed_wish_while_it_runs_keeps_its_time() -> None:
    async def main() -> None:
        work = Work(takes=2.0)
        async with running(work) as queue:
            queue.wake("a")
            await asyncio.sleep(1.0)
            queue.wake("a", 4.0)
            await asyncio.sleep(20)
        assert work.times("a") == [0.0, 5.0]

    virtual_time.run(main())


def test_what_it_answers_is_when_it_runs_again() -> None:
    async def main() -> None:
        work = Work(answer=lambda runs: 60.0 if runs < 3 else None)
        async with running(work) as queue:
            queue.wake("a")
            await asyncio.sleep(500)
        assert work.times("a") == [0.0, 60.0, 120.0]

    virtual_time.run(main())


def test_no_more_than_the_workers_run_at_once_and_all_are_served() -> None:
    async def main() -> None:
        work = Work(takes=1.0)
        async with running(work, workers=3) as queue:
            for number in range(10):
                queue.wake(f"key-{number}")
            await asyncio.sleep(0.5)
            assert (queue.running, queue.depth) == (3, 7)
            await asyncio.sleep(20)
            assert (queue.running, queue.depth) == (0, 0)
        assert work.most == 3
        assert len(work.began) == 10

    virtual_time.run(main())


def test_who_asks_comes_before_routine_and_routine_still_comes() -> None:
    async def main() -> None:
        work = Work(takes=1.0, answer=lambda runs: 10.0 if runs <= 8 else None)
        async with running(work, workers=1) as queue:
            for number in range(8):
                queue.wake(f"routine-{number}")
            await asyncio.sleep(18.5)  # all ran once, from 0 to 8; all are due again from 11 on
            work.began.clear()
            for number in range(6):
                queue.wake(f"asked-{number}")
            queue.wake("routine-7")
            await asyncio.sleep(20)
        order = [key for _, key in work.began]
        assert order.index("routine-7") < 9, "it was routine, until somebody asked for it"
        routine = [place for place, key in enumerate(order[:8]) if key.startswith("routine")]
        assert 1 <= len(routine) <= 3
        asked = [key for key in order if key.startswith("asked")]
        assert asked[:6] == [f"asked-{number}" for number in range(6)]

    virtual_time.run(main())


def test_failures_are_spaced_and_a_success_forgets_them() -> None:
    def answer(runs: int) -> float | None:
        if runs in (1, 2, 3, 5):
            raise Unavailable("away")
        return 100.0 if runs == 4 else None

    async def main() -> None:
        work = Work(answer=answer)
        async with running(work, backoff=Backoff(base=2.0, most=60.0)) as queue:
            queue.wake("a")
            await asyncio.sleep(500)
        # Half of 2, 4 and 8 seconds; then a success; then half of 2 again.
        assert work.times("a") == [0.0, 1.0, 3.0, 7.0, 107.0, 108.0]

    virtual_time.run(main())


def test_a_bug_in_the_work_ends_no_worker() -> None:
    def answer(runs: int) -> float | None:
        if runs < 4:
            raise ZeroDivisionError
        return None

    async def main() -> None:
        work = Work(answer=answer)
        async with running(work, workers=1) as queue:
            queue.wake("a")
            await asyncio.sleep(500)
        assert len(work.began) == 4

    virtual_time.run(main())


def test_a_wish_comes_before_a_backoff() -> None:
    def answer(_: int) -> float | None:
        raise Unavailable("away", retry_after=50.0)

    async def main() -> None:
        work = Work(answer=answer)
        async with running(work) as queue:
            queue.wake("a")
            await asyncio.sleep(1.0)
            queue.wake("a")
            await asyncio.sleep(10.0)
        assert work.times("a") == [0.0, 1.0]

    virtual_time.run(main())


def test_what_is_forgotten_is_not_run() -> None:
    async def main() -> None:
        work = Work()
        async with running(work) as queue:
            queue.wake("a", 5.0)
            queue.forget("a")
            await asyncio.sleep(20)
        assert work.began == []

    virtual_time.run(main())


def test_stopping_waits_for_what_runs_and_begins_nothing() -> None:
    async def main() -> None:
        work = Work(takes=3.0)
        async with running(work, workers=1) as queue:
            queue.wake("a")
            queue.wake("b")
            queue.wake("c", 1.0)
            await asyncio.sleep(0.5)
            assert await queue.stop(10.0)
            assert now() == pytest.approx(3.0)
            queue.wake("d")
            await asyncio.sleep(20)
        assert [key for _, key in work.began] == ["a"]

    virtual_time.run(main())


def test_stopping_gives_up_after_a_grace() -> None:
    async def main() -> None:
        work = Work(takes=100.0)
        async with running(work) as queue:
            queue.wake("a")
            await asyncio.sleep(0.5)
            assert not await queue.stop(10.0)
            assert now() == pytest.approx(10.5)

    virtual_time.run(main())


def test_it_tells_how_long_nothing_came_to_its_end() -> None:
    async def main() -> None:
        work = Work(takes=30.0)
        async with running(work, workers=1) as queue:
            assert queue.silent(now()) == 0.0
            await asyncio.sleep(100.0)
            assert queue.silent(now()) == 0.0, "there is nothing to do"
            queue.wake("a")
            queue.wake("b")
            await asyncio.sleep(20.0)
            assert (queue.silent(now()), queue.oldest(now())) == (20.0, 20.0)
            await asyncio.sleep(20.0)
            assert (queue.silent(now()), queue.oldest(now())) == (10.0, 10.0)
            await asyncio.sleep(60.0)
            assert (queue.silent(now()), queue.oldest(now())) == (0.0, 0.0)

    virtual_time.run(main())


@pytest.mark.parametrize(
    ("error", "failures", "chance", "expected"),
    [
        (Unavailable("away"), 1, 0.0, 0.1),  # never quite nothing
        (Unavailable("away"), 1, 0.999, 0.4995),
        (Unavailable("away"), 5, 0.5, 4.0),
        (Unavailable("away"), 1000, 0.5, 60.0),
        (Unavailable("busy", retry_after=7.0), 1, 0.0, 7.0),
        (Unavailable("busy", retry_after=7.0), 1, 0.5, 7.25),  # not all who were told so come back at once
        (Conflict("moved"), 1, 0.5, 0.3),
        (Conflict("moved"), 3, 0.5, 0.3),
        (Conflict("moved"), 8, 0.5, 32.0),  # it doesn't resolve
        (Refused("no"), 1, 0.5, 0.25),
        (ValueError("a bug"), 9, 0.5, 60.0),
    ],
)
def test_delays(error: Exception, failures: int, chance: float, expected: float) -> None:
    assert Backoff().delay(error, failures, chance) == pytest.approx(expected)
