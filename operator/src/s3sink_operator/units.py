"""Sizes and durations as they stand in an S3Sink, and back. Pure.

A size is a whole number of bytes in Kubernetes' notation: ``25Mi`` (x 1024 x 1024), ``25M`` (x 1000 x 1000),
``26214400``. A duration is in Go's: ``10s``, ``1h30m``, ``500ms``. Both are the part of their notation that Python,
the CRD's rules and the ingester read alike: no fractions, and few enough digits that no sum of them overflows.
"""

from __future__ import annotations

import re
from typing import Final

SIZE_UNITS: Final = {
    "": 1,
    "k": 10**3,
    "Ki": 2**10,
    "M": 10**6,
    "Mi": 2**20,
    "G": 10**9,
    "Gi": 2**30,
    "T": 10**12,
    "Ti": 2**40,
}
MAX_SIZE_LENGTH: Final = 17
SIZE_PATTERN: Final = r"[0-9]{1,15}(Ki|Mi|Gi|Ti|k|M|G|T)?"

DURATION_UNITS: Final = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}  # in milliseconds
MAX_DURATION_LENGTH: Final = 16
DURATION_PATTERN: Final = r"([0-9]{1,6}(h|ms|m|s))+"

_SIZE: Final = re.compile(r"([0-9]{1,15})(Ki|Mi|Gi|Ti|k|M|G|T|)")
_DURATION: Final = re.compile(rf"(?=.{{1,{MAX_DURATION_LENGTH}}}\Z){DURATION_PATTERN}")
_DURATION_PART: Final = re.compile(r"([0-9]+)(h|ms|m|s)")
_BINARY_UNITS: Final = ("", "Ki", "Mi", "Gi", "Ti")


def parse_size(text: str) -> int:
    """Bytes of a size. Raises ValueError that says what to write instead."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a size; write a whole number with a unit, such as '25Mi'")
    return int(match[1]) * SIZE_UNITS[match[2]]


def format_size(size: int) -> str:
    """The shortest exact notation of ``size`` bytes: ``25Mi``, ``25M``, ``1000Ki``, ``17``."""
    texts = [f"{size // unit}{suffix}" for suffix, unit in SIZE_UNITS.items() if size and size % unit == 0]
    return min(texts, key=lambda text: (len(text.rstrip("i")), "i" not in text), default="0")


def show_size(size: int) -> str:
    """``size`` bytes for people, two or more digits: ``0``, ``17``, ``1.2Gi``, ``12Gi``, ``123Mi``."""
    value = float(size)
    for unit in _BINARY_UNITS:
        # What would be shown as 1024 belongs to the next unit.
        if round(value) < 1024 or unit == _BINARY_UNITS[-1]:
            break
        value /= 1024
    digits = 1 if unit and round(value, 1) < 10 else 0
    return f"{value:.{digits}f}".removesuffix(".0") + unit


def parse_duration(text: str) -> float:
    """Seconds of a duration, exact to the millisecond. Raises ValueError that says what to write instead."""
    if _DURATION.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is not a duration; write one such as '10s', '5m' or '1h30m'")
    parts = _DURATION_PART.findall(text)
    return sum(int(number) * DURATION_UNITS[unit] for number, unit in parts) / 1000
