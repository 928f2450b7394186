"""Decisions in tables: when a chunk ends, when the buffer is full, when an end waits no longer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.policy import (
    JITTER_FRACTION,
    JITTER_MAX_SECONDS,
    PATIENCE_SECONDS,
    BatchLimits,
    SealReason,
    Watermark,
    gives_up,
    is_full,
    time_to_seal,
    under_pressure,
    watermark,
    window_start,
)

HOUR = 3600
HOURLY = BatchLimits(window=HOUR, max_bytes=1, max_age=HOUR)
FRESH = BatchLimits(window=HOUR, max_bytes=1, max_age=100.0)


@pytest.mark.parametrize(
    ("now", "window", "start"),
    [
        (0.0, 60, 0),
        (59.999, 60, 0),
        (60.0, 60, 60),
        (1_800_000_001.5, HOUR, 1_800_000_000),
        (1_800_003_599.999, HOUR, 1_800_000_000),
        (1_800_003_600.0, HOUR, 1_800_003_600),
        (-1.0, 60, -60),
        (5.0, 1, 5),
    ],
)
def test_windows_begin_at_the_epoch(now: float, window: int, start: int) -> None:
    assert window_start(now, window) == start


@pytest.mark.parametrize(
    ("limits", "start", "now", "chance", "seconds", "reason"),
    [
        # The window's end, and jitter behind it: 5 % of the window, 30 s at most.
        (HOURLY, 0, 0.0, 0.0, 3600.0, SealReason.WINDOW),
        (HOURLY, 0, 3599.0, 0.0, 1.0, SealReason.WINDOW),
        (HOURLY, 0, 0.0, 1.0, 3630.0, SealReason.WINDOW),
        (HOURLY, 0, 3000.0, 0.5, 615.0, SealReason.WINDOW),
        (BatchLimits(60, 1, 60.0), 0, 10.0, 1.0, 53.0, SealReason.WINDOW),
        # Age below the window: jitter is taken from it, so that it stays a bound.
        (FRESH, 0, 0.0, 0.0, 100.0, SealReason.AGE),
        (FRESH, 0, 0.0, 1.0, 95.0, SealReason.AGE),
        (BatchLimits(86400, 1, 7200.0), 0, 0.0, 1.0, 7170.0, SealReason.AGE),
        # Near the window's end the window comes first.
        (FRESH, 0, 3550.0, 0.0, 50.0, SealReason.WINDOW),
        # A chunk from before: its window is over.
        (HOURLY, 0, 7200.0, 0.0, -3600.0, SealReason.WINDOW),
        # Age above the window says nothing.
        (BatchLimits(60, 1, 600.0), 0, 0.0, 0.0, 60.0, SealReason.WINDOW),
    ],
)
def test_time_to_seal(
    limits: BatchLimits, start: int, now: float, chance: float, seconds: float, reason: SealReason
) -> None:
    until, why = time_to_seal(limits, start, now, chance)
    assert until == pytest.approx(seconds)
    assert why is reason


@given(
    window=st.integers(1, 10**6),
    age=st.floats(0.1, 10**6),
    at=st.floats(0, 1, exclude_max=True),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_bounds_of_the_jitter(window: int, age: float, at: float, chance: float) -> None:
    """Never before the window's end unless age says so, never later than the jitter behind it, never older than age."""
    limits = BatchLimits(window=window, max_bytes=1, max_age=age)
    now = at * window
    seconds, reason = time_to_seal(limits, 0, now, chance)
    jitter = min(JITTER_MAX_SECONDS, JITTER_FRACTION * window)
    assert seconds <= window - now + jitter + 1e-6
    if reason is SealReason.WINDOW:
        assert seconds >= window - now - 1e-6
    else:
        assert age < window
        assert age * (1 - JITTER_FRACTION) - 1e-6 <= seconds <= age


@pytest.mark.parametrize(
    ("size", "total", "percent", "min_free", "mark"),
    [
        (1000, 5000, 85, 100, Watermark(1000, 850, 800, 100)),
        (5000, 1000, 85, 100, Watermark(1000, 850, 800, 100)),
        (1000, 5000, 85, 900, Watermark(1000, 850, 800, 250)),
        (1000, 5000, 3, 0, Watermark(1000, 30, 10, 0)),
        (1000, 5000, 100, 0, Watermark(1000, 1000, 950, 0)),
    ],
)
def test_watermarks(size: int, total: int, percent: int, min_free: int, mark: Watermark) -> None:
    assert watermark(size, total, percent, min_free) == mark


MARK = Watermark(capacity=1000, high=850, low=800, min_free=100)


@pytest.mark.parametrize(
    ("used", "free", "was_full", "full"),
    [
        (849, 1000, False, False),
        (850, 1000, False, True),
        (849, 1000, True, True),
        (800, 1000, True, True),
        (799, 1000, True, False),
        (0, 99, False, True),
        (0, 100, False, False),
        (0, 149, True, True),
        (0, 150, True, False),
    ],
)
def test_full_with_hysteresis(used: int, free: int, was_full: bool, full: bool) -> None:
    assert is_full(MARK, used, free, was_full) == full


@given(used=st.integers(0, 2000), free=st.integers(0, 2000))
def test_what_is_full_stays_full_until_there_is_more_room_than_it_took(used: int, free: int) -> None:
    if is_full(MARK, used, free, was_full=False):
        assert is_full(MARK, used, free, was_full=True)


@pytest.mark.parametrize(
    ("used", "free", "pressed"), [(799, 200, False), (800, 1000, True), (0, 199, True), (0, 200, False)]
)
def test_pressure(used: int, free: int, pressed: bool) -> None:
    assert under_pressure(MARK, used, free) == pressed


@pytest.mark.parametrize(
    ("seconds", "failures", "reachable", "given_up"),
    [
        (PATIENCE_SECONDS, 1, False, True),
        (10 * PATIENCE_SECONDS, 100, False, True),
        (PATIENCE_SECONDS - 0.1, 100, False, False),
        # The latest attempt got through, or none has ended: what is out may take long.
        (10 * PATIENCE_SECONDS, 100, True, False),
        (10 * PATIENCE_SECONDS, 0, None, False),
        # It failed before the end was asked for, and nothing has been tried since.
        (10 * PATIENCE_SECONDS, 0, False, False),
    ],
)
def test_a_hopeless_end(seconds: float, failures: int, reachable: bool | None, given_up: bool) -> None:
    assert gives_up(seconds, failures, reachable=reachable) == given_up
