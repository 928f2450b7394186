"""Rules about labels and annotations. Pure.

Without them a wrong one would be accepted here and refused where the operator puts it: on a pod, a Service. Messages
name the first that is wrong, since the field's path is that of the whole mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from s3sink_operator.crd.rules.rule import Rule, matches, text
from s3sink_operator.spec import labels


def _each(good: str, what: str, advice: str) -> Rule:
    """``good``: an expression about the name ``k``, true if it and its value are right."""
    wrong = f"self.filter(k, !({good}))[0]"
    return Rule(
        f"self.all(k, {good})", f"{text(f'{what}: ')} + {wrong} + {text(f'; {advice}')}", computed=True
    )


def _names(pattern: str, what: str) -> Rule:
    good = f"{matches('k', pattern)} && k.indexOf('/') <= {labels.LONGEST_DOMAIN}"
    return _each(good, what, labels.NAME_ADVICE)


_OURS = " || ".join(f"k.startsWith('{domain}')" for domain in labels.OUR_DOMAINS)
_NOT_OURS = Rule(
    f"self.all(k, !({_OURS}))",
    f"set by the operator; take out those that begin with {' or '.join(labels.OUR_DOMAINS)}",
)
_LABELS = (
    _names(labels.LABEL_PATTERN, "no label has such a name"),
    _each(
        f"self[k] == '' || {matches('self[k]', labels.NAME_PATTERN)}",
        "no label has such a value as that of",
        labels.VALUE_ADVICE,
    ),
)
_ANNOTATIONS = (
    _names(labels.ANNOTATION_PATTERN, "no annotation has such a name"),
    Rule(
        f"self.map(k, bytes(k).size() + bytes(self[k]).size()).sum() <= {labels.MOST_BYTES}",
        f"too long together; {labels.SIZE_ADVICE}",
    ),
)

RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "podTemplate.labels": (_NOT_OURS, *_LABELS),
    "podTemplate.annotations": (_NOT_OURS, *_ANNOTATIONS),
    "podTemplate.nodeSelector": _LABELS,
    "service.annotations": (_NOT_OURS, *_ANNOTATIONS),
    "monitoring.labels": (_NOT_OURS, *_LABELS),
}
