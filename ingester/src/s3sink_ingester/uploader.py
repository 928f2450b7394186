"""Sends sealed objects to the store: oldest first, a few at a time, for ever until they are there.

State changes happen on the event loop, in ``_pump`` and in the callbacks that lead to it; only ``put`` runs in
threads, a new one each (an upload costs milliseconds, a thread microseconds), which don't keep the process from
ending. Nothing is persistent here: whoever owns the journal adds what is not uploaded again after a restart.

Two kinds of waiting keep a store that is away from being hammered, however long the backlog:

* **The gate**, one for the destination. After a failure it shuts, and one probe at a time goes out until one
  succeeds. Probes take the newest and the oldest waiting object in turn, so that a few objects that are refused
  for their own sake can't keep the others waiting; with none waiting the probe is ``store.check()``.
* **The object's own delay**, so that one that fails again and again leaves the way to others.

What is wrong with an object's file says nothing about the destination: it is told once as corrupt and forgotten here,
one that the disk doesn't give back after a few attempts.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import threading
import time
from bisect import insort
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from s3sink_ingester.backoff import Gate, Retry, retry_delay
from s3sink_ingester.errors import (
    DestinationError,
    ObjectCorrupt,
    ObjectUnreadable,
    StoreFailed,
    StoreUnavailable,
)
from s3sink_ingester.objects import ObjectStore, PutOutcome, SealedObject
from s3sink_ingester.policy import gives_up

if TYPE_CHECKING:
    from collections.abc import Iterable

_log = logging.getLogger(__name__)

READS: Final = 5
"""Attempts to read an object's file, before it counts as corrupt: a bad sector doesn't get better, a lost cable may."""

READ_SECONDS: Final = 2.0
"""Between them."""


class UploadObserver(Protocol):
    """Told about every outcome, on the event loop. ``obj`` None: it was the probe that ``check`` makes."""

    def uploaded(self, obj: SealedObject, outcome: PutOutcome, seconds: float) -> None:
        """The object is in the store; the put took ``seconds``."""

    def failed(self, obj: SealedObject | None, reason: str, detail: str) -> None:
        """``reason`` is a metric label: the store's, ``volume``, ``corrupt`` or ``internal``."""


