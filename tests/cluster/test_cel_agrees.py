"""The API server's rules refuse nothing that the operator takes: made-up values, asked of a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from s3sink_operator.errors import SpecError
from s3sink_operator.spec import parse

from tests.cluster.cel_cases import Case, Change, key
from tests.cluster.cel_made_up import (
    BUCKETS,
    ENDPOINTS,
    LABEL_NAMES,
    LABEL_VALUES,
    NAMES,
    POINTERS,
    REGEXES,
    TEMPLATES,
)
from tests.cluster.cel_table import answer
from tests.rig.kubeapi import CONFIG_MAPS, ApiError

if TYPE_CHECKING:
    from tests.rig.controlplane import ControlPlane

# The control plane is for the whole session, and only asked.
asked = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def agree(control_plane: ControlPlane, change: Change) -> None:
    """The API server accepts, or the operator refuses too; and no rule fails instead of answering."""
    case = Case("", change)
    said = answer(control_plane, case)
    assert "rule evaluation error" not in said
    try:
        parse(case.manifest())
    except SpecError:
        return
    assert said == ""


@asked
@given(prefix=TEMPLATES.filter(bool), errors=TEMPLATES.filter(bool))
def test_templates(control_plane: ControlPlane, prefix: str, errors: str) -> None:
    pointers = key(jsonPointers={"a": "/a", "b": "/b", "path": "/p"})
    agree(control_plane, {**pointers, "spec.object.prefix": prefix})
    agree(control_plane, {**pointers, "spec.object.prefix": "{a}/", "spec.object.errorPrefix": errors})


@asked
@given(regex=REGEXES)
def test_regular_expressions(control_plane: ControlPlane, regex: str) -> None:
    agree(control_plane, {**key(regex=regex), "spec.object.prefix": "{path}/"})


@asked
@given(name=NAMES, pointer=POINTERS)
def test_pointers_and_headers(control_plane: ControlPlane, name: str, pointer: str) -> None:
    agree(control_plane, key(jsonPointers={name: pointer}))
    agree(control_plane, key(header=name))


@asked
@given(bucket=BUCKETS, endpoint=ENDPOINTS)
def test_destinations(control_plane: ControlPlane, bucket: str, endpoint: str) -> None:
    agree(control_plane, {"spec.destination.bucket": bucket})
    agree(control_plane, {"spec.destination.bucket": "events", "spec.destination.endpoint": endpoint})


def kubernetes_takes(control_plane: ControlPlane, **metadata: dict[str, str]) -> bool:
    """Whether an object may have these labels or annotations."""
    manifest = {"metadata": {"name": "labelled", **metadata}}
    try:
        control_plane.api.request("POST", CONFIG_MAPS.path("default"), manifest, dryRun="All")
    except ApiError:
        return False
    return True


@asked
@given(name=LABEL_NAMES, value=LABEL_VALUES)
def test_labels_and_annotations_are_those_of_kubernetes(
    control_plane: ControlPlane, name: str, value: str
) -> None:
    entry = {name: value}
    for kind, field in (("labels", "podTemplate.nodeSelector"), ("annotations", "service.annotations")):
        agree(control_plane, {f"spec.{field}": entry})
        said = answer(control_plane, Case("", {f"spec.{field}": entry}))
        assert (said == "") == kubernetes_takes(control_plane, **{kind: entry}), said


def test_the_longest_values_can_be_judged(control_plane: ControlPlane) -> None:
    """Rules have a budget at run time too."""
    groups = "".join(f"(?P<f{number}>.)" for number in range(90))
    change: Change = {
        "metadata.name": "a" * 45,
        "spec.destination.endpoint": "https://" + ".".join(["a" * 60] * 4) + ":9000/" + "b" * 240,
        "spec.destination.credentials": {"secretRef": {"name": "a." * 126 + "a"}},
        "spec.destination.encryption": {"type": "aws:kms", "kmsKeyId": "k" * 2048},
        "spec.partitioning.regex": groups + "." * (1024 - len(groups)),
        "spec.object.prefix": "".join(f"{{f{number}}}/" for number in range(70)),
        "spec.object.errorPrefix": "e/" * 200 + "{reason}/",
        "spec.podTemplate.labels": {f"{'l' * 200}{number}/x": "y" * 63 for number in range(64)},
        "spec.podTemplate.annotations": {f"{'l' * 200}{number}/x": "y" * 3700 for number in range(64)},
        "spec.podTemplate.nodeSelector": {f"{'l' * 200}{number}/x": "y" * 63 for number in range(64)},
        "spec.service.annotations": {f"{'l' * 200}{number}/x": "y" * 2048 for number in range(64)},
        "spec.podTemplate.imagePullSecrets": [
            {"name": f"{number}" + "a." * 125 + "a"} for number in range(10, 26)
        ],
        "spec.monitoring.labels": {f"{'l' * 200}{number}/x": "y" * 63 for number in range(64)},
        "spec.podTemplate.env": [{"name": f"{'E' * 200}{number}", "value": "x"} for number in range(100)],
    }
    case = Case("", change)
    assert answer(control_plane, case) == ""
    parse(case.manifest())


def test_as_many_pointers_as_there_may_be(control_plane: ControlPlane) -> None:
    pointers = {f"f{number}" + "f" * 60: "/" + "~1" * 127 for number in range(16)}
    prefix = "".join(f"{{{name}}}/" for name in list(pointers)[:6])
    agree(control_plane, {**key(jsonPointers=pointers), "spec.object.prefix": prefix})
