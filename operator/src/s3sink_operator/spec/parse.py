"""From an S3Sink as the API server has it to its spec, or to every problem that it has. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from s3sink_operator.errors import SpecError
from s3sink_operator.names import MAX_SINK_NAME
from s3sink_operator.spec.checks import Problem, contradictions
from s3sink_operator.spec.types import Spec

NAME_PATTERN: Final = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_KINDS: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
}
_STAND_INS: Final[Mapping[str, Any]] = {
    "destination": {"bucket": "none"},
    "destination.bucket": "none",
    "partitioning": {},
}
"""For what is needed and missing or wrong, so that the rest can be judged."""
_MAX_REPAIRS: Final = 5


def parse(sink: Mapping[str, Any]) -> Spec:
    """The spec of an S3Sink.

    Raises SpecError with every problem, each with its path: ``spec.batch.maxBytes: ...; write at least '1Ki'``.
    """
    document = sink.get("spec") or {}
    problems = [("metadata.name", message) for message in _name_problems(sink["metadata"]["name"])]
    try:
        spec = Spec.model_validate(document)
    except ValidationError as error:
        found = [problem for details in error.errors() for problem in _problems(details)]
        repaired = _repaired(document, error)
        if repaired is not None:
            found += contradictions(repaired, {path for path, _ in found})
    else:
        found = list(contradictions(spec, ()))
    problems += [(f"spec.{path}" if path else "spec", message) for path, message in found]
    if problems:
        raise SpecError([f"{path}: {message}" for path, message in problems])
    return spec


def _name_problems(name: str) -> Iterator[str]:
    if len(name) > MAX_SINK_NAME:
        yield f"has {len(name)} characters; write at most {MAX_SINK_NAME}: names of pods are made of it"
    if not re.fullmatch(NAME_PATTERN, name):
        yield f"{name!r} can't name a Service; write a-z, 0-9 and '-', beginning with a letter"


def _problems(details: ErrorDetails) -> Sequence[Problem]:
    path, kind = _path(details["loc"]), details["type"]
    if kind == "value_error":
        return [(path, str(message)) for message in details["ctx"]["error"].args]
    if kind == "missing":
        return [(path, "is needed; write it")]
    if kind == "extra_forbidden":
        return [(path, "is not known to this version of the operator; take it out, or upgrade the operator")]
    if kind == "literal_error":
        return [(path, f"{_shown(details['input'])} is not allowed; write {details['ctx']['expected']}")]
    if kind in _KINDS:
        return [(path, f"{_shown(details['input'])} is not {_KINDS[kind]}; write {_KINDS[kind]}")]
    return [(path, details["msg"])]


def _path(loc: Sequence[int | str]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _repaired(document: Any, error: ValidationError) -> Spec | None:
    """The spec without what is wrong with it; None if that leaves nothing to judge."""
    document = copy.deepcopy(document)
    for _ in range(_MAX_REPAIRS):
        if not isinstance(document, dict):
            return None
        for details in error.errors():
            _take_out(document, details["loc"])
        try:
            return Spec.model_validate(document)
        except ValidationError as next_error:
            error = next_error
    return None


def _take_out(document: dict[str, Any], loc: Sequence[int | str]) -> None:
    """Takes the value at ``loc`` out. Where it is missing, puts a stand-in there or takes out what lacks it."""
    path = _path(loc)
    *parents, last = loc
    holder: Any = document
    for part in parents:
        try:
            holder = holder[part]
        except (KeyError, IndexError):
            return  # gone with another mistake
    if path in _STAND_INS:
        holder[last] = copy.deepcopy(_STAND_INS[path])
    elif isinstance(holder, dict) and last in holder:
        del holder[last]
    elif parents:
        _take_out(document, parents)
