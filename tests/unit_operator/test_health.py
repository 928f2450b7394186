"""Probes."""

from __future__ import annotations

from aiohttp.test_utils import TestClient, TestServer
from s3sink_operator.runtime.health import Vitals, application


def test_a_part_that_is_silent_for_too_long_is_dead() -> None:
    now = 0.0
    vitals = Vitals(lambda: now)
    vitals.expect("watch", 10.0)
    now = 10.0
    assert vitals.dead() == []
    now = 17.0
    assert vitals.dead() == ["watch: silent for 17 s, at most 10 s are normal"]
    vitals.heard("watch")
    assert vitals.dead() == []
    now = 100.0
    vitals.dismiss("watch")
    vitals.heard("watch")
    now = 200.0
    assert vitals.dead() == [], "what has ended is missed by nobody"


def test_checks_are_made_each_time() -> None:
    vitals = Vitals(lambda: 0.0)
    wrong: list[str] = []
    vitals.check(lambda: wrong[0] if wrong else None)
    assert vitals.dead() == []
    wrong.append("stuck")
    assert vitals.dead() == ["stuck"]


async def test_pages() -> None:
    vitals = Vitals(lambda: 0.0)
    wrong: list[str] = []
    vitals.check(lambda: wrong[0] if wrong else None)

    async with TestClient(TestServer(application(vitals, lambda: b"a 1\n"))) as client:

        async def page(path: str) -> tuple[int, str]:
            async with client.get(path) as answer:
                return answer.status, await answer.text()

        assert await page("/healthz") == (200, "ok\n")
        assert await page("/readyz") == (503, "waiting for the start\n")
        vitals.waiting_for = None
        assert await page("/readyz") == (200, "ok\n")
        wrong.append("stuck")
        assert await page("/healthz") == (503, "stuck\n")
        async with client.get("/metrics") as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert await answer.text() == "a 1\n"
