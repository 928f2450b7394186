"""Lanes without threads: a test says, or chance does, which lane does its next job and when.

So every interleaving of the journal's, the chunk files' and the sealer's work can be had, and had again from its seed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import TypeVar

from s3sink_ingester.lanes import Lane, Outcome

T = TypeVar("T")


class SimulatedLane(Lane):
    """A queue of jobs that ``Lanes`` runs."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, lanes: Lanes) -> None:
        self.name = name
        self.jobs: deque[Callable[[], None]] = deque()
        self._loop = loop
        self._lanes = lanes

    def submit(self, job: Callable[[], T], done: Callable[[Outcome[T]], None]) -> None:
        def run() -> None:
            outcome: Outcome[T]
            try:
                outcome = Outcome(job(), None)
            except BaseException as error:  # noqa: BLE001  # as the real lane
                outcome = Outcome(None, error)
            if self._lanes.alive:
                self._loop.call_soon(done, outcome)

        self.jobs.append(run)

    async def close(self) -> None:
        if self._lanes.alive:
            await self.call(lambda: None)


class Lanes:
    """The lanes of one process. ``held``: names of lanes that do nothing for now."""

    def __init__(self, rng: Random) -> None:
        self.alive = True
        self.held: set[str] = set()
        self.jobs_done = 0
        self._rng = rng
        self._lanes: list[SimulatedLane] = []
        self._task: asyncio.Task[None] | None = None

    def make(self, name: str, loop: asyncio.AbstractEventLoop) -> Lane:
        """What ``open_store`` makes its lanes with."""
        if self._task is None:
            self._task = loop.create_task(self._run())
        self._lanes.append(SimulatedLane(name, loop, self))
        return self._lanes[-1]

    @property
    def idle(self) -> bool:
        """Whether no lane that may work has a job."""
        return not self._ready()

    def waiting(self, name: str) -> int:
        """Jobs that a lane has not done."""
        return sum(len(lane.jobs) for lane in self._lanes if lane.name == name)

    def step(self) -> None:
        """One lane does one job."""
        ready = self._ready()
        if ready and self.alive:
            self.jobs_done += 1
            self._rng.choice(ready).jobs.popleft()()

    def kill(self) -> None:
        """The process is gone: nothing is done any more, and nobody hears of what was."""
        self.alive = False
        if self._task is not None:
            self._task.cancel()

    async def settle(self, turns: int = 6) -> None:
        """Let the lanes and the loop go on until there is nothing to do."""
        quiet = 0
        while quiet < turns and self.alive:
            await asyncio.sleep(0)
            quiet = quiet + 1 if self.idle else 0

    def _ready(self) -> list[SimulatedLane]:
        return [lane for lane in self._lanes if lane.jobs and lane.name not in self.held]

    async def _run(self) -> None:
        while self.alive:
            for _ in range(self._rng.randrange(4)):
                await asyncio.sleep(0)
            self.step()
            await asyncio.sleep(0)
