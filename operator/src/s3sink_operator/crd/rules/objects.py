"""Rules about objects and their names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from s3sink_operator.crd.rules.rule import Rule, matches, text
from s3sink_operator.spec import templates
from s3sink_operator.spec.types import PARQUET_LATER
from s3sink_operator.units import DURATION_PATTERN

_UNSAFE = "\"#%'*?\\\\\\[\\]^\\x00-\\x1f\\x7f-\\x9f"
_BALANCED = matches("self", r"([^{}]|\{[^{}]*\})*")
_TEMPLATE = (
    Rule(_BALANCED, "a brace has no partner; write fields as {name} and times as {time:%Y-%m-%d}"),
    Rule(
        "!self.matches('[{]time:?[}]')",
        "{time} needs a format; write one such as {time:%Y-%m-%d}",
    ),
    Rule(
        f"!{_BALANCED} || " + matches("self", r"([^{}]|\{([A-Za-z_][A-Za-z0-9_]*|time:[^{}]*)\})*"),
        "a field's name has letters, digits and _; write fields as {name} and times as {time:%Y-%m-%d}",
    ),
    Rule(
        f"!{_BALANCED} || "
        + matches("self", rf"([^{{}}]|\{{[^:{{}}]*\}}|\{{time:([^%{{}}]|%[{templates.DIRECTIVES}])*\}})*"),
        f"only digits of a fixed width make good names; write %{' %'.join(templates.DIRECTIVES)} in {{time:...}}",
    ),
    Rule(
        f"!{_BALANCED} || ("
        + matches("self", rf"([^{{}}{_UNSAFE}]|\{{[^{{}}]*\}})*")
        + f" && !self.matches({text(r'{time:[^{}]*[' + _UNSAFE.replace('%', '') + r'][^{}]*}')}))",
        "a character can't be used; take out \" # % ' * ? \\ [ ] ^ and control characters (% is for {time:...})",
    ),
    Rule("!self.startsWith('/')", "S3 keys don't begin with '/'; take it out"),
    Rule("self.endsWith('/')", "the file name follows directly; write a '/' at the end"),
    Rule("!self.contains('//')", "has an empty segment; write a single '/'"),
    Rule(
        "!('/' + self).contains('/./') && !('/' + self).contains('/../')",
        "'.' and '..' can't be segments; take them out",
    ),
    Rule(
        "!self.matches('[{][A-Za-z0-9_]+[}][^/]*[{][A-Za-z0-9_]+[}]')",
        "two fields in one segment could give one prefix for two keys; write a '/' between them",
    ),
)  # fmt: skip
_ERROR_PREFIX = (
    Rule(
        "self.contains('{reason}')", "what is wrong tells the objects apart; write {reason} somewhere in it"
    ),
    Rule(
        "!self.replace('{reason}', '').matches('[{][A-Za-z0-9_]+[}]')",
        "a bad record has no key; write only {reason} and {time:...}",
    ),
    Rule(
        "!self.startsWith('{')", "text keeps data and errors apart; write some at the start, such as errors/"
    ),
)
_OBJECT = (
    Rule(
        "!has(self.level) || (self.compression == 'gzip' ? self.level <= 3 :"
        " self.compression == 'zstd' ? self.level >= 1 : false)",
        "self.compression == 'gzip' ? 'gzip has levels 0 to 3; write one of them' :"
        " self.compression == 'zstd' ? 'zstd has levels 1 to 19; write one of them' :"
        " 'no compression, no levels; take it out'",
        computed=True,
        field=".level",
    ),
    Rule(
        "!has(self.prefix) || !self.prefix.split('{')[0].startsWith(self.errorPrefix.split('{')[0])",
        "object.prefix begins like it; write another beginning: data would be among the errors",
        field=".errorPrefix",
    ),
)
_FORMAT = (
    Rule(
        "self == 'Lines'",
        f"self == 'Parquet' ? {text(PARQUET_LATER)} : 'not a format; write Lines'",
        computed=True,
    ),
)

_MAX_AGE = f"[self.window, self.maxAge].all(d, {matches('d', DURATION_PATTERN)})"
_BATCH = (
    Rule(
        f"!has(self.maxAge) || !{_MAX_AGE} || duration(self.maxAge) <= duration(self.window)",
        '"an object ends with its window anyway; write at most \'" + self.window + "\', or take it out"',
        computed=True,
        field=".maxAge",
    ),
)

RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "batch": _BATCH,
    "object": _OBJECT,
    "object.prefix": _TEMPLATE,
    "object.errorPrefix": (*_TEMPLATE, *_ERROR_PREFIX),
    "object.format": _FORMAT,
}
