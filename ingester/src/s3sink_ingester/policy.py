"""Decisions, each with its reason. Pure: numbers in, a decision out; the reason becomes a metric label."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SealReason(StrEnum):
    """Why a chunk was closed."""

    BYTES = "bytes"
    AGE = "age"
    WINDOW = "window"
    DRAIN = "drain"
    PRESSURE = "pressure"


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a chunk ends."""

    window: int
    """Seconds of the wall-clock slice that groups records."""
    max_bytes: int
    """Uncompressed bytes."""
    max_age: float
    """Seconds from the first record."""


JITTER_FRACTION = 0.05
JITTER_MAX_SECONDS = 30.0


def window_start(now: float, window: int) -> int:
    """Start of the slice that ``now`` (epoch seconds) falls into, in epoch seconds; slices begin at the epoch."""
    return int(now // window) * window


def time_to_seal(
    limits: BatchLimits, start: int, now: float, random_fraction: float
) -> tuple[float, SealReason]:
    """Seconds from ``now`` (epoch seconds, when the chunk gets its first record) until it is sealed, and why.

    Jitter spreads the seals of many partitions. It is added to the window's end, which keeps one object a window;
    it is taken from the age, so that age stays a bound.
    """
    jitter = random_fraction * min(JITTER_MAX_SECONDS, JITTER_FRACTION * limits.window)
    until_window = start + limits.window - now + jitter
    if limits.max_age >= limits.window:
        # Freshness within a window is what the window gives; a chunk mustn't be cut just short of its end.
        return until_window, SealReason.WINDOW
    age_jitter = random_fraction * min(JITTER_MAX_SECONDS, JITTER_FRACTION * limits.max_age)
    until_age = limits.max_age - age_jitter
    if until_age < until_window:
        return until_age, SealReason.AGE
    return until_window, SealReason.WINDOW


@dataclass(frozen=True, slots=True)
class Watermark:
    """When the buffer is full. Bytes."""

    capacity: int
    high: int
    """At or above it no record is admitted."""
    low: int
    """Below it records are admitted again: between the two the answer stays what it was."""
    min_free: int
    """Less room than this on the file system counts as full, whatever we use ourselves."""


HYSTERESIS_PERCENT = 5


def watermark(size: int, file_system_total: int, high_percent: int, min_free: int) -> Watermark:
    """The watermark of a buffer of ``size`` bytes on a file system of ``file_system_total`` bytes."""
    capacity = min(size, file_system_total)
    return Watermark(
        capacity=capacity,
        high=capacity * high_percent // 100,
        low=capacity * max(1, high_percent - HYSTERESIS_PERCENT) // 100,
        min_free=min(min_free, capacity // 4),
    )


def is_full(mark: Watermark, used: int, free: int, was_full: bool) -> bool:
    """Whether records must be refused now."""
    if was_full:
        return used >= mark.low or free < mark.min_free + mark.capacity * HYSTERESIS_PERCENT // 100
    return used >= mark.high or free < mark.min_free


def under_pressure(mark: Watermark, used: int, free: int) -> bool:
    """Whether open chunks should be sealed early: sealed they are several times smaller and can be uploaded."""
    return used >= mark.low or free < 2 * mark.min_free


PATIENCE_SECONDS = 15.0
"""How long a process that is to end goes on trying a destination that takes nothing. Long enough for a store that asks
to slow down or fails over; a rollout that mends wrong credentials waits for it once a pod."""


def gives_up(seconds: float, failures: int, *, reachable: bool | None) -> bool:
    """Whether a process that is to end leaves what isn't uploaded on the volume, though it has time left.

    ``seconds``: since it was asked to end, or since the latest upload after that; ``failures``: uploads that failed in
    them; ``reachable``: whether the latest attempt got through, None before there was one.
    """
    return reachable is False and failures > 0 and seconds >= PATIENCE_SECONDS
