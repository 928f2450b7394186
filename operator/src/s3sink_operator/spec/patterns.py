"""How records' keys are found: what the settings of each way may say. Pure.

Checks raise ValueError, one argument a message. ``tests/contract`` holds them to the ingester's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

CONTENT: Final = "content"
"""The group that is stored."""
REQUEST_KEY_FIELDS: Final = ("key", "path")
TIME: Final = "time"

FIELD_PATTERN: Final = r"[A-Za-z_][A-Za-z0-9_]*"

# As Ruby, and so fluentd, writes them.
_BETWEEN_SLASHES: Final = re.compile(r"/(.*)/[a-z]*", re.DOTALL)
_RUBY_GROUP: Final = re.compile(r"\(\?<(?=[A-Za-z_])")


def regex(text: str) -> None:
    """A regular expression for bytes that names what the key is."""
    literal = _BETWEEN_SLASHES.fullmatch(text)
    if literal:
        bare = _RUBY_GROUP.sub("(?P<", literal[1])
        raise ValueError(f"{text!r} stands between slashes; write {bare!r}; '.' matches line ends too")
    if not text.isascii():
        raise ValueError(
            "only ASCII can be used: records are matched as bytes; write other characters as \\xNN bytes"
        )
    try:
        groups = compile_regex(text).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        hint = "; named groups are written (?P<name>...)" if _RUBY_GROUP.search(text) else ""
        raise ValueError(f"is not a regular expression of Python: {error}{hint}") from None
    if not groups:
        raise ValueError(
            "has no named group; name the key's parts (?P<name>...), and what is stored (?P<content>...)"
        )
    if set(groups) == {CONTENT}:
        raise ValueError(
            r"names only what is stored; name the key too, as in '^(?P<path>\S+) (?P<content>.+)$'"
        )


def compile_regex(text: str) -> re.Pattern[bytes]:
    """As the ingester does."""
    return re.compile(text.encode("ascii"), re.DOTALL)


def regex_fields(text: str) -> tuple[str, ...]:
    """The key's fields by a regular expression that ``regex`` accepts."""
    return tuple(name for name in compile_regex(text).groupindex if name != CONTENT)


def json_pointer(text: str) -> None:
    """RFC 6901."""
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is not a JSON Pointer: it begins with '/', as in /customer_id")
    if re.search(r"~(?![01])", text):
        raise ValueError(f"{text!r} is not a JSON Pointer: '~' is written ~0, and '/' in a name ~1")


def pointer_names(pointers: Mapping[str, str]) -> None:
    """The fields that the pointers are given to."""
    problems = [] if pointers else ["is empty; name at least one field, such as customer: /customer_id"]
    problems += [
        f"{name!r} can't be a field; write letters, digits and _ (63 at most), and another name than time"
        for name in pointers
        if not re.fullmatch(FIELD_PATTERN, name) or name == TIME or len(name) > 63
    ]
    if problems:
        raise ValueError(*problems)
