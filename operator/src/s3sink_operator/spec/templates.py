"""Templates of object prefixes, such as ``customer={customer}/dt={time:%Y-%m-%d}/``: what they may say. Pure.

The ingester owns the rules (its ``records.templates`` gives the reasons); ``tests/contract`` holds these to them.
Checks raise ValueError, one argument a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from s3sink_operator.spec.patterns import FIELD_PATTERN

MAX_BYTES: Final = 412
MAX_SEGMENT_BYTES: Final = 127
DIRECTIVES: Final = "YmdHMSjyGVuw"
REASON: Final = "reason"

_TOKEN: Final = re.compile(r"\{([^{}]*)\}")
_DIRECTIVE: Final = re.compile(r"%(.?)", re.DOTALL)
_UNSAFE: Final = re.compile(r"""[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff"#%'*?\\\[\]^]""")
_WIDTHS: Final = {"Y": 4, "G": 4, "j": 3, "u": 1, "w": 1}


def prefix(text: str) -> None:
    """``object.prefix``, as far as it can be judged without the key's fields."""
    problems = list(_token_problems(text)) or list(_shape_problems(text))
    if problems:
        raise ValueError(*problems)


def error_prefix(text: str) -> None:
    """``object.errorPrefix``, as far as it can be judged without ``object.prefix``."""
    prefix(text)
    used = fields(text)
    problems = [
        f"{{{field}}} is not known here; only {{reason}} and {{time:...}} are, since a bad record has no key"
        for field in used
        if field != REASON
    ]
    if REASON not in used:
        problems.append("needs {reason}: what is wrong tells the objects apart")
    if not head(text):
        problems.append("must begin with text, such as errors/: it keeps data and errors apart")
    if problems:
        raise ValueError(*problems)


def fields(text: str) -> tuple[str, ...]:
    """Names of the key's fields that a template uses, each once, in order."""
    return tuple(dict.fromkeys(token for token in _TOKEN.findall(text) if ":" not in token))


def head(text: str) -> str:
    """The literal text before the first token."""
    return text.partition("{")[0]


def _token_problems(text: str) -> Iterator[str]:
    """Braces, names, time formats, characters."""
    rest = _TOKEN.sub("", text)
    if "{" in rest or "}" in rest:
        yield "a brace has no partner; fields are written {name}, times {time:%Y-%m-%d}"
    for token in _TOKEN.findall(text):
        name, colon, form = token.partition(":")
        if name == "time":
            yield from _time_problems(form)
        elif colon or not re.fullmatch(FIELD_PATTERN, name):
            yield f"{{{token}}} is not a field; write a name such as {{customer}}, or {{time:%Y-%m-%d}}"
    unsafe = _UNSAFE.search(rest)
    if unsafe:
        yield f"the character {unsafe[0]!r} can't be used; take it out"


def _time_problems(form: str) -> Sequence[str]:
    if not form:
        return ["{time} needs a format, such as {time:%Y-%m-%d}; a key field can't be called time"]
    problems = [
        f"%{letter} can't be used in {{time:...}}; write %{' %'.join(DIRECTIVES)}: digits of a fixed width"
        for letter in _DIRECTIVE.findall(form)
        if not letter or letter not in DIRECTIVES
    ]
    unsafe = _UNSAFE.search(_DIRECTIVE.sub("", form))
    if unsafe:
        problems.append(f"the character {unsafe[0]!r} can't be used in {{time:...}}; take it out")
    return problems


def _shape_problems(text: str) -> Iterator[str]:
    """Segments. The file name follows the prefix directly, so a missing '/' at the end would glue them."""
    if not text:
        yield "is empty; write at least one segment, such as data/"
        return
    if text.startswith("/"):
        yield "must not begin with '/': S3 keys don't, and it would make an empty segment"
    if not text.endswith("/"):
        yield "must end in '/': the file name follows directly"
    segments = _segments(text)
    if "" in segments[1:-1]:
        yield "has an empty segment: '//'"
    if "." in segments or ".." in segments:
        yield "'.' and '..' can't be segments; take them out"
    if any(segment.count("{") > 1 for segment in segments):
        yield "has two fields in one segment, where two keys could give one prefix; put a '/' between"
    if len(text.encode()) > MAX_BYTES or any(len(s.encode()) > MAX_SEGMENT_BYTES for s in segments):
        yield f"is too long; write at most {MAX_BYTES} bytes, {MAX_SEGMENT_BYTES} between two '/'"


def _segments(text: str) -> list[str]:
    """The segments with times filled in (any digits will do) and each field as a lone ``{``."""

    def fill(token: re.Match[str]) -> str:
        if not token[1].startswith("time:"):
            return "{"
        return _DIRECTIVE.sub(lambda directive: "0" * _WIDTHS.get(directive[1], 2), token[1][5:])

    return _TOKEN.sub(fill, text).split("/")
