"""Templates of object prefixes: reading, checking, rendering. What values become is in ``naming``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from s3sink_ingester.records.naming import (
    LITERAL_UNSAFE,
    MAX_PREFIX_BYTES,
    MAX_SEGMENT_BYTES,
    escape,
    percent,
)
from s3sink_ingester.records.partition import Invalid, Reason

_TOKEN = re.compile(r"\{([^{}]*)\}")
_TIME_TOKEN = re.compile(r"\{time:([^{}]*)\}")
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_FIXED_WIDTH = "YmdHMSjyGVuw"


@dataclass(frozen=True, slots=True)
class Field:
    """A key field in a template. ``path``, ``leading``: see ``escape``."""

    name: str
    path: bool
    leading: bool


Part: TypeAlias = "str | Field"
"""Text (literals, and time tokens as they are) or a field."""


class TemplateError(ValueError):
    """A template can't be used. ``problems`` says everything that is wrong with it."""

    def __init__(self, problems: Collection[str]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed prefix. ``reserved``: no rendered name begins with it (empty: nothing is reserved)."""

    parts: tuple[Part, ...]
    reserved: str = ""

    def fields(self) -> tuple[str, ...]:
        """Names of the fields used, each once, in order."""
        return tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, Field)))

    def head(self) -> str:
        """The literal text before the first token."""
        first = self.parts[0] if self.parts else ""
        return first.partition("{")[0] if isinstance(first, str) else ""

    def render(self, values: Mapping[str, bytes]) -> str:
        """The partition's name. Raises ``Invalid`` if a value isn't UTF-8 or an object's key would be too long."""
        try:
            name = "".join(
                part
                if isinstance(part, str)
                else escape(values[part.name].decode(), path=part.path, leading=part.leading)
                for part in self.parts
            )
        except UnicodeDecodeError as error:
            raise Invalid(Reason.KEY_NOT_TEXT, "the key is not UTF-8") from error
        if self.reserved and name.startswith(self.reserved):
            # The head of the template is no longer than what is reserved (checked with the settings), so
            # what follows it is the first character of a value.
            at = len(self.head())
            name = name[:at] + percent(name[at]) + name[at + 1 :]
        _check_length(name)
        return name


def render_prefix(name: str, window_start: float) -> str:
    """``name`` with its time tokens filled in, UTC. ``window_start``: seconds since the epoch."""
    if "{" not in name:
        return name
    moment = datetime.fromtimestamp(window_start, UTC)

    def fill(token: re.Match[str]) -> str:
        # Directive by directive: what strftime does with other text depends on the platform.
        return _DIRECTIVE.sub(lambda directive: moment.strftime(directive[0]), token[1])

    return _TIME_TOKEN.sub(fill, name)


def _check_length(name: str) -> None:
    if 4 * len(name) <= MAX_SEGMENT_BYTES:
        return  # nearly always: a character is at most 4 bytes, a directive of 2 characters at most 4 digits
    prefix = render_prefix(name, 0.0).encode()  # every directive has a fixed width, so any time will do
    if len(prefix) > MAX_PREFIX_BYTES:
        raise Invalid(
            Reason.KEY_TOO_LONG,
            f"the key is too long: its prefix is {len(prefix)} bytes, at most {MAX_PREFIX_BYTES} fit",
        )
    longest = max(map(len, prefix.split(b"/")))
    if longest > MAX_SEGMENT_BYTES:
        raise Invalid(
            Reason.KEY_TOO_LONG,
            f"the key is too long: a part between two '/' is {longest} bytes, at most {MAX_SEGMENT_BYTES} fit",
        )


def parse(text: str, reserved: str = "") -> Template:
    """Reads a template such as ``customer={customer}/dt={time:%Y-%m-%d}/``; raises ``TemplateError``."""
    problems = [*_token_problems(text)]
    if not problems:
        problems = [*_shape_problems(text)]
    if problems:
        raise TemplateError(problems)
    return Template(_parts(text), reserved)


def check_prefix(prefix: str, fields: Collection[str]) -> list[str]:
    """What is wrong with ``object.prefix``, given the fields of the key. Fields may stay unused."""
    try:
        template = parse(prefix)
    except TemplateError as error:
        return error.problems
    known = ", ".join(f"{{{field}}}" for field in fields) or "no field"
    return [
        f"{{{field}}} is not a field of the key, which has {known}"
        for field in template.fields()
        if field not in fields
    ]


def check_error_prefix(error_prefix: str, prefix: str) -> list[str]:
    """What is wrong with ``object.errorPrefix``, also beside ``object.prefix`` (which is checked elsewhere)."""
    try:
        template = parse(error_prefix)
    except TemplateError as error:
        return error.problems
    problems = [
        f"{{{field}}} is not known here: only {{reason}} and {{time:...}} are, a bad record has no key"
        for field in template.fields()
        if field != "reason"
    ]
    if "reason" not in template.fields():
        problems.append("needs {reason}: what is wrong tells the objects apart")
    if not template.head():
        problems.append("must begin with text, such as errors/: it keeps data and errors apart")
    elif _head(prefix).startswith(template.head()):
        problems.append(f"object.prefix begins with {template.head()!r} too: data would be among the errors")
    return problems


def _head(text: str) -> str:
    return text.partition("{")[0]


def _token_problems(text: str) -> list[str]:
    """Braces, names, time formats, characters."""
    rest = _TOKEN.sub("", text)
    problems = []
    if "{" in rest or "}" in rest:
        problems.append("a brace has no partner: fields are written {name}, times {time:%Y-%m-%d}")
    for token in _TOKEN.findall(text):
        name, colon, form = token.partition(":")
        if name == "time":
            problems += _time_problems(form)
        elif colon or not _FIELD_NAME.fullmatch(name):
            problems.append(
                f"{{{token}}} is not a field: use a name such as {{customer}}, or {{time:%Y-%m-%d}}"
            )
    unsafe = LITERAL_UNSAFE.search(rest)
    if unsafe:
        problems.append(f"the character {unsafe[0]!r} can't be used")
    return problems


def _time_problems(form: str) -> list[str]:
    if not form:
        return ["{time} needs a format, such as {time:%Y-%m-%d}; a key field can't be called time"]
    problems = [
        f"%{letter} can't be used in {{time:...}}: only digits of a fixed width are (%{' %'.join(_FIXED_WIDTH)})"
        for letter in _DIRECTIVE.findall(form)
        if not letter or letter not in _FIXED_WIDTH
    ]
    unsafe = LITERAL_UNSAFE.search(_DIRECTIVE.sub("", form))
    if unsafe:
        problems.append(f"the character {unsafe[0]!r} can't be used in {{time:...}}")
    return problems


def _shape_problems(text: str) -> list[str]:
    """Segments. The file name follows the prefix directly, so a missing '/' at the end would glue them."""
    if not text:
        return ["is empty: write at least one segment, such as data/"]
    problems = []
    if text.startswith("/"):
        problems.append("must not begin with '/': S3 keys don't, and it would make an empty segment")
    if not text.endswith("/"):
        problems.append("must end in '/': the file name follows directly")
    segments = _segments(text)
    if "" in segments[1:-1]:
        problems.append("has an empty segment: '//'")
    if "." in segments or ".." in segments:
        problems.append("'.' and '..' can't be segments")
    if any(segment.count("{") > 1 for segment in segments):
        problems.append(
            "has two fields in one segment, where two keys could give one prefix: put a '/' between"
        )
    if len(text.encode()) > MAX_PREFIX_BYTES // 2 or any(
        len(s.encode()) > MAX_SEGMENT_BYTES // 2 for s in segments
    ):
        problems.append(
            f"is too long: at most {MAX_PREFIX_BYTES // 2} bytes, {MAX_SEGMENT_BYTES // 2} between two '/'"
        )
    return problems


def _segments(text: str) -> list[str]:
    """The segments with times filled in and each field as a lone ``{``."""
    return _TOKEN.sub("{", render_prefix(text, 0.0)).split("/")


def _parts(text: str) -> tuple[Part, ...]:
    segments = _segments(text)
    whole = segments.count("{")
    # The n-th field stands in the n-th segment that has one: there is at most one a segment.
    shapes = iter([segment for segment in segments if "{" in segment])
    parts: list[Part] = []
    literal = ""
    at = 0
    for match in _TOKEN.finditer(text):
        literal += text[at : match.start()]
        at = match.end()
        if match[1].startswith("time:"):
            literal += match[0]
            continue
        shape = next(shapes)
        if literal:
            parts.append(literal)
        literal = ""
        parts.append(Field(match[1], path=shape == "{" and whole == 1, leading=shape.startswith("{")))
    literal += text[at:]
    return (*parts, literal) if literal else tuple(parts)
