"""Quantities and durations: what is read, what is said about what isn't, and that writing undoes reading."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from s3sink_ingester.config.units import format_duration, format_quantity, parse_duration, parse_quantity

SIZE = "write a size such as '25Mi'"
TIME = "'10s', '5m' or '1h30m'"

QUANTITIES = [
    ("25Mi", 25 * 2**20),
    ("25M", 25_000_000),
    ("1000Ki", 1_024_000),
    ("1k", 1000),
    ("1.5Gi", 3 * 2**29),
    ("10Gi", 10 * 2**30),
    ("2T", 2 * 10**12),
    ("1Ti", 2**40),
    ("0", 0),
    ("007", 7),
    (26214400, 26214400),
    (0, 0),
]

NOT_QUANTITIES = [
    ("25MB", "'25MB' is not a quantity; write '25Mi' (mebibytes) or '25M'"),
    ("25mb", "'25mb' is not a quantity; write '25Mi' (mebibytes) or '25M'"),
    ("25 M", "'25 M' is not a quantity; write '25Mi' (mebibytes) or '25M'"),
    ("25m", "'25m' is not a quantity; write '25Mi' (mebibytes) or '25M'"),
    ("64K", "'64K' is not a quantity; write '64Ki' (kibibytes) or '64k'"),
    ("64kb", "'64kb' is not a quantity; write '64Ki' (kibibytes) or '64k'"),
    ("1.5 GiB", "'1.5 GiB' is not a quantity; write '1.5Gi' (gibibytes)"),
    ("2 tebibytes", "'2 tebibytes' is not a quantity; write a number of bytes or a size such as '25Mi'"),
    ("lots", "'lots' is not a quantity; write a number of bytes or a size such as '25Mi'"),
    ("1e9", "'1e9' is not a quantity; write a number of bytes or a size such as '25Mi'"),
    ("٣", "'٣' is not a quantity; write a number of bytes or a size such as '25Mi'"),
    ("9" * 200, f"'{'9' * 79}…' is not a quantity; write a number of bytes or a size such as '25Mi'"),
    ("25Mi\x1b[0m\n", r"'25Mi\x1b[0m\n' is not a quantity; write a number of bytes or a size such as '25Mi'"),
    ("0.3Ki", f"'0.3Ki' is not a whole number of bytes; {SIZE}"),
    (1.5, f"1.5 is not a whole number of bytes; {SIZE}"),
    (-5, f"'-5' is negative; {SIZE}"),
    ("-5Mi", f"'-5Mi' is negative; {SIZE}"),
    ("", f"is empty; {SIZE}"),
    (" ", f"is empty; {SIZE}"),
    (True, "expected a size such as '25Mi', not the word true"),
    ([], "expected a size such as '25Mi', not a list"),
    ({}, "expected a size such as '25Mi', not a mapping"),
    (None, "expected a size such as '25Mi', not nothing"),
]

DURATIONS = [
    ("10s", 10.0),
    ("5m", 300.0),
    ("1h", 3600.0),
    ("1h30m", 5400.0),
    ("1.5h", 5400.0),
    ("500ms", 0.5),
    ("1m1h", 3660.0),
    ("0s", 0.0),
    ("1s1ms", 1.001),
]

NOT_DURATIONS = [
    (3600, "3600 has no unit; write '3600s' for seconds"),
    (1.5, "1.5 has no unit; write '1.5s' for seconds"),
    ("3600", "3600 has no unit; write '3600s' for seconds"),
    ("0", "0 has no unit; write '0s' for seconds"),
    (-3, f"'-3' is negative; write a duration such as {TIME}"),
    ("-1s", f"'-1s' is negative; write a duration such as {TIME}"),
    ("1d", "'1d' is not a duration; write '24h'"),
    ("1.5 days", "'1.5 days' is not a duration; write '36h'"),
    ("10 s", "'10 s' is not a duration; write '10s'"),
    ("10S", "'10S' is not a duration; write '10s'"),
    ("1h 30m", "'1h 30m' is not a duration; write '1h30m'"),
    ("5min", "'5min' is not a duration; write '5m'"),
    ("30 seconds", "'30 seconds' is not a duration; write '30s'"),
    ("1 Hour", "'1 Hour' is not a duration; write '1h'"),
    ("PT1H", f"'PT1H' is not a duration; write one such as {TIME}"),
    ("10us", f"'10us' is not a duration; write one such as {TIME}"),
    ("soon", f"'soon' is not a duration; write one such as {TIME}"),
    ("0.5ms", "'0.5ms' is not a whole number of milliseconds; write a duration such as '10s'"),
    ("", f"is empty; write a duration such as {TIME}"),
    (False, f"expected a duration such as {TIME}, not the word false"),
    (["1h"], f"expected a duration such as {TIME}, not a list"),
]


@pytest.mark.parametrize(("text", "size"), QUANTITIES)
def test_a_quantity_is_read(text: object, size: int) -> None:
    assert parse_quantity(text) == size


@pytest.mark.parametrize(("value", "message"), NOT_QUANTITIES)
def test_what_is_not_a_quantity_is_told_with_what_to_write(value: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared
        parse_quantity(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("value", "message"), NOT_DURATIONS)
def test_what_is_not_a_duration_is_told_with_what_to_write(value: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared
        parse_duration(value)
    assert str(caught.value) == message


@given(st.integers(0, 10**15) | st.builds(lambda n, e: n * 1024**e, st.integers(0, 2000), st.integers(0, 4)))
@example(0)
def test_a_written_quantity_reads_back(size: int) -> None:
    assert parse_quantity(format_quantity(size)) == size


@given(st.integers(0, 10**12))
def test_a_written_duration_reads_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@pytest.mark.parametrize(
    ("size", "text"), [(1024000, "1000Ki"), (25_000_000, "25M"), (2**20, "1Mi"), (64_000, "64k"), (17, "17")]
)
def test_the_shortest_notation_is_written(size: int, text: str) -> None:
    assert format_quantity(size) == text


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    for parse in (parse_quantity, parse_duration):
        told, value = "", 0.0
        try:
            value = parse(text)
        except ValueError as error:
            told = str(error)
        assert value >= 0
        assert told.isprintable()
