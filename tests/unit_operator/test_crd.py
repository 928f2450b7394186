"""The CRD and its page are as the types say, and structural."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from s3sink_operator.crd import definition, manifest
from s3sink_operator.crd.reference import reference
from s3sink_operator.crd.rules import ROOT, RULES
from s3sink_operator.crd.schema import MAY_BE_EMPTY, group_of, written
from s3sink_operator.spec import Spec

ROOT_FOLDER = Path(__file__).parents[2]
VERSION = definition()["spec"]["versions"][0]
SCHEMA: Mapping[str, Any] = VERSION["schema"]["openAPIV3Schema"]
SPEC: Mapping[str, Any] = SCHEMA["properties"]["spec"]
OF_PODS = ("podTemplate.resources", "podTemplate.tolerations", "podTemplate.affinity", "podTemplate.env",
           "podTemplate.topologySpreadConstraints")  # fmt: skip


def schemas(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema below one, with its path; items and values as ``[]``."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from schemas(field, f"{path}.{name}".removeprefix("."))
    for part in ("items", "additionalProperties"):
        if part in schema:
            yield from schemas(schema[part], f"{path}[]")


def fields(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of the types with its default as JSON; ``...`` where there is none."""
    for name, field in model.model_fields.items():
        at = f"{path}.{written(name, field)}".removeprefix(".")
        default = (
            field.default.model_dump(by_alias=True) if isinstance(field.default, BaseModel) else field.default
        )
        yield at, ... if field.is_required() else default
        group = group_of(field.annotation)
        if group is not None:
            yield from fields(group, at)


def filled(schema: Mapping[str, Any]) -> Any:
    """What the API server makes of a group that is left out: null where that has no default."""
    if "default" in schema and "properties" in schema:
        return {name: filled(field) for name, field in schema["properties"].items()}
    return schema.get("default")


BELOW_SPEC = dict(schemas(SPEC))
OURS = {
    path: schema
    for path, schema in schemas(SCHEMA)
    if not path.startswith(tuple(f"spec.{at}" for at in OF_PODS))
}


@pytest.mark.parametrize(
    ("path", "made", "command"),
    [
        ("crds/s3sinks.s3sink.dev.yaml", manifest, []),
        ("docs/s3sink.md", reference, ["reference"]),
    ],
)
def test_what_is_committed_is_what_the_types_say(path: str, made: Any, command: list[str]) -> None:
    committed = (ROOT_FOLDER / path).read_text(encoding="utf-8")
    said = f"write it: python -m s3sink_operator.crd {' '.join(command)} > {path}"
    assert committed == made(), said
    done = subprocess.run(
        [sys.executable, "-m", "s3sink_operator.crd", *command],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout == committed


def test_the_file_is_the_definition() -> None:
    assert yaml.safe_load(manifest()) == yaml.safe_load(yaml.safe_dump(definition()))


def test_defaults_are_those_of_the_types() -> None:
    for path, default in fields(Spec):
        schema = BELOW_SPEC[path]
        parent, _, name = path.rpartition(".")
        needed = name in BELOW_SPEC[parent].get("required", ())
        if default is ...:
            assert needed or parent in MAY_BE_EMPTY, path
            assert "default" not in schema, path
        else:
            assert not needed, path
            assert without_nothing(filled(schema)) == without_nothing(default), path


def without_nothing(value: Any) -> Any:
    """Left out, null and an empty list or mapping are one."""
    if isinstance(value, dict):
        kept = {name: without_nothing(inner) for name, inner in value.items()}
        value = {name: inner for name, inner in kept.items() if inner is not None}
    return None if value in ({}, []) else value


def test_every_field_of_the_types_is_there_and_no_other() -> None:
    below_pods = tuple(f"{at}." for at in OF_PODS)
    assert {path for path, _ in fields(Spec)} == {
        path for path in BELOW_SPEC if path and "[]" not in path and not path.startswith(below_pods)
    }


def test_everything_is_described() -> None:
    for path, schema in OURS.items():
        if "." in path and not path.endswith("[]") and path != "metadata.name":
            assert schema["description"].endswith((".", "`")), path
            assert "\n" not in schema["description"], path


def test_everything_has_a_bound() -> None:
    """What has none makes rules cost too much, and lets an object grow as large as etcd takes it."""
    bounds = {
        "string": {"enum", "maxLength", "format"},
        "array": {"maxItems"},
        "integer": {"minimum"},
        "object": {"properties", "maxProperties"},
    }
    for path, schema in OURS.items():
        if path not in ("apiVersion", "kind", "metadata") and "type" in schema:
            assert schema.keys() & bounds.get(schema["type"], schema.keys()), path


def test_the_schema_is_structural() -> None:
    for path, schema in schemas(SCHEMA):
        assert not schema.keys() & {"$ref", "oneOf", "allOf", "not", "nullable"}, path
        assert not schema.keys() >= {"properties", "additionalProperties"}, path
        if "anyOf" in schema:
            assert schema["x-kubernetes-int-or-string"] is True, path
            assert schema["anyOf"] == [{"type": "integer"}, {"type": "string"}], path
        else:
            assert "type" in schema, path


def test_every_rule_stands_at_a_field() -> None:
    assert RULES.keys() <= BELOW_SPEC.keys()
    for path, rules in RULES.items():
        for rule in rules:
            assert f"{path}{rule.field}".removeprefix(".") in BELOW_SPEC


def test_every_message_says_what_to_write_instead() -> None:
    for rule in [*ROOT, *(rule for rules in RULES.values() for rule in rules)]:
        assert any(word in rule.message for word in ("write", "take", "name the Secret")), rule.message


def test_names_columns_and_subresources() -> None:
    spec = definition()["spec"]
    assert definition()["metadata"]["name"] == "s3sinks.s3sink.dev"
    assert spec["names"]["shortNames"] == ["s3s"]
    assert spec["scope"] == "Namespaced"
    columns = VERSION["additionalPrinterColumns"]
    assert [column["name"] for column in columns if not column.get("priority")] == [
        "Ready", "Reason", "Replicas", "Desired", "Buffered", "Oldest", "Age",
    ]  # fmt: skip
    assert [column["name"] for column in columns if column.get("priority")] == ["Bucket", "Image"]
    assert VERSION["subresources"]["scale"]["labelSelectorPath"] == ".status.selector"
    paths = {column["jsonPath"].partition("[")[0].removeprefix(".") for column in columns}
    assert paths <= {path for path, _ in schemas(SCHEMA)} | {"metadata.creationTimestamp"}
