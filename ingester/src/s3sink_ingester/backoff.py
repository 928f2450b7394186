"""When an upload is tried again, and when uploads go to a store that has failed. Pure: time is an argument."""

from __future__ import annotations

import random
from enum import Enum
from typing import Final


class Retry(Enum):
    """Which waits apply."""

    SOON = "soon"
    """The store is away or busy and comes back by itself."""
    SLOWLY = "slowly"
    """The store said no: trying again only finds out whether a person has acted."""


SOON_BASE: Final = 0.5
SOON_CAP: Final = 60.0
SLOWLY_BASE: Final = 5.0
SLOWLY_CAP: Final = 300.0

_LARGEST_SHIFT: Final = 32  # attempts without end must not make an integer without end


def retry_delay(attempt: int, kind: Retry, rng: random.Random) -> float:
    """Seconds to wait after failure number ``attempt`` (1, 2, ...) in a row.

    SOON: full jitter, uniform in 0..ceiling, where the ceiling doubles from 0.5 s to 60 s: many pods that
    lost the same store spread out evenly. SLOWLY: uniform between half the ceiling and the ceiling, which doubles
    from 5 s to 300 s: who makes the bucket at once and looks on waits for seconds, and what stays refused for days,
    a whole object each time, is seldom sent in vain.
    """
    shift = min(attempt - 1, _LARGEST_SHIFT)
    if kind is Retry.SOON:
        return rng.uniform(0.0, min(SOON_CAP, SOON_BASE * 2**shift))
    ceiling = min(SLOWLY_CAP, SLOWLY_BASE * 2**shift)
    return rng.uniform(ceiling / 2, ceiling)


class Gate:
    """Open while the destination works; after a failure one probe at a time, until a probe succeeds.

    A put that begins takes a ``turn`` and gives it back with its outcome. Outcomes of turns from before the gate
    last changed don't count: four puts that meet the same outage are one failure, and one that began before the
    store broke and ends well says nothing about now. A new gate is shut, and its first probe may go at once.

    A first refusal (``Retry.SLOWLY``) is followed by a probe at once: it may be about that object alone.
    """

    def __init__(self, rng: random.Random) -> None:
        self.open = False
        self.turn = 0
        """Counts how often the gate has changed."""
        self.wants_newest = False
        """Whether the next probe should be the newest object and not the oldest."""
        self._rng = rng
        self._failures = 0
        self._probing = False
        self._probe_at = 0.0

    @property
    def next_probe(self) -> float | None:
        """When a probe may go; None while it is open, or a probe is out."""
        return None if self.open or self._probing else self._probe_at

    def admits(self, now: float) -> bool:
        """Whether a put may begin."""
        return self.open or (not self._probing and now >= self._probe_at)

    def start(self) -> int:
        """A put begins; returns its turn."""
        if not self.open:
            self._probing = True
        return self.turn

    def succeeded(self, turn: int) -> None:
        """A put got through."""
        if turn == self.turn and not self.open:
            self.open = True
            self.wants_newest = False
            self._failures = 0
            self._change()

    def failed(self, turn: int, kind: Retry, now: float) -> None:
        """A put failed."""
        if turn != self.turn:
            return
        self._failures += 1
        at_once = kind is Retry.SLOWLY and self._failures == 1
        self._probe_at = now if at_once else now + retry_delay(self._failures, kind, self._rng)
        self.wants_newest = self.open or not self.wants_newest
        self.open = False
        self._change()

    def undecided(self, turn: int) -> None:
        """A put ended and says nothing about the destination."""
        if turn == self.turn:
            self._probing = False

    def hurry(self, now: float) -> None:
        """The next probe need not wait any longer."""
        self._probe_at = min(self._probe_at, now)

    def _change(self) -> None:
        self.turn += 1
        self._probing = False
