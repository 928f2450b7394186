"""Types of ``spec`` to a structural schema: properties, defaults, limits, enumerations, descriptions. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from s3sink_operator.crd.pod_schemas import pod_schema
from s3sink_operator.crd.rules import RULES, kind_rules
from s3sink_operator.spec.kinds import Bounded, Embedded, Later, Text, TextKind, Whole
from s3sink_operator.spec.pods import CountOrPercent
from s3sink_operator.spec.types import Model, Spec

Schema = dict[str, Any]

_BY_NAME: Final[Schema] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
LIST_TYPES: Final[Mapping[str, Schema]] = {
    # As in a pod, so that several appliers may add to a list.
    "EnvVar": _BY_NAME,
    "Toleration": {"x-kubernetes-list-type": "atomic"},
    "TopologySpreadConstraint": {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["topologyKey", "whenUnsatisfiable"],
    },
}
MAY_BE_EMPTY: Final = ("destination.encryption",)
"""Groups with a needed field that may be written as ``{}`` all the same, for "not set"."""
LONGEST_VALUE: Final = 4096
"""Of a mapping's values that have no limit of their own: those of annotations."""
_SCALARS: Final[Mapping[type, Schema]] = {
    str: {"type": "string"},
    int: {"type": "integer", "format": "int32"},
    bool: {"type": "boolean"},
}


def spec_schema() -> Schema:
    """The schema of ``spec``."""
    return _group(Spec, "")


def written(name: str, field: FieldInfo) -> str:
    """A field's name in YAML."""
    return field.alias or name


def one_line(text: str) -> str:
    """A docstring as a description."""
    return " ".join(text.split())


def group_of(annotation: Any) -> type[Model] | None:
    """The type of a field that holds other fields, None for any other field."""
    kind, _ = bare(annotation, ())
    return kind if isinstance(kind, type) and issubclass(kind, Model) else None


def items_of(annotation: Any) -> type[Model] | None:
    """The type of the entries of a field that is a list of groups, None for any other field."""
    kind, _ = bare(annotation, ())
    return group_of(get_args(kind)[0]) if get_origin(kind) is list else None


def _group(model: type[Model], path: str) -> Schema:
    schema: Schema = {"description": one_line(inspect.getdoc(model) or ""), "type": "object"}
    needed = [written(name, field) for name, field in model.model_fields.items() if field.is_required()]
    if needed and path not in MAY_BE_EMPTY:
        schema["required"] = needed
    schema["properties"] = {
        written(name, field): _field(field, f"{path}.{written(name, field)}".removeprefix("."))
        for name, field in model.model_fields.items()
    }
    return _with_rules(schema, path, ())


def _field(field: FieldInfo, path: str) -> Schema:
    group = group_of(field.annotation)
    if group is not None:
        schema = _group(group, path)
        if field.description:
            schema["description"] = one_line(field.description)
        return {**schema, "default": {}} if isinstance(field.default, Model) else schema
    annotation, notes = bare(field.annotation, field.metadata)
    schema = {"description": one_line(field.description or ""), **_value(annotation, notes)}
    items = items_of(annotation)
    if items is not None:
        schema |= {**_BY_NAME, "items": _group(items, f"{path}[]")}
    if not field.is_required() and field.default not in (None, {}, []):
        schema["default"] = field.default
    return _with_rules(schema, path, notes)


def _with_rules(schema: Schema, path: str, notes: Sequence[Any]) -> Schema:
    rules = [rule.schema() for rule in (*kind_rules(notes), *RULES.get(path, ()))]
    return {**schema, "x-kubernetes-validations": rules} if rules else schema


def _value(annotation: Any, notes: Sequence[Any]) -> Schema:
    """The schema of a value without its description."""
    if any(isinstance(note, CountOrPercent) for note in notes):
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 4,
            "x-kubernetes-int-or-string": True,
        }
    origin = get_origin(annotation)
    if origin is Literal:
        schema: Schema = {"type": "string", "enum": list(get_args(annotation))}
    elif origin is list:
        schema = {"type": "array", "items": {}}
    elif origin is dict:
        schema = {"type": "object", "additionalProperties": _value(*bare(get_args(annotation)[1], ()))}
    else:
        schema = dict(_SCALARS.get(annotation, {}))
    for note in notes:
        schema = _limited(schema, note)
    if origin is dict and isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"].setdefault("maxLength", LONGEST_VALUE)
    return schema


def _limited(schema: Schema, note: Any) -> Schema:
    """``schema`` with what one annotation adds to it."""
    match note:
        case Whole():
            return {**schema, "minimum": note.low, "maximum": note.high}
        case Later():
            return {
                "type": "string",
                "maxLength": 32,
            }  # a rule lists the values: its message knows the later ones
        case Text(optional=False):
            return {**schema, "minLength": 1, "maxLength": note.longest}
        case TextKind():
            return {**schema, "maxLength": note.longest}
        case Bounded():
            return {**schema, ("maxItems" if schema["type"] == "array" else "maxProperties"): note.most}
        case Embedded() if schema["type"] == "array":
            return {**schema, **LIST_TYPES[note.schema], "items": dict(pod_schema(note.schema))}
        case Embedded():
            return dict(pod_schema(note.schema))
    return schema


def bare(annotation: Any, notes: Sequence[Any]) -> tuple[Any, tuple[Any, ...]]:
    """The annotation without ``None`` and ``Annotated``, and what the latter held."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        if len(kinds) == 1:
            return bare(kinds[0], notes)
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return bare(inner, (*notes, *more))
    return annotation, tuple(notes)
