"""Whether records are taken. A tiny idempotent object: closing twice is closing, opening what is open is nothing."""

from __future__ import annotations

from s3sink_ingester.errors import Overloaded

RECOVERING = Overloaded("recovering", "the buffer is being recovered; try again", retry_after=2)
FAILED = Overloaded("failed", "the journal failed and is being recovered; try again", retry_after=2)
FULL = Overloaded("full", "the buffer is full; try again when objects were uploaded", retry_after=5)
DRAINING = Overloaded(
    "draining", "this pod is being drained; another one takes records", retry_after=1, close=True
)
STOPPING = Overloaded(
    "stopping", "this pod is stopping; another one takes records", retry_after=1, close=True
)
BACKLOG = Overloaded("backlog", "the disk is slower than the records come; try again", retry_after=1)

_PRECEDENCE = (STOPPING, DRAINING, FAILED, RECOVERING, FULL, BACKLOG)


class Gate:
    """Open while nothing closes it; ``refusal`` is what a request is told otherwise."""

    __slots__ = ("_reasons", "refusal")

    def __init__(self) -> None:
        self._reasons: set[str] = set()
        self.refusal: Overloaded | None = None

    def close(self, refusal: Overloaded) -> None:
        """Refuse records for this reason too."""
        self.set(refusal, closed=True)

    def open(self, refusal: Overloaded) -> None:
        """This reason is gone."""
        self.set(refusal, closed=False)

    def set(self, refusal: Overloaded, *, closed: bool) -> None:
        """``close`` or ``open``."""
        if closed == (refusal.reason in self._reasons):
            return
        if closed:
            self._reasons.add(refusal.reason)
        else:
            self._reasons.remove(refusal.reason)
        self.refusal = next((one for one in _PRECEDENCE if one.reason in self._reasons), None)

    def is_closed_by(self, refusal: Overloaded) -> bool:
        """Whether this reason holds."""
        return refusal.reason in self._reasons
