"""How keys are found, as ``records`` judges it. Pure.

``records`` owns the rules; here its messages become ValueErrors of a field's kind, one argument a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from s3sink_ingester import records
from s3sink_ingester.config import shapes
from s3sink_ingester.config.words import quote

# As Ruby, and so fluentd, writes them.
_BETWEEN_SLASHES: Final = re.compile(r"/(.*)/[a-z]*", re.DOTALL)
_RUBY_GROUP: Final = re.compile(r"\(\?<(?=[A-Za-z_])")


def regex(text: str) -> None:
    """A regular expression for bytes that names what the key is."""
    literal = _BETWEEN_SLASHES.fullmatch(text)
    if literal:
        bare = _RUBY_GROUP.sub("(?P<", literal[1])
        raise ValueError(
            f"{quote(text)} stands between slashes; write {quote(bare)}; '.' matches line ends too"
        )
    _refuse(records.check_regex(text))
    if not records.key_fields(records.Partitioning(regex=text)):
        raise ValueError(
            r"names only what is stored; name the key too, as in '^(?P<path>\S+) (?P<content>.+)$'"
        )


def json_pointers(pointers: Mapping[str, str]) -> None:
    _refuse(records.check_json_pointers(pointers))


def header(text: str) -> None:
    """A header's name by ``records``' rules, and not one that has a meaning in HTTP."""
    _refuse(records.check_header(text))
    shapes.chosen_header(text)


def _refuse(messages: Sequence[str]) -> None:
    if messages:
        raise ValueError(*messages)
