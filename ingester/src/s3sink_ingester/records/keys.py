"""Where a record's key is, and what of the record is stored.

| source | fields of the key | stored |
| --- | --- | --- |
| regex | its named groups but ``content`` | the group ``content`` if there is one, else the record |
| jsonPointers | the names given to the pointers | the record |
| header, urlPath | ``key`` and ``path``: two names of one value | the record |

Only fields that the prefix uses are looked at. Each must have a value: a missing or empty one makes the record
invalid (an empty directory name is no place to look for records).

An extractor gives a **token** for each record: what the key is known by in the cache, before it is decoded, escaped
or judged. Equal tokens mean equal keys; unequal ones may mean the same (``"7"`` and ``7`` in JSON).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

from s3sink_ingester.records.partition import Invalid, Reason

REQUEST_KEY_FIELDS = ("key", "path")

Token: TypeAlias = "bytes | tuple[bytes | None, ...] | None"


class Groups(Protocol):
    """Contents of records by token; a token not seen before has none."""

    def __getitem__(self, token: Token, /) -> list[bytes]: ...
    def values(self) -> Iterable[list[bytes]]: ...


class Extractor(Protocol):
    """Finds keys. Stateless: one is shared by all requests, in all threads."""

    def one(self, record: bytes) -> tuple[Token, bytes]:
        """Token and content of a record; raises ``Invalid``."""

    def fill(self, records: Sequence[bytes], groups: Groups) -> None:
        """As ``one`` for each record, content appended to its group; raises ``Invalid`` at a bad record, without
        telling which."""

    def values(self, token: Token) -> Mapping[str, bytes]:
        """The key's fields, none of them empty; raises ``Invalid``."""


def check_header(name: str) -> list[str]:
    """What is wrong with ``partitioning.header``."""
    if re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        return []
    return [f"{name!r} is not the name of an HTTP header, such as X-Shard-Key"]


class RequestKey:
    """The key of a whole request, as text with surrogate escapes. ``advice`` says where to send it."""

    def __init__(self, key: str | None, advice: str) -> None:
        self._key = key
        self._advice = advice

    def token(self) -> bytes:
        """Raises ``Invalid`` if the request has no key."""
        if not self._key:
            raise Invalid(Reason.NO_KEY, f"the key is missing: send it in {self._advice}")
        try:
            return self._key.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise Invalid(Reason.KEY_NOT_TEXT, "the key is not UTF-8") from error

    def one(self, record: bytes) -> tuple[Token, bytes]:
        return self.token(), record

    def fill(self, records: Sequence[bytes], groups: Groups) -> None:
        groups[self.token()].extend(records)

    def values(self, token: Token) -> Mapping[str, bytes]:
        assert isinstance(token, bytes)
        return dict.fromkeys(REQUEST_KEY_FIELDS, token)
