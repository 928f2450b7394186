"""Rules that the API server checks at apply (CEL), and what they say. Pure.

What a schema can't say for a person to act on stands here: each rule has a message with what to write instead. A rule
that looks at several fields is guarded, so that a field that is wrong by itself gives one message, not an error of
evaluation too. Regular expressions are Go's (RE2); what only Python can tell is left to ``spec.parse``.

The API server estimates what each rule may cost and refuses a CRD whose rules may cost too much. So everything that
rules look at has a length, and a group with ``default: {}`` has no rule of its own that needs the defaults of its
fields: the API server asks it about ``{}``, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from s3sink_operator.crd.rules import across, destination, key, labels, objects, pods
from s3sink_operator.crd.rules.rule import Rule, kind_rules, matches
from s3sink_operator.names import MAX_SINK_NAME
from s3sink_operator.spec.parse import NAME_PATTERN

__all__ = ["ROOT", "RULES", "Rule", "kind_rules"]

ROOT: Final = (
    Rule(
        f"self.metadata.name.size() <= {MAX_SINK_NAME}",
        f"names of pods are made of it; write at most {MAX_SINK_NAME} characters",
        field=".metadata.name",
    ),
    Rule(
        matches("self.metadata.name", NAME_PATTERN),
        "it can't name a Service; write a-z, 0-9 and '-', beginning with a letter and ending with a letter or digit",
        field=".metadata.name",
    ),
)
"""Of the whole object."""

RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "": across.SPEC,
    **destination.RULES,
    **key.RULES,
    **objects.RULES,
    **pods.RULES,
    **labels.RULES,
}
"""By the path, below ``spec``, of the field that they stand at."""
