"""A store in memory that fails as it is told, for tests of whatever uses a store."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from s3sink_ingester.errors import DestinationError, StoreRefused, StoreUnavailable
from s3sink_ingester.objects import PutOutcome
from s3sink_ingester.objects.content import blocks, checked_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3sink_ingester.disk import Disk
    from s3sink_ingester.objects import SealedObject

_LONGEST_HANG: Final = 60.0  # seconds; a test that forgets to let go fails instead of hanging


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one put: it waits for ``until``, then ``error`` is raised, before or after storing."""

    error: Exception | None = None
    after_storing: bool = False
    until: threading.Event | None = None


def refused_connection() -> Fault:
    """Nobody listens."""
    return Fault(StoreUnavailable("unreachable", "connection refused"))


def slow_down() -> Fault:
    """503 SlowDown."""
    return Fault(StoreUnavailable("slow_down", "SlowDown: please reduce your request rate"))


def forbidden() -> Fault:
    """403 AccessDenied."""
    return Fault(StoreRefused("access_denied", "AccessDenied: Access Denied"))


def reset_after_storing() -> Fault:
    """The object is stored, the answer is lost."""
    return Fault(StoreUnavailable("reset", "connection reset by peer"), after_storing=True)


def hang(until: threading.Event) -> Fault:
    """No answer until the event is set; then the put goes on."""
    return Fault(until=until)


class FakeStore:
    """See ``objects`` for the contract. ``objects`` holds what was stored: key to bytes.

    Faults come from ``script`` (one a put, first come first served), then from ``decide``, asked for each put.
    ``attempts`` lists the keys of all puts, in the order in which they began; ``check_error`` fails ``check``.
    """

    def __init__(self, disk: Disk) -> None:
        self.objects: dict[str, bytes] = {}
        self.attempts: list[str] = []
        self.checks = 0
        self.script: deque[Fault] = deque()
        self.decide: Callable[[SealedObject], Fault | None] = lambda _: None
        self.check_error: DestinationError | None = None
        self.most_at_once = 0
        self._running = 0
        self._lock = threading.Lock()
        self._disk = disk

    def put(self, obj: SealedObject) -> PutOutcome:
        """Store the object. Raises StoreUnavailable, StoreRefused, ObjectCorrupt, or what a fault says."""
        with self._lock:
            self.attempts.append(obj.key)
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
            fault = self.script.popleft() if self.script else self.decide(obj) or Fault()
        try:
            return self._put(obj, fault)
        finally:
            with self._lock:
                self._running -= 1

    def check(self) -> None:
        """Raises ``check_error``."""
        self.checks += 1
        if self.check_error is not None:
            raise self.check_error

    def close(self) -> None:
        """Nothing is held."""

    def _put(self, obj: SealedObject, fault: Fault) -> PutOutcome:
        if fault.until is not None and not fault.until.wait(_LONGEST_HANG):
            raise StoreUnavailable("timeout", "nobody let go of the fault")
        if fault.error is not None and not fault.after_storing:
            raise fault.error
        checked_parts(self._disk, obj, max(obj.size, 1))
        content = b"".join(blocks(self._disk, obj.path, 0, obj.size))
        with self._lock:
            there = self.objects.setdefault(obj.key, content) is not content
        if fault.error is not None:
            raise fault.error
        return PutOutcome.ALREADY_THERE if there else PutOutcome.CREATED
