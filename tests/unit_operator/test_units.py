"""Sizes and durations: what is read, what is refused, what is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_operator.units import format_size, parse_duration, parse_size, show_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("17", 17),
        ("25Mi", 25 * 2**20),
        ("25M", 25_000_000),
        ("1000Ki", 1000 * 2**10),
        ("3k", 3000),
        ("1Gi", 2**30),
        ("1G", 10**9),
        ("2Ti", 2**41),
        ("2T", 2 * 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", " 1Mi", "1Mi\n", "1.5Gi", "-1", "1KB", "1mi", "1K", "Mi", "1e3", "1Pi", "1" * 16]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="write a whole number with a unit, such as '25Mi'"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1m1s1ms", 61.001),
        ("0s", 0),
        ("999999h999999h", 1999998 * 3600),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "1.5h", "-1s", "1d", "10 s", "1H", "1000000h", "1s" * 9, "1s\n"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write one such as '10s', '5m' or '1h30m'"):
        parse_duration(text)


@given(st.integers(0, 10**15))
def test_a_size_is_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (17, "17"),
        (1023, "1023"),
        (1024, "1Ki"),
        (1536, "1.5Ki"),
        (10 * 1024 - 1, "10Ki"),
        (25 * 2**20, "25Mi"),
        (1_288_490_189, "1.2Gi"),
        (2**30 - 1, "1Gi"),
        (1023 * 2**20, "1023Mi"),
        (5000 * 2**40, "5000Ti"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert show_size(size) == text


@given(st.integers(0, 2**50))
def test_sizes_for_people_are_short_and_near(size: int) -> None:
    text = show_size(size)
    assert len(text) <= 6
    number = text.rstrip("KMGTi")
    shown = float(number) * parse_size("1" + text[len(number) :])
    assert abs(shown - size) <= size * 0.05 + 0.5
