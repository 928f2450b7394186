"""How long to wait before an upload is tried again. Pure."""

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
SLOWLY_BASE: Final = 30.0
SLOWLY_CAP: Final = 300.0

_LARGEST_SHIFT: Final = 32  # attempts without end must not make an integer without end


def retry_delay(attempt: int, kind: Retry, rng: random.Random) -> float:
    """Seconds to wait after failure number ``attempt`` (1, 2, ...) in a row.

    SOON: full jitter, uniform in 0..ceiling, where the ceiling doubles from 0.5 s to 60 s: many pods that
    lost the same store spread out evenly. SLOWLY: uniform between half the ceiling and the ceiling, which
    doubles from 60 s to 300 s: never below 30 s, since an early retry can't help.
    """
    shift = min(attempt - 1, _LARGEST_SHIFT)
    if kind is Retry.SOON:
        return rng.uniform(0.0, min(SOON_CAP, SOON_BASE * 2**shift))
    ceiling = min(SLOWLY_CAP, SLOWLY_BASE * 2 ** (shift + 1))
    return rng.uniform(max(SLOWLY_BASE, ceiling / 2), ceiling)
