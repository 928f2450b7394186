"""A spec that the operator accepts is never refused by the ingester: limits and rules of the two are compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from s3sink_ingester.config import kinds as theirs
from s3sink_ingester.config import loads
from s3sink_ingester.config.fields import settings_of
from s3sink_ingester.config.settings import Settings
from s3sink_ingester.config.units import parse_duration, parse_quantity
from s3sink_ingester.errors import ConfigError
from s3sink_operator import units
from s3sink_operator.crd.schema import bare, group_of, written
from s3sink_operator.errors import SpecError
from s3sink_operator.manifests.settings import text
from s3sink_operator.spec import Spec, kinds, parse

from tests.cluster.cel_cases import CASES, Case, changed, key
from tests.cluster.cel_made_up import BUCKETS, ENDPOINTS, NAMES, POINTERS, REGEXES, TEMPLATES

SAMPLES = sorted((Path(__file__).parents[2] / "docs" / "samples").glob("*.yaml"))
ENV = {"POD_NAME": "case-s3sink-0"}


def ingester_problems(spec: Spec) -> list[str]:
    try:
        loads(text(spec, spec.buffer.size), ENV)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def operator_problems(manifest: dict[str, Any]) -> list[str]:
    try:
        parse(manifest)
    except SpecError as error:
        return list(error.problems)
    return []


def agree(manifest: dict[str, Any]) -> None:
    """Both accept, or the operator refuses."""
    if not operator_problems(manifest):
        assert ingester_problems(parse(manifest)) == []


def agree_exactly(manifest: dict[str, Any]) -> None:
    """Both accept or both refuse. What the operator refuses is shown to the ingester unread."""
    refused = operator_problems(manifest)
    if not refused:
        assert ingester_problems(parse(manifest)) == []
        return
    plain = {
        name: value for name, value in manifest["spec"].items() if name not in ("replicas", "podTemplate")
    }
    with pytest.raises(ConfigError):
        loads(yaml.safe_dump(plain), ENV)


@pytest.mark.parametrize(
    "case", [case for case in CASES if not (case.refused or case.late)], ids=lambda case: case.title
)
def test_cases_that_are_accepted(case: Case) -> None:
    assert ingester_problems(parse(case.manifest())) == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_samples(sample: Path) -> None:
    assert ingester_problems(parse(yaml.safe_load(sample.read_text()))) == []


# ---- limits


def fields(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, field in model.model_fields.items():
        at = f"{path}.{written(name, field)}".removeprefix(".")
        group = group_of(field.annotation)
        if group is not None:
            yield from fields(group, at)
        else:
            yield at, bare(field.annotation, field.metadata)[1]


def their_kinds(group: type, path: str = "") -> Iterator[tuple[str, theirs.Kind]]:
    for setting in settings_of(group).values():
        at = f"{path}.{setting.written}".removeprefix(".")
        if setting.group is not None:
            yield from their_kinds(setting.group, at)
        elif setting.kind is not None:
            yield at, setting.kind


BOUNDED = (kinds.Size, kinds.Duration, kinds.Whole)
OURS = {path: notes[0] for path, notes in fields(Spec) if notes and isinstance(notes[0], BOUNDED)}
THEIRS = dict(their_kinds(Settings))
SHARED = sorted(OURS.keys() & THEIRS.keys())


def bounds(kind: object) -> tuple[float, float]:
    match kind:
        case kinds.Size():
            return units.parse_size(kind.low), units.parse_size(kind.high)
        case kinds.Duration():
            return units.parse_duration(kind.low), units.parse_duration(kind.high)
        case theirs.Quantity():
            return parse_quantity(kind.low), parse_quantity(kind.high)
        case theirs.Duration() | theirs.WholeSeconds():
            return parse_duration(kind.low), parse_duration(kind.high)
        case kinds.Whole() | theirs.Whole():
            return kind.low, kind.high
    raise AssertionError(f"{kind} has no bounds")


@pytest.mark.parametrize("path", SHARED)
def test_limits_are_the_same(path: str) -> None:
    assert bounds(OURS[path]) == bounds(THEIRS[path])
    assert getattr(OURS[path], "whole", False) == isinstance(THEIRS[path], theirs.WholeSeconds)


def test_there_are_limits_to_compare() -> None:
    assert len(SHARED) >= 9


# ---- notations

SUFFIXES = ["", *units.SIZE_UNITS, "B", "Pi"]
NUMBERS = st.one_of(st.integers(0, 10**4), st.integers(0, 10**16)).map(str)


@given(
    st.one_of(
        st.tuples(NUMBERS, st.sampled_from(["", *units.SIZE_UNITS, "B", "Pi"])).map("".join),
        st.text(max_size=6),
    )
)
@settings(deadline=None)
def test_sizes_mean_the_same(size: str) -> None:
    try:
        ours = units.parse_size(size)
    except ValueError:
        return
    assert ours == parse_quantity(size)


@given(
    st.lists(
        st.tuples(NUMBERS, st.sampled_from(["h", "m", "s", "ms", "d", ""])).map("".join), max_size=4
    ).map("".join)
)
@settings(deadline=None)
def test_durations_mean_the_same(duration: str) -> None:
    try:
        ours = units.parse_duration(duration)
    except ValueError:
        return
    assert ours == parse_duration(duration)


# ---- rules


@given(prefix=TEMPLATES.filter(bool), errors=TEMPLATES.filter(bool))
@settings(max_examples=200, deadline=None)
@example("{path}/", "errors/{reason}/{time:%Y}/")
@example("errors/{path}/", "errors/{reason}/")
@example("x" * 130 + "/", "errors/{reason}/")
@example("é" * 60 + "/" + "é" * 60 + "/{path}/", "errors/{reason}/")
@example(("x" * 100 + "/") * 4 + "é" * 7 + "/", "errors/{reason}/")
def test_templates(prefix: str, errors: str) -> None:
    pointers = {"a": "/a", "b": "/b", "path": "/p"}
    for change in (
        {"spec.object.prefix": prefix},
        {"spec.object.prefix": "{a}/", "spec.object.errorPrefix": errors},
    ):
        agree_exactly(changed({**key(jsonPointers=pointers), **change}))


@given(REGEXES)
@settings(max_examples=200, deadline=None)
@example(r"/^(?<path>\S+)$/m")
@example("(?P<path>a)" * 101)
@example("(?P<content>.+)")
@example("(?P<time>.+)")
def test_regular_expressions(regex: str) -> None:
    agree_exactly(changed(key(regex=regex)))


@given(st.dictionaries(NAMES, POINTERS, max_size=3))
@settings(deadline=None)
def test_json_pointers(pointers: dict[str, str]) -> None:
    agree(changed(key(jsonPointers=pointers)))


@given(NAMES)
@settings(deadline=None)
def test_headers(name: str) -> None:
    agree_exactly(changed(key(header=name)))


@given(BUCKETS, st.sampled_from(["Auto", "Path", "Virtual"]))
@settings(deadline=None)
def test_buckets(bucket: str, style: str) -> None:
    agree_exactly(changed({"spec.destination.bucket": bucket, "spec.destination.addressingStyle": style}))


@given(
    ENDPOINTS,
    st.sampled_from(["", "us-east-1", "us-east-1a", "Zone_1", "-"]),
    st.sampled_from(["", "STANDARD_IA", "fast", "no class"]),
)
@settings(max_examples=200, deadline=None)
def test_endpoints(endpoint: str, region: str, storage_class: str) -> None:
    change = {"endpoint": endpoint, "region": region, "storageClass": storage_class, "bucket": "events"}
    agree(changed({f"spec.destination.{name}": value for name, value in change.items()}))


@given(
    size=st.integers(1, 4000).map(lambda number: f"{number}Mi"),
    object_size=st.integers(1, 1000).map(lambda number: f"{number}Mi"),
    request_size=st.integers(1, 512).map(lambda number: f"{number}Mi"),
    percent=st.integers(10, 99),
)
@settings(deadline=None)
@example("310Mi", "25Mi", "32Mi", 85)
@example("309Mi", "25Mi", "32Mi", 85)
def test_room(size: str, object_size: str, request_size: str, percent: int) -> None:
    change = {
        "spec.buffer.size": size,
        "spec.buffer.highWatermarkPercent": percent,
        "spec.batch.maxBytes": object_size,
        "spec.source.maxRequestBytes": request_size,
    }
    manifest = changed(change)
    refused = [problem for problem in operator_problems(manifest) if "too small for" in problem]
    # What the ingester says to the same settings, whatever the operator says.
    said = [line for line in ingester_problems(Spec.model_validate(manifest["spec"])) if "too small" in line]
    assert bool(refused) == bool(said)


@given(st.sampled_from(["gzip", "zstd", "none"]), st.none() | st.integers(-1, 20))
@settings(deadline=None)
def test_levels(compression: str, level: int | None) -> None:
    change: dict[str, object] = {"spec.object.compression": compression}
    if level is not None:
        change["spec.object.level"] = level
    agree(changed(change))
