"""A queue of keys to work on: each at most once at a time, wishes for the same key become one, failures are spaced.

Keys that somebody asks for come before those that are only due again, so that a change is acted on at once though
hundreds of routine looks wait; every fourth pick is a routine one, so that these don't wait for ever.

Runs in one event loop and reads no clock but the loop's, so tests run it in virtual time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from s3sink_operator.errors import ClusterError, Conflict, Unavailable

K = TypeVar("K", bound=Hashable)

_ROUTINE_SHARE: Final = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential, with full jitter. Seconds."""

    base: float = 0.5
    most: float = 120.0
    conflict: float = 0.5
    """After a conflict: things have moved, so look again at once, or nearly so."""

    def delay(self, error: BaseException, failures: int, chance: float) -> float:
        """Seconds until the next try. ``failures``: in a row, at least 1; ``chance``: in [0, 1)."""
        if isinstance(error, Conflict) and failures <= 3:
            return self.conflict * (0.2 + 0.8 * chance)
        # Never quite nothing: an error that comes at once must not make a busy loop.
        spread = min(self.most, self.base * 2.0 ** min(failures - 1, 30))
        delay = max(self.base / 5, spread * chance)
        asked = error.retry_after if isinstance(error, Unavailable) else None
        return max(delay, asked + spread * chance if asked else 0.0)


class WorkQueue(Generic[K]):
    """``work`` gets a key and returns after how many seconds it wants it again, None for not by itself."""

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        *,
        workers: int,
        backoff: Backoff | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._work = work
        self._workers = workers
        self._backoff = backoff or Backoff()
        self._chance = chance
        self._ready = asyncio.Semaphore(0)
        """How many keys wait in the next two."""
        self._asked: deque[K] = deque()
        self._due: deque[K] = deque()
        self._picks = 0
        self._waiting: dict[K, float] = {}
        """Keys that wait for a worker, and since when."""
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._running: dict[K, float] = {}
        """Keys that are worked on, and since when."""
        self._again: dict[K, float] = {}
        """Keys that were asked for while they are worked on, and from when on they are wanted."""
        self._failures: dict[K, int] = {}
        self._stopping = False
        self._progress = 0.0
        """When a key was done with last, or one came while there was none."""
        self._idle = asyncio.Event()
        self._idle.set()

    def wake(self, key: K, delay: float = 0.0) -> None:
        """Work on the key, ``delay`` seconds from now at the latest."""
        if self._stopping:
            return
        if key in self._waiting:
            self._hurry(key, delay)
            return
        when = asyncio.get_running_loop().time() + delay
        if key in self._running:
            self._again[key] = min(when, self._again.get(key, when))
        else:
            self._schedule(key, when, self._asked)

    def forget(self, key: K) -> None:
        """It is gone: no more work on it, unless it is asked for again."""
        self._failures.pop(key, None)
        self._again.pop(key, None)
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()

    async def run(self) -> None:
        """Work until cancelled, or told to stop."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._serve(), name=f"reconcile-{number}")

    async def stop(self, grace: float) -> bool:
        """Begin nothing more, and wait for what runs, at most ``grace`` seconds. Whether all of it came to its end."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Keys that are worked on."""
        return len(self._running)

    def oldest(self, now: float) -> float:
        """Seconds since the key that has waited, or been worked on, longest began to; 0 when there is none."""
        since = min((*self._waiting.values(), *self._running.values()), default=now)
        return now - since

    def silent(self, now: float) -> float:
        """Seconds for which nothing was done with, though there is work; 0 when there is none."""
        return now - self._progress if self._waiting or self._running else 0.0

    def _schedule(self, key: K, when: float, lane: deque[K]) -> None:
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= when:
            return
        if timer is not None:
            timer.cancel()
            del self._timers[key]
        if when <= loop.time():
            self._put(key, lane)
        else:
            self._timers[key] = loop.call_at(when, self._put, key, lane)

    def _put(self, key: K, lane: deque[K]) -> None:
        self._timers.pop(key, None)
        now = asyncio.get_running_loop().time()
        if not self._waiting and not self._running:
            self._progress = now
        self._waiting[key] = now
        lane.append(key)
        self._ready.release()

    def _hurry(self, key: K, delay: float) -> None:
        """Somebody asks for a key that waits to be looked at as a routine."""
        if delay <= 0 and key in self._due:
            self._due.remove(key)
            self._asked.append(key)

    def _pick(self) -> K:
        self._picks += 1
        first, second = self._asked, self._due
        if self._picks % _ROUTINE_SHARE == 0:
            first, second = second, first
        return (first or second).popleft()

    async def _serve(self) -> None:
        while True:
            await self._ready.acquire()
            key = self._pick()
            del self._waiting[key]
            if self._stopping:
                continue
            loop = asyncio.get_running_loop()
            self._running[key] = loop.time()
            self._idle.clear()
            try:
                delay = await self._try(key)
            finally:
                del self._running[key]
                self._progress = loop.time()
                if not self._running:
                    self._idle.set()
            self._settle(key, delay)

    def _settle(self, key: K, delay: float | None) -> None:
        again = self._again.pop(key, None)
        if self._stopping:
            return
        if delay is not None:
            self._schedule(key, asyncio.get_running_loop().time() + delay, self._due)
        if again is not None:
            self._schedule(key, again, self._asked)

    async def _try(self, key: K) -> float | None:
        try:
            delay = await self._work(key)
        except Exception as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            wait = self._backoff.delay(error, failures, self._chance())
            if isinstance(error, ClusterError):
                log.warning("next try in %.1f s: %s", wait, error, extra={"key": key})
            else:
                log.exception("next try in %.1f s", wait, extra={"key": key})
            return wait
        self._failures.pop(key, None)
        return delay
