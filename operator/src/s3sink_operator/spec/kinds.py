"""Kinds of text fields: each judges one value, and the CRD's schema and the reference are made from them. Pure.

They stand in a field's annotation, ``Annotated[str, Size("1Ki", "5Gi")]``. A check raises ValueError whose text says
what to write instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from s3sink_operator.units import MAX_DURATION_LENGTH, MAX_SIZE_LENGTH, parse_duration, parse_size


@dataclass(frozen=True)
class TextKind(ABC):
    """Text of at most ``max_length`` characters, as pydantic asks for it."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """Most characters that a value may have."""

    @abstractmethod
    def check(self, text: str) -> None:
        """Raises ValueError."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def _validate(self, text: str) -> str:
        if len(text) > self.longest:
            raise ValueError(f"has {len(text)} characters; at most {self.longest} are allowed")
        self.check(text)
        return text


@dataclass(frozen=True)
class Size(TextKind):
    """Bytes from ``low`` to ``high``."""

    low: str
    high: str

    @property
    def longest(self) -> int:
        return MAX_SIZE_LENGTH

    def check(self, text: str) -> None:
        size = parse_size(text)
        if size < parse_size(self.low):
            raise ValueError(f"'{text}' is too small; write at least '{self.low}'")
        if size > parse_size(self.high):
            raise ValueError(f"'{text}' is too large; write at most '{self.high}'")


@dataclass(frozen=True)
class Duration(TextKind):
    """A duration from ``low`` to ``high``; ``whole``: of whole seconds."""

    low: str
    high: str
    whole: bool = False

    @property
    def longest(self) -> int:
        return MAX_DURATION_LENGTH

    def check(self, text: str) -> None:
        seconds = parse_duration(text)
        if seconds < parse_duration(self.low):
            raise ValueError(f"'{text}' is too short; write at least '{self.low}'")
        if seconds > parse_duration(self.high):
            raise ValueError(f"'{text}' is too long; write at most '{self.high}'")
        if self.whole and not seconds.is_integer():
            raise ValueError(f"'{text}' is not a whole number of seconds; write '{round(seconds)}s'")


@dataclass(frozen=True)
class Text(TextKind):
    """Text that ``judge`` accepts. ``noun``: what it is, for the reference. Empty text means that it isn't set."""

    noun: str
    judge: Callable[[str], None]
    max_length: int
    optional: bool = True

    @property
    def longest(self) -> int:
        return self.max_length

    def check(self, text: str) -> None:
        if text or not self.optional:
            self.judge(text)


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def _validate(self, number: int) -> int:
        if not self.low <= number <= self.high:
            raise ValueError(f"{number} is out of range; write a whole number from {self.low} to {self.high}")
        return number


@dataclass(frozen=True)
class Later:
    """A value that a choice will have in a later version."""

    value: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._validate, handler(source))

    def _validate(self, value: Any) -> Any:
        if value == self.value:
            raise ValueError(self.message)
        return value


@dataclass(frozen=True)
class Bounded:
    """A list or mapping of at most ``most`` entries."""

    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def _validate(self, entries: Any) -> Any:
        if len(entries) > self.most:
            raise ValueError(f"has {len(entries)} entries; at most {self.most} are allowed")
        return entries


@dataclass(frozen=True)
class Named:
    """A mapping whose names ``judges`` accept: each raises ValueError that says what to write instead."""

    judges: tuple[Callable[[str], None], ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def _validate(self, entries: Mapping[str, Any]) -> Mapping[str, Any]:
        problems = [problem for name in entries for problem in self._problems(name)]
        if problems:
            raise ValueError(*problems)
        return entries

    def _problems(self, name: str) -> Sequence[str]:
        for judge in self.judges:
            try:
                judge(name)
            except ValueError as error:
                return error.args  # one mistake, one message
        return ()


@dataclass(frozen=True)
class Embedded:
    """A part of a pod's spec; the CRD holds Kubernetes' own schema of it, so the API server judges it."""

    schema: str
    """Its name in ``crd/pod_schemas.yaml``."""
