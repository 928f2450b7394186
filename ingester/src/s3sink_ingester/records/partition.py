"""What a record becomes: its partition, or the reason why it has none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TypeAlias


class Kind(IntEnum):
    """What an object holds. The numbers are journalled: never change them."""

    DATA = 0
    """Content of admitted records."""
    INVALID = 1
    """Raw records that were quarantined."""
    OVERFLOW = 2
    """Raw records that came while ``maxPartitions`` partitions were open."""


class Reason(StrEnum):
    """Why a record isn't in a data partition; the value is what ``{reason}`` in ``errorPrefix`` becomes."""

    NO_MATCH = "no-match"
    INVALID_JSON = "invalid-json"
    NO_KEY = "no-key"
    KEY_NOT_TEXT = "key-not-text"
    KEY_TOO_LONG = "key-too-long"
    TOO_LARGE = "too-large"
    OVERFLOW = "overflow"

    @property
    def kind(self) -> Kind:
        return Kind.OVERFLOW if self is Reason.OVERFLOW else Kind.INVALID


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """Where records go. Two partitions are the same if their names are: compare ``name``.

    ``name`` is the object prefix with the key's fields rendered and escaped and the time tokens left in
    (``customer=7/dt={time:%Y-%m-%d}/``). An escaped value holds no brace, so a ``{`` is always a time token.
    """

    name: str
    kind: Kind


Batch: TypeAlias = tuple[Partition, bytes, int]
"""(partition, payload: whole lines that each end in one newline, number of records)."""


class Invalid(Exception):
    """One record can't be admitted. ``detail`` is for the sender: it names the field, never echoes the record."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)
