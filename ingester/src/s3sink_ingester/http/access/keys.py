"""API keys: which ones are good, and what a request presents. Pure.

Only digests are kept and compared. How long that takes depends on the digest of what a client sent, from which it can
learn nothing about a key that it doesn't have.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from s3sink_ingester.errors import RequestError
from s3sink_ingester.http.endpoint import Endpoint, Resolve
from s3sink_ingester.http.heads import Head

MAX_KEY_BYTES: Final = 4096
_SENDABLE = re.compile(rb"[\x21-\x7e]{1,%d}" % MAX_KEY_BYTES)
_BEARER = re.compile(r"bearer[ \t]+(\S+)", re.IGNORECASE)

KEY_HEADERS: Final = ("x-api-key",)
"""Headers whose whole value is a key, besides `Authorization: Bearer`."""

MISSING: Final = RequestError(401, "send an API key: `Authorization: Bearer <key>` or `X-Api-Key: <key>`")
WRONG: Final = RequestError(401, "the API key isn't one of those that are accepted here")


class ApiKeys:
    """The digests of the keys that are good now. `refused`: requests, by why (`missing`, `wrong`)."""

    def __init__(self) -> None:
        self.digests: frozenset[bytes] = frozenset()
        self.refused: Counter[str] = Counter()

    def check(self, head: Head) -> None:
        """Raises RequestError (401) unless one of the keys that the head presents is good."""
        presented = False
        for key in presented_keys(head.headers):
            presented = True
            if digest(key.encode("latin-1")) in self.digests:
                return
        self.refused["wrong" if presented else "missing"] += 1
        raise (WRONG if presented else MISSING).with_traceback(None)  # they are shared, and would grow

    def guarding(self, resolve: Resolve) -> Resolve:
        """`resolve`, for those who have a key. Its endpoints must be forgotten when a key is taken away."""

        def checked(head: Head, /) -> Endpoint:
            self.check(head)
            return resolve(head)

        return checked


def presented_keys(headers: Mapping[str, str]) -> Iterator[str]:
    """What may be a key in a request's headers. A proxy on the way may have put something of its own into one."""
    bearer = _BEARER.fullmatch(headers.get("authorization", ""))
    if bearer is not None:
        yield bearer[1]
    for name in KEY_HEADERS:
        if headers.get(name):
            yield headers[name]


def digest(key: bytes) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key).digest()


def key_of(content: bytes) -> bytes:
    """The key that a file holds. Raises ValueError, which doesn't show it, if no client could send it."""
    key = content.strip()
    if not key:
        raise ValueError("is empty")
    if not _SENDABLE.fullmatch(key):
        raise ValueError(
            f"holds no key: one is 1 to {MAX_KEY_BYTES} visible ASCII characters without blanks, one a file"
        )
    return key
