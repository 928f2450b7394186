"""Kinds of settings: each reads one plain value, says what is wrong with it, and describes itself for the docs. Pure.

``read`` returns the setting's value or raises ValueError: each of its arguments says what to write instead.
``describe`` is the kind in a few words, ``show`` a default as it would be written; both are Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from s3sink_ingester.config.units import format_duration, format_quantity, parse_duration, parse_quantity
from s3sink_ingester.config.words import kind_of, nearest, one_of, quote


class Kind(Protocol):
    def read(self, value: object) -> object: ...

    def describe(self) -> str: ...

    def show(self, value: object) -> str: ...


@dataclass(frozen=True, slots=True)
class Text:
    """Text that ``check`` accepts; ``check`` raises ValueError with the advice."""

    noun: str
    check: Callable[[str], None]

    def read(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"expected text, not {kind_of(value)}; {_text_advice(value)}")
        self.check(value)
        return value

    def describe(self) -> str:
        return self.noun

    def show(self, value: object) -> str:
        return f"`'{value}'`"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int

    def read(self, value: object) -> int:
        wanted = f"write a whole number from {self.low} to {self.high}"
        if isinstance(value, str) and value.isascii() and value.isdigit():
            raise ValueError(f"{quote(value)} is text; write the number without quotes")
        if not isinstance(value, int) or isinstance(value, bool):
            shown = quote(value) if isinstance(value, str) else kind_of(value)
            raise ValueError(f"expected a whole number, not {shown}; {wanted}")
        if not self.low <= value <= self.high:
            raise ValueError(f"{value} is out of range; {wanted}")
        return value

    def describe(self) -> str:
        return f"{self.low} to {self.high}"

    def show(self, value: object) -> str:
        return f"`{value}`"


@dataclass(frozen=True, slots=True)
class Flag:
    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            shown = quote(value) if isinstance(value, str) else kind_of(value)
            raise ValueError(f"expected true or false, not {shown}")
        return value

    def describe(self) -> str:
        return "`true` or `false`"

    def show(self, value: object) -> str:
        return f"`{str(value).lower()}`"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of an enumeration's values, spelt exactly. ``later``: value to the reason why it can't be used yet."""

    options: type[StrEnum]
    later: Mapping[str, str] = field(default_factory=dict)

    def read(self, value: object) -> StrEnum:
        names = [option.value for option in self.options]
        if not isinstance(value, str):
            raise ValueError(f"expected {one_of(names)}, not {kind_of(value)}")
        if value in self.later:
            raise ValueError(self.later[value])
        if value not in names:
            meant = nearest(value, names)
            advice = f"did you mean '{meant}'?" if meant else f"write {one_of(names)}"
            raise ValueError(f"{quote(value)} is not one of {', '.join(names)}; {advice}")
        return self.options(value)

    def describe(self) -> str:
        return one_of([f"`{option.value}`" for option in self.options])

    def show(self, value: object) -> str:
        return f"`{value}`"


@dataclass(frozen=True, slots=True)
class Quantity:
    """Bytes from ``low`` to ``high``, both written as quantities."""

    low: str
    high: str

    def read(self, value: object) -> int:
        size = parse_quantity(value)
        if size < parse_quantity(self.low):
            raise ValueError(f"'{value}' is too small; write at least '{self.low}'")
        if size > parse_quantity(self.high):
            raise ValueError(f"'{value}' is too large; write at most '{self.high}'")
        return size

    def describe(self) -> str:
        return f"size, `{self.low}` to `{self.high}`"

    def show(self, value: object) -> str:
        return f"`{format_quantity(value)}`" if isinstance(value, int) else ""


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds from ``low`` to ``high``, both written as durations."""

    low: str
    high: str

    def read(self, value: object) -> float:
        seconds = parse_duration(value)
        if seconds < parse_duration(self.low):
            raise ValueError(f"'{value}' is too short; write at least '{self.low}'")
        if seconds > parse_duration(self.high):
            raise ValueError(f"'{value}' is too long; write at most '{self.high}'")
        return seconds

    def describe(self) -> str:
        return f"duration, `{self.low}` to `{self.high}`"

    def show(self, value: object) -> str:
        return f"`{format_duration(value)}`" if isinstance(value, (int, float)) else ""


@dataclass(frozen=True, slots=True)
class WholeSeconds:
    """A duration of whole seconds from ``low`` to ``high``, both written as durations."""

    low: str
    high: str

    def read(self, value: object) -> int:
        seconds = Duration(self.low, self.high).read(value)
        if not seconds.is_integer():
            raise ValueError(f"'{value}' is not a whole number of seconds; write '{round(seconds)}s'")
        return int(seconds)

    def describe(self) -> str:
        return Duration(self.low, self.high).describe()

    def show(self, value: object) -> str:
        return Duration(self.low, self.high).show(value)


@dataclass(frozen=True, slots=True)
class TextMap:
    """A mapping of names to text that ``check`` accepts."""

    noun: str
    example: str
    check: Callable[[Mapping[str, str]], None]

    def read(self, value: object) -> dict[str, str]:
        if not isinstance(value, dict):
            raise ValueError(f"expected a mapping such as {self.example}, not {kind_of(value)}")
        texts = {name: text for name, text in value.items() if isinstance(text, str)}
        bad = [
            f"{quote(name)}: expected text, not {kind_of(other)}, as in {self.example}"
            for name, other in value.items()
            if name not in texts
        ]
        if bad:
            raise ValueError(*bad)
        self.check(texts)
        return texts

    def describe(self) -> str:
        return f"mapping of {self.noun}"

    def show(self, value: object) -> str:
        return f"`{value}`"


def _text_advice(value: object) -> str:
    """Unquoted, ``{path}`` is a mapping and ``12`` a number: quotes are what is missing then."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value.values())) is None:
        return "put it in quotes: " + quote("{" + str(next(iter(value))) + "}")
    if isinstance(value, (bool, int, float)):
        return f"put it in quotes: '{str(value).lower()}'"
    return "put it in quotes"
