"""When sinks are looked at, and what is made of the outcome. In virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from s3sink_operator.errors import Conflict, Refused, Unavailable
from s3sink_operator.reconcile import Outcome
from s3sink_operator.runtime import logs
from s3sink_operator.runtime.metrics import Metrics
from s3sink_operator.runtime.service import Pace, Service, result_of
from s3sink_operator.state import Ref

from tests.rig import virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

KEY = ("team", "events")
READY = ({"type": "Ready", "status": "True", "reason": "Ready"},)


class Reconciles:
    """Notes who was reconciled, when, and whether it might upgrade; answers as told."""

    def __init__(self, answer: Callable[[str], Outcome] = lambda _: Outcome(conditions=READY)) -> None:
        self.made: list[tuple[float, str, bool]] = []
        self.takes = 0.0
        self.logged_as: list[logs.Key | None] = []
        self._answer = answer

    async def __call__(self, sink: Ref, *, may_upgrade: bool) -> Outcome:
        now = asyncio.get_running_loop().time()
        self.made.append((round(now, 1), sink.name, may_upgrade))
        self.logged_as.append(logs.sink.get())
        await asyncio.sleep(self.takes)
        return self._answer(sink.name)

    @property
    def times(self) -> list[float]:
        return [when for when, _, _ in self.made]


@asynccontextmanager
async def running(
    reconciles: Reconciles, metrics: Metrics | None = None, workers: int = 4
) -> AsyncIterator[Service]:
    pace = Pace(resync=60.0, reconcile=20.0)
    service = Service(reconciles, metrics or Metrics("1"), workers=workers, pace=pace, chance=lambda: 0.5)
    task = asyncio.create_task(service.queue.run())
    try:
        yield service
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def scenario(body: Callable[[], Any]) -> None:
    virtual_time.run(body())


def test_a_sink_is_looked_at_again_each_resync() -> None:
    async def body() -> None:
        reconciles = Reconciles()
        async with running(reconciles) as service:
            service.found(KEY)
            await asyncio.sleep(190)
        assert reconciles.times == [0.0, 60.0, 120.0, 180.0]
        assert reconciles.logged_as[0] == KEY

    scenario(body)


def test_one_that_asks_for_it_is_looked_at_sooner_but_none_later() -> None:
    async def body() -> None:
        wishes = iter([15.0, 300.0, None])
        reconciles = Reconciles(lambda _: Outcome(conditions=READY, requeue_after=next(wishes)))
        async with running(reconciles) as service:
            service.found(KEY)
            await asyncio.sleep(80)
        assert reconciles.times == [0.0, 15.0, 75.0]

    scenario(body)


def test_children_wake_sinks_that_are_known() -> None:
    async def body() -> None:
        reconciles = Reconciles()
        async with running(reconciles) as service:
            service.touched(KEY, 0.5)
            await asyncio.sleep(5)
            assert reconciles.made == [], "left-over children of a sink that is gone"
            service.found(KEY)
            await asyncio.sleep(1)
            for _ in range(5):
                service.touched(KEY, 0.5)
            await asyncio.sleep(5)
        assert reconciles.times == [5.0, 6.5]

    scenario(body)


def test_a_sink_that_is_gone_is_forgotten_with_its_metrics() -> None:
    async def body() -> None:
        there = [READY, ()]
        reconciles = Reconciles(lambda _: Outcome(conditions=there.pop(0)))
        metrics = Metrics("1")
        async with running(reconciles, metrics) as service:
            service.found(KEY)
            await asyncio.sleep(1)
            assert b'name="events"' in metrics.text()
            service.found(KEY)
            await asyncio.sleep(500)
            service.touched(KEY, 0.0)
            service.wake_all()
            await asyncio.sleep(500)
        assert reconciles.times == [0.0, 1.0]
        assert b'name="events"' not in metrics.text()

    scenario(body)


def test_all_are_woken_but_not_at_once() -> None:
    async def body() -> None:
        reconciles = Reconciles()
        async with running(reconciles) as service:
            for number in range(3):
                service.found(("team", f"sink-{number}"))
            await asyncio.sleep(10)
            service.wake_all()
            await asyncio.sleep(20)
        assert reconciles.times == [0.0] * 3 + [25.0] * 3

    scenario(body)


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Unavailable("away"), "unavailable"),
        (Conflict("moved"), "conflict"),
        (Refused("no"), "refused"),
        (ZeroDivisionError(), "failed"),
    ],
)
def test_what_raises_is_counted_and_made_again(error: Exception, result: str) -> None:
    assert result_of(error) == result

    def answer(_: str) -> Outcome:
        if len(reconciles.made) == 1:
            raise error
        return Outcome(conditions=READY)

    reconciles = Reconciles(answer)

    async def body() -> None:
        metrics = Metrics("1")
        async with running(reconciles, metrics) as service:
            service.found(KEY)
            await asyncio.sleep(30)
        assert len(reconciles.made) == 2
        text = metrics.text().decode()
        assert f's3sink_operator_reconciles_total{{result="{result}"}} 1.0' in text
        assert 's3sink_operator_reconciles_total{result="done"} 1.0' in text

    scenario(body)


def test_what_the_api_server_refused_is_counted() -> None:
    async def body() -> None:
        reconciles = Reconciles(lambda _: Outcome(conditions=READY, refused="quota", requeue_after=300.0))
        metrics = Metrics("1")
        async with running(reconciles, metrics) as service:
            service.found(KEY)
            await asyncio.sleep(1)
        assert 's3sink_operator_reconciles_total{result="refused"} 1.0' in metrics.text().decode()

    scenario(body)


def test_a_reconcile_that_hangs_is_ended_and_made_again() -> None:
    async def body() -> None:
        reconciles = Reconciles()
        reconciles.takes = 10_000.0
        metrics = Metrics("1")
        async with running(reconciles, metrics, workers=1) as service:
            service.found(KEY)
            await asyncio.sleep(25)
            assert len(reconciles.made) == 2
        assert 's3sink_operator_reconciles_total{result="unavailable"} 1.0' in metrics.text().decode()

    scenario(body)


def test_sinks_upgrade_one_after_the_other() -> None:
    async def body() -> None:
        old = {"a", "b", "c"}
        rolled: list[str] = []

        def answer(name: str) -> Outcome:
            may = reconciles.made[-1][2]
            if name in old and may and [made[1] for made in reconciles.made].count(name) > 2:
                old.discard(name)
                rolled.append(name)
            return Outcome(conditions=READY, is_upgrading=name in old, requeue_after=15.0 if may else None)

        reconciles = Reconciles(answer)
        async with running(reconciles, workers=1) as service:
            for name in "abc":
                service.found(("team", name))
            await asyncio.sleep(400)
        assert rolled == ["a", "b", "c"]
        allowed = [name for _, name, may in reconciles.made if may and name in "abc"]
        assert allowed[:1] == ["a"]

    scenario(body)


def test_after_a_restart_a_sink_that_has_hung_for_a_day_holds_up_none() -> None:
    async def body() -> None:
        allowed: set[str] = set()

        def answer(name: str) -> Outcome:
            may = reconciles.made[-1][2]
            if name == "hangs":
                return Outcome(conditions=READY, is_upgrading=True, rolling_seconds=86_400.0)
            if may:
                allowed.add(name)
            return Outcome(conditions=READY, is_upgrading=not may)

        reconciles = Reconciles(answer)
        async with running(reconciles, workers=1) as service:
            for name in ("hangs", "a", "b"):
                service.found(("team", name))
            await asyncio.sleep(200)
        assert allowed == {"a", "b"}

    scenario(body)
