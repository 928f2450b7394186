"""Quantities and durations as they are written in settings, and back. Pure.

A quantity is a number of bytes in Kubernetes' notation: ``25Mi`` (x 1024), ``25M`` (x 1000), ``26214400``.
A duration is in Go's notation: ``10s``, ``1h30m``, ``1.5h``, ``500ms``.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from s3sink_ingester.config.words import kind_of, quote

QUANTITY_UNITS: Final = {
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
DURATION_UNITS: Final = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}  # in milliseconds

_BINARY_NAMES: Final = {"Ki": "kibibytes", "Mi": "mebibytes", "Gi": "gibibytes", "Ti": "tebibytes"}
_DAYS: Final = ("d", "day", "days")
_DURATION_WORDS: Final = {
    "h": "h", "hr": "h", "hrs": "h", "hour": "h", "hours": "h",
    "m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
    "s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "ms": "ms", "millisecond": "ms", "milliseconds": "ms",
}  # fmt: skip

# Digits are bounded, so that no input makes an integer that Python refuses to print.
_NUMBER: Final = r"[0-9]{1,18}(?:\.[0-9]{1,9})?"
_QUANTITY: Final = re.compile(rf"({_NUMBER})(Ki|Mi|Gi|Ti|k|M|G|T|)")
_NEARLY_A_QUANTITY: Final = re.compile(rf"({_NUMBER})\s*([kmgt])(i?)(b|bytes?)?", re.IGNORECASE)
_DURATION_PART: Final = re.compile(rf"({_NUMBER})(ms|h|m|s)")
_DURATION: Final = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_NEARLY_A_DURATION: Final = re.compile(rf"({_NUMBER})\s*([a-z]+)", re.IGNORECASE)


def parse_quantity(value: object) -> int:
    """Bytes of a quantity: text such as ``25Mi``, or a whole number.

    Raises ValueError whose text begins with the value and says what to write instead.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    elif isinstance(value, float):
        raise ValueError(f"{value} is not a whole number of bytes; write a size such as '25Mi'")
    elif isinstance(value, str):
        text = value
    else:
        raise ValueError(f"expected a size such as '25Mi', not {kind_of(value)}")
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(_not_a_quantity(text))
    size = Fraction(match[1]) * QUANTITY_UNITS[match[2]]
    if size.denominator != 1:
        raise ValueError(f"{quote(text)} is not a whole number of bytes; write a size such as '25Mi'")
    return int(size)


def format_quantity(size: int) -> str:
    """The shortest exact notation of ``size`` bytes: ``25Mi``, ``25M``, ``1000Ki``, ``17``."""
    texts = [
        f"{size // unit}{suffix}" for suffix, unit in QUANTITY_UNITS.items() if size % unit == 0 and size
    ]
    return min(texts, key=lambda text: (len(text.rstrip("i")), "i" not in text), default="0")


def parse_duration(value: object) -> float:
    """Seconds of a duration, exact to the millisecond, such as ``1h30m``.

    Raises ValueError whose text begins with the value and says what to write instead.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(_no_unit(str(value)))
    if not isinstance(value, str):
        raise ValueError(f"expected a duration such as '10s', '5m' or '1h30m', not {kind_of(value)}")
    if _DURATION.fullmatch(value) is None:
        raise ValueError(_not_a_duration(value))
    parts = _DURATION_PART.findall(value)
    milliseconds = sum((Fraction(number) * DURATION_UNITS[unit] for number, unit in parts), Fraction())
    if milliseconds.denominator != 1:
        raise ValueError(
            f"{quote(value)} is not a whole number of milliseconds; write a duration such as '10s'"
        )
    return int(milliseconds) / 1000


def format_duration(seconds: float) -> str:
    """Go's notation of ``seconds``, rounded to the millisecond: ``1h30m``, ``10s``, ``500ms``, ``0s``."""
    rest = round(seconds * 1000)
    text = ""
    for unit, milliseconds in DURATION_UNITS.items():
        count, rest = divmod(rest, milliseconds)
        if count:
            text += f"{count}{unit}"
    return text or "0s"


def _not_a_quantity(text: str) -> str:
    if not text.strip():
        return "is empty; write a size such as '25Mi'"
    if text.startswith("-"):
        return f"{quote(text)} is negative; write a size such as '25Mi'"
    match = _NEARLY_A_QUANTITY.fullmatch(text.strip())
    if match is None:
        return f"{quote(text)} is not a quantity; write a number of bytes or a size such as '25Mi'"
    number, letter = match[1], match[2].upper()
    binary, decimal = f"{letter}i", letter.replace("K", "k")
    advice = f"write '{number}{binary}' ({_BINARY_NAMES[binary]})"
    return f"{quote(text)} is not a quantity; {advice}" + ("" if match[3] else f" or '{number}{decimal}'")


def _no_unit(text: str) -> str:
    if text.startswith("-"):
        return f"{quote(text)} is negative; write a duration such as '10s', '5m' or '1h30m'"
    return f"{text} has no unit; write '{text}s' for seconds"


def _not_a_duration(text: str) -> str:
    if not text.strip():
        return "is empty; write a duration such as '10s', '5m' or '1h30m'"
    if re.fullmatch(_NUMBER, text) or text.startswith("-"):
        return _no_unit(text)
    joined = re.sub(r"\s", "", text).lower()
    if _DURATION.fullmatch(joined):
        return f"{quote(text)} is not a duration; write '{joined}'"
    match = _NEARLY_A_DURATION.fullmatch(text.strip())
    unit = match[2].lower() if match else ""
    if match and unit in _DAYS:
        return f"{quote(text)} is not a duration; write '{format_duration(float(match[1]) * 24 * 3600)}'"
    if match and unit in _DURATION_WORDS:
        return f"{quote(text)} is not a duration; write '{match[1]}{_DURATION_WORDS[unit]}'"
    return f"{quote(text)} is not a duration; write one such as '10s', '5m' or '1h30m'"
