"""Fields that don't belong in the settings: what to say about each. Pure.

Three sorts: credentials, which are never read from a file; fields of an S3Sink that the operator acts on or that
this version doesn't know yet; and misspelt ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from s3sink_ingester.config.words import nearest
from s3sink_ingester.errors import Problem

MANIFEST_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
OPERATORS_FIELDS: Final = frozenset({
    "replicas", "podTemplate", "service", "podDisruptionBudget", "autoscaling", "networkPolicy", "monitoring",
    "buffer.storageClassName", "buffer.whenScaled", "buffer.whenDeleted", "source.auth.secretRef",
    "source.tls.secretRef",
})  # fmt: skip
LATER_FIELDS: Final = {
    "source.firehose": "not in this version; take it out",
}
NO_CREDENTIALS: Final = (
    "credentials are never read from the settings; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    " in the environment, or use a workload identity"
)

_CREDENTIAL_NAME: Final = re.compile(
    r"credential|secret|password|passwd|token|access_?-?key|api_?-?key|private_?-?key", re.IGNORECASE
)
_ACCESS_KEY: Final = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")
_USERS_NAMES: Final = "partitioning.jsonPointers"  # its names are fields of the user's records


def is_manifest(document: Mapping[str, object]) -> bool:
    """Whether this is a whole S3Sink and not an ingester's settings."""
    return "spec" in document and bool({"apiVersion", "kind"} & document.keys())


def without_credentials(
    document: Mapping[str, object], path: str = ""
) -> tuple[dict[str, object], list[Problem]]:
    """The document without what looks like a credential, and a problem for each; their values are never shown."""
    kept: dict[str, object] = {}
    problems: list[Problem] = []
    for name, value in document.items():
        at = f"{path}.{name}" if path else name
        named = (
            path != _USERS_NAMES and at not in OPERATORS_FIELDS and _CREDENTIAL_NAME.search(name) is not None
        )
        if named or any(_ACCESS_KEY.search(text) for text in _texts(value)):
            problems.append(Problem(at, NO_CREDENTIALS))
        else:
            kept[name] = value
    return kept, problems


def advice(path: str, name: str, known: list[str], everywhere: Mapping[str, list[str]]) -> str:
    """What to say about the unknown field ``path``, which ends in ``name``.

    ``known``: the names that its group has. ``everywhere``: name of a field to the paths that end in it.
    """
    if path in OPERATORS_FIELDS:
        return "belongs to the S3Sink, not to the ingester's settings; take it out"
    if path in LATER_FIELDS:
        return LATER_FIELDS[path]
    group, dot, field = name.partition(".")
    if dot and group in known:
        return f"unknown field; groups are nested: write {group}: and, indented below it, {field}:"
    meant = nearest(name, known)
    if meant:
        return f"unknown field; did you mean '{meant}'?"
    elsewhere = nearest(name, everywhere)
    if elsewhere:
        return f"unknown field; did you mean '{everywhere[elsewhere][0]}'?"
    return f"unknown field; known here: {', '.join(known)}"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
