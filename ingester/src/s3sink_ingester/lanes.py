"""A lane is a thread that does blocking work in order and gives every outcome back to the event loop.

One lane a kind of work (journal, chunk files, sealing): what has to be ordered is ordered because it is in the same
lane, and nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Outcome(Generic[T]):
    """What a job came to: ``error`` is None and ``get()`` gives its value, or ``error`` says why not."""

    __slots__ = ("_value", "error")

    def __init__(self, value: T | None, error: BaseException | None) -> None:
        self._value = value
        self.error = error

    def get(self) -> T:
        """The value; raises the job's error."""
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]  # a job that returned gives a T, and T may be None


class Lane:
    """See the module. Must be created and used on the loop's thread."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], T], done: Callable[[Outcome[T]], None]) -> None:
        """Run ``job`` after those submitted before; then ``done`` on the loop."""

        def run() -> None:
            outcome: Outcome[T]
            try:
                outcome = Outcome(job(), None)
            except BaseException as error:  # noqa: BLE001  # an outcome like any other: the loop decides
                outcome = Outcome(None, error)
            self._post(done, outcome)

        self._jobs.put(run)

    async def call(self, job: Callable[[], T]) -> T:
        """Run ``job`` after those submitted before and wait for it; raises what it raises."""
        future: asyncio.Future[Outcome[T]] = self._loop.create_future()
        self.submit(job, lambda outcome: None if future.done() else future.set_result(outcome))
        return (await future).get()

    async def close(self) -> None:
        """Let what was submitted finish, then end the thread."""
        await self.call(lambda: None)
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _post(self, done: Callable[[Outcome[T]], None], outcome: Outcome[T]) -> None:
        try:
            self._loop.call_soon_threadsafe(done, outcome)
        except RuntimeError:  # the loop is closed: the process is ending and nobody waits any more
            _log.debug("an outcome came after the loop was closed")