class Timer(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> None:
        """Never call it."""


class Timers(Protocol):
    """Time as the uploader sees it; an event loop is one."""

    def time(self) -> float:
        """Seconds that never go back."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        """Call back on the event loop in ``delay`` seconds."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What a thread does: put ``obj``, or ``check`` where it is None. ``turn``: see ``Gate.turn``."""

    obj: SealedObject | None
    turn: int


@dataclass(frozen=True, slots=True)
class _Result:
    outcome: PutOutcome | None
    error: Exception | None
    seconds: float


class Uploader:
    """See the module. All methods and callbacks belong to the event loop's thread.

    ``on_uploaded`` and ``on_corrupt`` are called once for an object, which is then forgotten here. Facts for
    ``/status``: ``backlog`` (objects not yet uploaded), ``running``, ``last_success`` (epoch seconds),
    ``failures`` (attempts, since the start), ``last_error`` and ``last_error_reason`` (of the latest failure, kept
    after a success), ``destination_ok`` (whether the latest attempt got through; None before there was one).
    """

    def __init__(
        self,
        store: ObjectStore,
        on_uploaded: Callable[[SealedObject, PutOutcome], None],
        on_corrupt: Callable[[SealedObject, ObjectCorrupt], None],
        *,
        concurrency: int = 4,
        clock: Callable[[], float] = time.time,
        timers: Timers | None = None,
        rng: random.Random | None = None,
        observer: UploadObserver | None = None,
    ) -> None:
        """``concurrency``: puts at a time. ``timers``: the running event loop by default."""
        self.last_success: float | None = None
        self.last_error: str | None = None
        self.last_error_reason: str | None = None
        self.failures = 0
        self.destination_ok: bool | None = None
        self._store = store
        self._on_uploaded = on_uploaded
        self._on_corrupt = on_corrupt
        self._concurrency = concurrency
        self._clock = clock
        self._timers = timers
        self._rng = rng or random.Random()
        self._observer = observer
        self._gate = Gate(self._rng)
        self._waiting: list[SealedObject] = []  # newest first: the next one is at the end
        self._delayed: list[tuple[float, int, SealedObject]] = []  # heap of (due, chunk id, object)
        self._failed_before: dict[int, int] = {}  # chunk id → failures in a row, for the few that have any
        self._unread: Counter[int] = Counter()  # chunk id → attempts to read its object that failed
        self._running: set[_Job] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: Timer | None = None
        self._closing = False
        self._closed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def backlog(self) -> int:
        """Objects that are not uploaded yet, those on their way included."""
        return len(self._waiting) + len(self._delayed) + sum(job.obj is not None for job in self._running)

    @property
    def running(self) -> int:
        """Requests that are out."""
        return len(self._running)

    def add(self, obj: SealedObject) -> None:
        """Upload it; before ``run`` it only waits."""
        self._enqueue(obj)
        self._pump()

    def add_all(self, objects: Iterable[SealedObject]) -> None:
        """Upload many: what recovery found."""
        self._waiting.extend(objects)
        self._waiting.sort(key=_newest_first)
        self._pump()

    def go_on_from(self, before: Uploader) -> None:
        """Tell what an earlier uploader of the process would; it was closed because the volume was recovered."""
        self.last_success = before.last_success
        self.last_error = before.last_error
        self.last_error_reason = before.last_error_reason
        self.failures = before.failures
        self.destination_ok = before.destination_ok

    def kick(self) -> None:
        """Try now what waits for its retry (a drain was asked for)."""
        if self._loop is None:
            return
        self._release_delayed(until=None)
        self._gate.hurry(self._time())
        self._pump()

    async def run(self) -> None:
        """Upload until ``close``. Begins with a probe, so that a wrong destination shows before data does."""
        self._loop = asyncio.get_running_loop()
        self._pump()
        await self._closed.wait()

    async def close(self, grace: float) -> bool:
        """Start nothing more and wait ``grace`` seconds for what is out; whether all of it came back.

        What comes back later is not reported: after a restart the store says that it is there already.
        """
        self._closing = True
        self._cancel_timer()
        try:
            await asyncio.wait_for(self._idle.wait(), grace)
        except TimeoutError:
            _log.warning("%d uploads did not end within %g s; they will be sent again", self.running, grace)
        self._closed.set()
        return not self._running

    def _pump(self) -> None:
        """Start what may start now, and come back when more may."""
        if self._loop is None or self._closing:
            return
        now = self._time()
        self._release_delayed(until=now)
        while len(self._running) < self._concurrency and self._gate.admits(now):
            if not self._start_next(now):
                break
        self._set_timer(now)

    def _start_next(self, now: float) -> bool:
        if self._gate.open and not self._waiting:
            return False
        obj: SealedObject | None = None
        if self._waiting:
            obj = self._waiting.pop(0 if self._gate.wants_newest else -1)
        self._start(_Job(obj, self._gate.start()))
        return True

    def _start(self, job: _Job) -> None:
        self._running.add(job)
        self._idle.clear()
        name = "check" if job.obj is None else f"put-{job.obj.chunk_id:x}"
        try:
            threading.Thread(target=self._work, args=(job,), name=name, daemon=True).start()
        except RuntimeError as error:  # the system has no thread left now
            asyncio.get_running_loop().call_soon(self._finished, job, _Result(None, error, 0.0))

    def _work(self, job: _Job) -> None:
        """In a thread: one request, whatever comes of it."""
        began = time.perf_counter()
        outcome: PutOutcome | None = None
        error: Exception | None = None
        try:
            if job.obj is None:
                self._store.check()
            else:
                outcome = self._store.put(job.obj)
        except Exception as raised:  # noqa: BLE001  # a bug must not lose an object: it is retried and reported
            error = raised
        result = _Result(outcome, error, time.perf_counter() - began)
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(self._finished, job, result)
            except RuntimeError:  # the loop was closed since the line above: the process is ending
                _log.debug("an upload ended after the event loop did")

    def _finished(self, job: _Job, result: _Result) -> None:
        self._running.discard(job)
        if not self._running:
            self._idle.set()
        if self._closed.is_set():
            return
        try:
            if isinstance(result.error, ObjectCorrupt) and job.obj is not None:
                self._corrupt(job, job.obj, result.error)
            elif isinstance(result.error, ObjectUnreadable) and job.obj is not None:
                self._unreadable(job, job.obj, result.error)
            elif result.error is not None:
                self._failed(job, result.error)
            else:
                self._succeeded(job, result)
        finally:  # a callback that raises must not stop the uploads
            self._pump()

    def _succeeded(self, job: _Job, result: _Result) -> None:
        if self.destination_ok is False:
            _log.info("the destination takes objects again")
        self.destination_ok = True
        self._gate.succeeded(job.turn)
        if job.obj is None or result.outcome is None:
            return
        self.last_success = self._clock()
        self._failed_before.pop(job.obj.chunk_id, None)
        self._unread.pop(job.obj.chunk_id, None)
        if self._observer is not None:
            self._observer.uploaded(job.obj, result.outcome, result.seconds)
        self._on_uploaded(job.obj, result.outcome)

    def _failed(self, job: _Job, error: Exception) -> None:
        kind = Retry.SOON if isinstance(error, StoreUnavailable) else Retry.SLOWLY
        now = self._time()
        self.destination_ok = False
        self._gate.failed(job.turn, kind, now)
        if job.obj is not None:
            attempts = self._failed_before.get(job.obj.chunk_id, 0) + 1
            self._failed_before[job.obj.chunk_id] = attempts
            due = now + retry_delay(attempts, kind, self._rng)
            heapq.heappush(self._delayed, (due, job.obj.chunk_id, job.obj))
        self._report(job.obj, error)

    def _unreadable(self, job: _Job, obj: SealedObject, error: ObjectUnreadable) -> None:
        self._unread[obj.chunk_id] += 1
        if self._unread[obj.chunk_id] >= READS:
            self._corrupt(job, obj, ObjectCorrupt(str(error)))
            return
        self._gate.undecided(job.turn)
        heapq.heappush(self._delayed, (self._time() + READ_SECONDS, obj.chunk_id, obj))
        self._report(obj, error)

    def _corrupt(self, job: _Job, obj: SealedObject, error: ObjectCorrupt) -> None:
        self._gate.undecided(job.turn)  # the file is bad, which says nothing about the store
        self._failed_before.pop(obj.chunk_id, None)
        self._unread.pop(obj.chunk_id, None)
        self._report(obj, error)
        self._on_corrupt(obj, error)

    def _report(self, obj: SealedObject | None, error: Exception) -> None:
        reason, fields = "internal", {}
        if isinstance(error, StoreFailed):
            reason = error.reason
            fields = {"request_id": error.request_id} if error.request_id else {}
        elif isinstance(error, ObjectCorrupt):
            reason = "corrupt"
        elif isinstance(error, ObjectUnreadable):
            reason = "volume"
        what = "the destination's check" if obj is None else f"upload of {obj.key}"
        unexpected = None if isinstance(error, DestinationError) else error
        _log.warning("%s failed (%s): %s", what, reason, error, exc_info=unexpected, extra=fields)
        self.failures += 1
        self.last_error = str(error) or repr(error)
        self.last_error_reason = reason
        if self._observer is not None:
            self._observer.failed(obj, reason, self.last_error)

    def _enqueue(self, obj: SealedObject) -> None:
        insort(self._waiting, obj, key=_newest_first)

    def _release_delayed(self, until: float | None) -> None:
        while self._delayed and (until is None or self._delayed[0][0] <= until):
            self._enqueue(heapq.heappop(self._delayed)[2])

    def _set_timer(self, now: float) -> None:
        self._cancel_timer()
        if len(self._running) >= self._concurrency:
            return  # the first that ends pumps
        wakes = [self._delayed[0][0]] if self._delayed else []
        if (probe := self._gate.next_probe) is not None:
            wakes.append(probe)
        if wakes and self._loop is not None:
            timers = self._timers or self._loop
            self._timer = timers.call_later(max(0.0, min(wakes) - now), self._pump)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time(self) -> float:
        timers = self._timers or self._loop
        return timers.time() if timers is not None else 0.0


class Hope:
    """Of a process that is to end: that uploads get through yet. It begins anew with each that does.

    ``now``: seconds that never go back.
    """

    def __init__(self, uploader: Uploader, now: float) -> None:
        self._uploader = uploader
        self._begin(now)

    def is_lost(self, now: float) -> bool:
        """To be asked again and again; see ``policy.gives_up``."""
        uploader = self._uploader
        if uploader.last_success != self._last_success:
            self._begin(now)
        failures = uploader.failures - self._failures
        return gives_up(now - self._since, failures, reachable=uploader.destination_ok)

    def _begin(self, now: float) -> None:
        self._since = now
        self._last_success = self._uploader.last_success
        self._failures = self._uploader.failures


def _newest_first(obj: SealedObject) -> tuple[float, int]:
    return -obj.oldest_at, -obj.chunk_id
