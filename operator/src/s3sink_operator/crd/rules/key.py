"""Rules about how a record's key is found. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from s3sink_operator.crd.rules.rule import Rule, matches, text
from s3sink_operator.spec import shapes

_RUBY_GROUP = "(^|[^\\\\])[(][?]<[A-Za-z_]"
_GROUPS = "findAll('[(][?]P<[A-Za-z_][A-Za-z0-9_]*>')"
_PARTITIONING = (
    Rule(
        "[has(self.regex), has(self.jsonPointers), has(self.header), self.urlPath].filter(x, x).size() == 1",
        "exactly one finds a record's key; write one of regex, jsonPointers, header and urlPath: true",
    ),
)
_REGEX = (
    Rule(
        "!self.matches('^(?s)/.*/[a-z]*$')",
        "stands between slashes, as in Ruby; take them and what follows out: '.' matches line ends too",
    ),
    Rule(
        "self.matches('^[\\\\x00-\\\\x7f]*$')",
        "only ASCII can be used: records are matched as bytes; write other characters as \\xNN bytes",
    ),
    Rule(
        f"!self.matches({text(_RUBY_GROUP)})",
        "(?<name>...) is Ruby's; write (?P<name>...)",
    ),
    Rule(
        f"self.matches({text(_RUBY_GROUP)}) || self.{_GROUPS}.exists(g, g != '(?P<content>')",
        "needs a named group that is the key; write one, as in '^(?P<path>\\S+) (?P<content>.+)$'; `content` is only"
        " what is stored",
    ),
)
_JSON_POINTERS = (
    Rule("self.size() > 0", "empty; write at least one field, such as customer: /customer_id"),
    Rule(
        "self.all(k, k.matches('^[A-Za-z_][A-Za-z0-9_]{0,62}$') && k != 'time')",
        "a field's name has letters, digits and _, 63 at most, and is not time; write one such as customer",
    ),
    Rule(
        "self.all(k, self[k].startsWith('/') && !self[k].matches('~([^01]|$)'))",
        "a JSON Pointer begins with '/', and has ~0 for '~' and ~1 for '/' in a name; write one such as /customer_id",
    ),
)
_HEADER = (
    Rule(
        matches("self", shapes.HEADER_PATTERN),
        "not the name of an HTTP header; write one such as 'X-Shard-Key'",
    ),
    Rule(
        f"!(self.lowerAscii() in [{', '.join(text(name) for name in shapes.FRAMING_HEADERS)}])",
        "has a meaning of its own in HTTP; write another one, such as 'X-Shard-Key'",
    ),
)

RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "partitioning": _PARTITIONING,
    "partitioning.regex": _REGEX,
    "partitioning.jsonPointers": _JSON_POINTERS,
    "partitioning.header": _HEADER,
}
