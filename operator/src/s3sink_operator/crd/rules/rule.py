"""A rule, and what rules are made of. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from s3sink_operator.spec import shapes
from s3sink_operator.spec.kinds import Duration, Size
from s3sink_operator.units import DURATION_PATTERN, SIZE_PATTERN


@dataclass(frozen=True)
class Rule:
    """One rule. ``message``: what to write instead, or an expression that gives it if ``computed``."""

    rule: str
    message: str
    computed: bool = False
    field: str = ""
    """Path of the field that it is about, if that is below where the rule stands: ``.object.prefix``."""
    on_create: bool = False
    """A rule about a change (``oldSelf``) that is asked at creation too; ``oldSelf`` is an optional then."""

    def schema(self) -> dict[str, Any]:
        """As it stands in a CRD."""
        found: dict[str, Any] = {"rule": self.rule}
        # An expression that fails gives no message, so there is a plain one for that.
        found["messageExpression" if self.computed else "message"] = self.message
        if self.field:
            found["fieldPath"] = self.field
        if self.on_create:
            found["optionalOldSelf"] = True
        return found


def text(value: str) -> str:
    """A CEL literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def matches(subject: str, pattern: str) -> str:
    """Whether all of ``subject`` matches."""
    return f"{subject}.matches({text(f'^({pattern})$')})"


def kind_rules(notes: Sequence[object]) -> Iterator[Rule]:
    """Rules of sizes and durations, which every such field has."""
    for note in notes:
        if isinstance(note, Size):
            good = matches("self", SIZE_PATTERN)
            yield Rule(good, "not a size; write a whole number with a unit, such as '25Mi'")
            yield Rule(
                f"!{good} || (quantity(self).compareTo(quantity('{note.low}')) >= 0"
                f" && quantity(self).compareTo(quantity('{note.high}')) <= 0)",
                f"out of range; write a size from '{note.low}' to '{note.high}'",
            )
        elif isinstance(note, Duration):
            good = matches("self", DURATION_PATTERN)
            yield Rule(good, "not a duration; write one such as '10s', '5m' or '1h30m'")
            yield Rule(
                f"!{good} || (duration(self) >= duration('{note.low}') && duration(self) <= duration('{note.high}'))",
                f"out of range; write a duration from '{note.low}' to '{note.high}'",
            )
            if note.whole:
                yield Rule(
                    f"!{good} || duration(self) < duration('{note.low}')"
                    " || duration(self).getMilliseconds() % 1000 == 0",
                    "not a whole number of seconds; write one such as '90s'",
                )


def object_name(optional: bool) -> tuple[Rule, ...]:
    given = matches("self", shapes.OBJECT_NAME_PATTERN)
    return (
        Rule(
            f"self == '' || {given}" if optional else given,
            "not an object's name; write a-z, 0-9, '-' and '.', beginning and ending with a letter or digit",
        ),
    )


def word(noun: str, example: str) -> Rule:
    return Rule(
        f"self == '' || {matches('self', shapes.WORD_PATTERN)}",
        f"not a {noun}; write one such as '{example}'",
    )
