"""Whether the operator is alive and ready, told over HTTP beside its metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from aiohttp import web

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class Vitals:
    """Parts that must give a sign of life now and then. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._parts: dict[str, tuple[float, float]] = {}
        """How long each may be silent, and when it was heard last."""
        self._checks: list[Callable[[], str | None]] = []
        self.waiting_for: str | None = "the start"
        """Why the operator isn't ready; None when it is."""

    def expect(self, part: str, within: float) -> None:
        """From now on, ``part`` is to be heard every ``within`` seconds."""
        self._parts[part] = within, self._clock()

    def heard(self, part: str) -> None:
        """A sign of life. Means nothing for a part that isn't expected (any more)."""
        if part in self._parts:
            self._parts[part] = self._parts[part][0], self._clock()

    def dismiss(self, part: str) -> None:
        """It ended, as it should."""
        self._parts.pop(part, None)

    def check(self, check: Callable[[], str | None]) -> None:
        """Ask ``check`` each time what is wrong; None: nothing."""
        self._checks.append(check)

    def dead(self) -> list[str]:
        """What is wrong, a line each; a restart of the process would help."""
        now = self._clock()
        silent = [
            f"{part}: silent for {now - last:.0f} s, at most {within:.0f} s are normal"
            for part, (within, last) in self._parts.items()
            if now - last > within
        ]
        return silent + [wrong for check in self._checks if (wrong := check()) is not None]


def application(vitals: Vitals, metrics: Callable[[], bytes]) -> web.Application:
    """`/healthz`, `/readyz` (200 or 503, with the reason) and `/metrics`."""

    async def healthz(_: web.Request) -> web.Response:
        return _verdict(vitals.dead())

    async def readyz(_: web.Request) -> web.Response:
        waiting = vitals.waiting_for
        return _verdict([] if waiting is None else [f"waiting for {waiting}"])

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": _TEXT})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scrape)])
    return app


def _verdict(wrong: Iterable[str]) -> web.Response:
    text = "\n".join(wrong)
    return web.Response(status=503 if text else 200, text=(text or "ok") + "\n")
