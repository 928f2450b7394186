"""Keys by regular expression."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from s3sink_ingester.records.keys import Groups, Token
from s3sink_ingester.records.partition import Invalid, Reason

CONTENT = "content"
"""The group that is stored."""


def compile_pattern(pattern: str) -> re.Pattern[bytes]:
    """A pattern that passed ``check_regex``."""
    return re.compile(pattern.encode("ascii"), re.DOTALL)


def check_regex(pattern: str) -> list[str]:
    """What is wrong with ``partitioning.regex``."""
    if not pattern.isascii():
        # In a pattern for bytes, '[é]' and 'é+' would mean single bytes of the character.
        return ["only ASCII can be used: records are matched as bytes; write other characters as \\xNN bytes"]
    try:
        compiled = compile_pattern(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        hint = "; named groups are written (?P<name>...)" if re.search(r"\(\?<[A-Za-z_]", pattern) else ""
        return [f"is not a regular expression of Python: {error}{hint}"]
    if not compiled.groupindex:
        return ["has no named group: name the key's parts (?P<name>...), and what is stored (?P<content>...)"]
    return []


_FIRST_SPACE = re.compile(r"\^\(\?P<(\w+)>(?:\\S|\[\^\\s\]|\[\^ \])\+\) \(\?P<content>\.\+\)\$", re.ASCII)


class FirstSpace:
    r"""``^(?P<path>\S+) (?P<content>.+)$``, the most frequent pattern, without the regex engine.

    In all recognised patterns a match splits the record at its first space, and whether there is one depends on
    the key alone as long as both sides are non-empty. So the pattern has to see each key once.
    """

    def __init__(self, pattern: re.Pattern[bytes], used: tuple[str, ...]) -> None:
        self._pattern = pattern
        self._used = used

    @classmethod
    def recognise(cls, pattern: str, used: tuple[str, ...]) -> FirstSpace | None:
        match = _FIRST_SPACE.fullmatch(pattern)
        # A key that the prefix doesn't use has no bound, so it must not become a token.
        return cls(compile_pattern(pattern), used) if match and match[1] in used else None

    def one(self, record: bytes) -> tuple[Token, bytes]:
        key, _, content = record.partition(b" ")
        if not content:
            raise _no_match()
        return key, content

    def fill(self, records: Sequence[bytes], groups: Groups) -> None:
        for record in records:
            key, _, content = record.partition(b" ")
            groups[key].append(content)
        for contents in groups.values():
            if not all(contents):
                raise _no_match()

    def values(self, token: Token) -> Mapping[str, bytes]:
        assert isinstance(token, bytes)
        if not self._pattern.search(token + b" x"):
            raise _no_match()
        return dict.fromkeys(self._used, token)


class Regex:
    """Any pattern: one search a record."""

    def __init__(self, pattern: re.Pattern[bytes], used: tuple[str, ...]) -> None:
        self._search = pattern.search
        self._used = used
        self._content = CONTENT if CONTENT in pattern.groupindex else 0

    def one(self, record: bytes) -> tuple[Token, bytes]:
        match = self._search(record)
        content = match[self._content] if match else None
        if match is None or content is None:
            raise _no_match()
        return (match.group(*self._used) if self._used else b""), content if self._content else record

    def fill(self, records: Sequence[bytes], groups: Groups) -> None:
        one = self.one
        for record in records:
            token, content = one(record)
            groups[token].append(content)

    def values(self, token: Token) -> Mapping[str, bytes]:
        values: dict[str, bytes] = {}
        for field, value in zip(self._used, token if isinstance(token, tuple) else (token,), strict=False):
            if not value:
                raise Invalid(Reason.NO_KEY, f"the group {field!r} of partitioning.regex is empty")
            values[field] = value
        return values


def _no_match() -> Invalid:
    return Invalid(Reason.NO_MATCH, "it doesn't match partitioning.regex")
