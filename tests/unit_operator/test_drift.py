"""What counts as drift: a field that was rendered and isn't so any more. What others add doesn't."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_operator import names
from s3sink_operator.planner import quantities
from s3sink_operator.planner.drift import between, contains

from tests.rig.observations import children, managed, sink

ANYWAY: Any = {"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
STRICT: Any = {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}

SAME: tuple[tuple[str, Any, Any], ...] = (
    ("a field of somebody else", {"a": 1, "b": 2}, {"a": 1}),
    ("deeper", {"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}),
    ("an empty map is left out by the API server", {}, {"emptyDir": {}}),
    ("an empty list as well", {}, {"tolerations": []}),
    ("an empty text as well", {}, {"storageClassName": ""}),
    ("a default in an item", {"ports": [{"port": 80, "nodePort": 3}]}, {"ports": [{"port": 80}]}),
    ("an item of somebody else", {"env": [{"name": "X"}, {"name": "A"}]}, {"env": [{"name": "A"}]}),
    (
        "the order of merged items",
        {"env": [{"name": "X"}, {"name": "A"}]},
        {"env": [{"name": "A"}, {"name": "X"}]},
    ),
    (
        "a port of another protocol",
        {"ports": [{"port": 80, "protocol": "TCP", "name": "http"}, {"port": 80, "protocol": "UDP"}]},
        {"ports": [{"port": 80, "name": "http"}]},
    ),
    (
        "a stricter constraint beside ours",
        {"topologySpreadConstraints": [{**ANYWAY, "maxSkew": 1}, {**STRICT, "maxSkew": 3}]},
        {"topologySpreadConstraints": [{**ANYWAY, "maxSkew": 1}]},
    ),
    (
        "the order of constraints on one key",
        {"topologySpreadConstraints": [STRICT, ANYWAY]},
        {"topologySpreadConstraints": [ANYWAY, STRICT]},
    ),
    ("a quantity in another notation", {"requests": {"cpu": "1"}}, {"requests": {"cpu": "1000m"}}),
    ("a size in another notation", {"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1024Mi"}}),
    ("a limit of a volume", {"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1024Mi"}}),
    (
        "an owner beside ours",
        {"ownerReferences": [{"uid": "x"}, {"uid": "u", "controller": True}]},
        {"ownerReferences": [{"uid": "u"}]},
    ),
)

DIFFERENT: tuple[tuple[str, Any, Any], ...] = (
    ("another value", {"a": 1}, {"a": 2}),
    ("a field that went", {}, {"a": False}),
    ("a number for a truth", {"a": 1}, {"a": True}),
    ("another type", {"a": "1"}, {"a": 1}),
    ("a map for a text", {"a": "b"}, {"a": {"b": 1}}),
    ("an item that went", {"env": []}, {"env": [{"name": "A"}]}),
    ("a list that went", {}, {"env": [{"name": "A"}]}),
    (
        "an item that was changed",
        {"env": [{"name": "A", "value": "2"}]},
        {"env": [{"name": "A", "value": "1"}]},
    ),
    ("another protocol", {"ports": [{"port": 80, "protocol": "UDP"}]}, {"ports": [{"port": 80}]}),
    ("another quantity", {"requests": {"cpu": "2"}}, {"requests": {"cpu": "1000m"}}),
    ("a quantity that went", {"requests": {}}, {"requests": {"cpu": "1000m"}}),
    ("one more in a list that is one value", {"args": ["a", "b"]}, {"args": ["a"]}),
    ("another order of a list that is one value", {"args": ["b", "a"]}, {"args": ["a", "b"]}),
    ("one more toleration", {"tolerations": [{"key": "a"}, {"key": "b"}]}, {"tolerations": [{"key": "a"}]}),
    (
        "one more port of a network policy",
        {"ingress": [{"ports": [{"port": 1}, {"port": 2}]}]},
        {"ingress": [{"ports": [{"port": 1}]}]},
    ),
    ("a text for a list", {"args": "a"}, {"args": ["a"]}),
)


@pytest.mark.parametrize(("live", "rendered"), [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_contained(live: Any, rendered: Any) -> None:
    assert contains(live, rendered)


@pytest.mark.parametrize(
    ("live", "rendered"), [case[1:] for case in DIFFERENT], ids=[case[0] for case in DIFFERENT]
)
def test_not_contained(live: Any, rendered: Any) -> None:
    assert not contains(live, rendered)


class TestDifference:
    def test_none(self) -> None:
        for live in children(sink(), replicas=2).values():
            assert between(live, {key: live[key] for key in live if key != "status"}).reason is None

    def test_says_which_field(self) -> None:
        live = {"metadata": {}, "spec": {"ports": [{"port": 80, "targetPort": "http"}]}}
        rendered = {"metadata": {}, "spec": {"ports": [{"port": 80, "targetPort": "admin"}]}}
        assert between(live, rendered).reason == ".spec.ports[80].targetPort isn't as it should be"

    def test_a_field_that_is_rendered_no_more_is_seen_by_the_hash(self) -> None:
        live = {"metadata": {"annotations": {names.APPLIED_HASH: "old"}}, "spec": {"a": 1, "b": 2}}
        rendered = {"metadata": {"annotations": {names.APPLIED_HASH: "new"}}, "spec": {"a": 1}}
        assert between(live, rendered).reason == "what is wanted has changed"
        assert between(live, {**rendered, "spec": {"a": 3}}).reason == ".spec.a isn't as it should be"


POD: Any = {
    "metadata": {"annotations": {names.APPLIED_HASH: "new"}, "labels": {"a.example/b": "c"}},
    "spec": {
        "containers": [
            {
                "name": "ingester",
                "image": "example.org/i:1",
                "args": ["serve"],
                "ports": [{"containerPort": 8888, "name": "http"}],
                "resources": {"requests": {"cpu": "1"}},
            }
        ],
        "minReadySeconds": 2,
        "replicas": 2,
        "tolerations": [{"key": "a"}],
    },
}

REWRITES: tuple[tuple[str, Any, str], ...] = (
    # the path in the live object, what stands there, and the path as it is told
    ("spec.containers.0.image", "mirror.example/i:1", ".spec.containers[ingester].image"),
    ("spec.containers.0.image", None, ".spec.containers[ingester].image"),
    ("spec.containers.0.args", ["serve", "--more"], ".spec.containers[ingester].args"),
    ("spec.containers.0.args", ["other"], ".spec.containers[ingester].args[0]"),
    ("spec.containers.0.ports.0.name", "web", ".spec.containers[ingester].ports[8888].name"),
    ("spec.containers.0.resources.requests.cpu", "2", ".spec.containers[ingester].resources.requests.cpu"),
    ("spec.containers.0.resources", None, ".spec.containers[ingester].resources"),
    ("spec.tolerations", [{"key": "a"}, {"key": "b"}], ".spec.tolerations"),
    ("spec.tolerations.0.key", "b", ".spec.tolerations[0].key"),
    ("spec.minReadySeconds", 5, ".spec.minReadySeconds"),
    ("metadata.labels", {"a.example/b": "d"}, ".metadata.labels.a.example/b"),
)


def put(obj: Any, path: str, value: Any) -> Any:
    """Another object, with the value there."""
    head, _, rest = path.partition(".")
    key: Any = int(head) if isinstance(obj, list) else head
    changed = list(obj) if isinstance(obj, list) else dict(obj)
    changed[key] = put(obj[key], rest, value) if rest else value
    return changed


class TestAdmission:
    """A field that we applied and still own, with another value, is what admission made of it."""

    @pytest.mark.parametrize(("path", "value", "told"), REWRITES)
    def test_what_it_changed_stays(self, path: str, value: Any, told: str) -> None:
        live = put(put(POD, path, value), "metadata.managedFields", managed(POD))
        assert between(live, POD).reason is None
        assert between(live, POD).rewritten == (told,)

    @pytest.mark.parametrize(("path", "value", "told"), REWRITES)
    def test_what_nobody_says_to_be_ours_is_put_back(self, path: str, value: Any, told: str) -> None:
        by_others = [{**managed(POD)[0], "manager": "kubectl"}, {**managed(POD)[0], "operation": "Update"}]
        for entries in ([], by_others):
            live = put(put(POD, path, value), "metadata.managedFields", entries)
            assert between(live, POD).reason == f"{told} isn't as it should be"
            assert between(live, POD).rewritten == ()

    def test_what_somebody_took_is_put_back_beside_what_admission_changed(self) -> None:
        changed = put(put(POD, "spec.containers.0.image", "mirror.example/i:1"), "spec.minReadySeconds", 5)
        del (entries := managed(POD))[0]["fieldsV1"]["f:spec"]["f:minReadySeconds"]
        live = put(changed, "metadata.managedFields", entries)
        assert between(live, POD).reason == ".spec.minReadySeconds isn't as it should be"
        assert between(live, POD).rewritten == (".spec.containers[ingester].image",)

    def test_what_is_wanted_now_is_applied_though_the_field_is_ours(self) -> None:
        live = put(put(POD, "spec.minReadySeconds", 5), "metadata.managedFields", managed(POD))
        live["metadata"]["annotations"] = {names.APPLIED_HASH: "old"}
        assert between(live, POD).reason == ".spec.minReadySeconds isn't as it should be"
        assert between(live, POD).rewritten == ()

    def test_a_number_of_replicas_is_never_accepted(self) -> None:
        live = put(put(POD, "spec.replicas", 0), "metadata.managedFields", managed(POD))
        assert between(live, POD).reason == ".spec.replicas isn't as it should be"
        assert between(live, POD).rewritten == ()

    def test_what_was_applied_without_a_hash_was_no_rendering(self) -> None:
        live = put(put(POD, "spec.minReadySeconds", 5), "metadata.managedFields", managed(POD))
        live["metadata"]["annotations"] = {}
        assert [one.is_ours for one in between(live, POD).differences] == [False]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(json_values)
def test_everything_contains_itself(value: Any) -> None:
    assert contains(value, value)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=3), st.text(max_size=5), json_values)
def test_what_others_add_is_no_drift(rendered: dict[str, Any], key: str, value: Any) -> None:
    assert contains({key: value, **rendered}, rendered)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1500m", "1.5"),
        ("1.5Gi", 1610612736),
        ("15e9", 15 * 10**9),
        ("2E", 2 * 10**18),
        ("-3k", -3000),
    ],
)
def test_quantities(text: str, value: Any) -> None:
    assert quantities.are_equal(text, value)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "1KiB", "0x1", "--1"])
def test_no_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantities.parse(text)
