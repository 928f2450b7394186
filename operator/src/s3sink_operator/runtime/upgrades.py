"""One sink after the other: who may roll its ingesters to the image of a new operator. Pure.

The turn is a hint in memory: a restart of the operator, or a sink that keeps it too long, makes another one start; no
sink ever waits for good, and none loses more than its StatefulSet lets it. How long a sink has kept it is observed, so
that a restart doesn't begin the time of one that hangs again.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

PATIENCE_SECONDS: Final = 900.0
"""A sink that hasn't rolled by then (its new pods don't get ready) keeps the others waiting no longer."""


@dataclass(slots=True)
class Turns(Generic[K]):
    """Whose turn it is."""

    patience: float = PATIENCE_SECONDS
    _holder: K | None = None
    _since: float = 0.0
    _waiting: dict[K, None] = field(default_factory=dict)
    _gave_up: dict[K, None] = field(default_factory=dict)

    def take(self, key: K, now: float) -> bool:
        """Whether the sink may begin, or go on. To be followed by ``settle``. ``now``: seconds of any clock."""
        if key in self._gave_up or key == self._holder:
            return True  # what has begun isn't stopped half-way
        if self._holder is not None and now - self._since < self.patience:
            return False
        if self._holder is not None:
            self._gave_up[self._holder] = None
        self._holder, self._since = key, now
        return True

    def settle(self, key: K, now: float, upgrading: bool, rolling: float | None = None) -> K | None:
        """What came of it. ``upgrading``: its ingesters don't all run the image yet; ``rolling``: for how many seconds
        they have been on the way, None if they aren't. Returns whom to wake."""
        if upgrading and key != self._holder:
            if key not in self._gave_up:
                self._waiting[key] = None
            return None
        if upgrading:
            self._since = min(self._since, now - (rolling or 0.0))
            if now - self._since < self.patience:
                return None
            self._gave_up[key] = None
        else:
            self._waiting.pop(key, None)
            self._gave_up.pop(key, None)
        if key != self._holder:
            return None
        self._holder = None
        return next(iter(self._waiting), None)
