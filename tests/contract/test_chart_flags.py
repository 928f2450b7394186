"""The chart and the operator agree: flags, environment, ports, probes, labels, rights on what the code asks for."""

from __future__ import annotations

from typing import Any

import pytest
from s3sink_operator import manifests, names, state
from s3sink_operator.kube import paths
from s3sink_operator.manifests import network_policy
from s3sink_operator.runtime import settings
from s3sink_operator.state import Resource

from tests.rig import helm

MODES: list[dict[str, Any]] = [
    {},
    {"watchNamespaces": ["team-a", "team-b"]},
    {"replicas": 2, "resync": "1h30m", "workers": 64, "logFormat": "text", "logLevel": "debug"},
    {"extraArgs": ["--listen=[::]:8080"], "image": {"registry": "registry.example.com:5000/team"}},
]


def deployment(values: dict[str, Any]) -> Any:
    return helm.one(helm.template(values), "Deployment")


def container(values: dict[str, Any]) -> Any:
    return deployment(values)["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("values", MODES)
def test_the_operator_takes_every_flag(values: dict[str, Any]) -> None:
    spec = container(values)
    environment = {one["name"]: "x" for one in spec["env"]}
    assert spec["command"] == [settings.parser().prog]
    given = settings.parse(spec["args"], environment)
    assert list(given.namespaces) == values.get("watchNamespaces", [])
    assert given.elect == (values.get("replicas", 1) > 1)
    assert given.image.endswith("s3sink-ingester:0.1.0")
    assert given.port == spec["ports"][0]["containerPort"]
    assert given.workers == values.get("workers", 8)
    assert given.log_level == values.get("logLevel", "info")


def test_defaults_are_the_operators() -> None:
    given = settings.parse(container({})["args"], {})
    assert given == settings.parse(["--ingester-image", given.image], {})


def test_a_lease_that_it_has_the_right_to() -> None:
    made = helm.template({"replicas": 2, "fullnameOverride": "sinks"})
    spec = helm.one(made, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    given = settings.parse(spec["args"], {"POD_NAMESPACE": helm.NAMESPACE})
    role = helm.one(made, "Role")
    assert role["metadata"]["namespace"] == given.lease_namespace
    assert role["rules"][1]["resourceNames"] == [given.lease_name]


def test_ingesters_let_the_operator_in() -> None:
    """Its pods carry the name that a sink's NetworkPolicy admits to the admin port."""
    labels = deployment({})["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] in network_policy.ADMIN_CLIENTS


def test_the_operator_is_let_out_to_ingesters() -> None:
    egress = helm.one(helm.template({"networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"]["egress"]
    assert {"port": names.ADMIN_PORT, "protocol": "TCP"} in [
        port for rule in egress for port in rule["ports"]
    ]
    keys = [
        expression["key"]
        for rule in egress
        for peer in rule.get("to", ())
        for expression in peer["podSelector"]["matchExpressions"]
    ]
    assert keys == [names.SINK_LABEL, names.SINK_UID_LABEL], "of pods, and of pods of drain Jobs"


def test_every_kind_that_the_operator_uses_is_in_its_roles() -> None:
    """And no other: a kind that the code drops is dropped here."""
    made = helm.template({"replicas": 2})
    roles = [m for m in made if m["kind"] in ("Role", "ClusterRole") and not is_for_users(m)]
    granted = {
        (group, resource)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if "/" not in resource
    }
    kinds = {
        kind for module in (paths, state) for kind in vars(module).values() if isinstance(kind, Resource)
    }
    used = {(group_of(kind), paths.plural(kind)) for kind in kinds}
    assert granted == used


def test_what_is_made_may_be_made_and_what_may_not_be_wanted_may_be_deleted() -> None:
    rules = helm.one(helm.template(), "ClusterRole", "s3sink:s3sink-system:operator")["rules"]
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    owner = manifests.Owner("events", "team-a", "uid")
    optional = {ref.resource for ref in manifests.optional_refs(owner)}
    for kind in {ref.resource for ref in manifests.refs(owner)}:
        needed = {"get", "list", "watch", "create", "patch"} | ({"delete"} if kind in optional else set())
        assert granted[group_of(kind), paths.plural(kind)] >= needed, kind


def is_for_users(role: Any) -> bool:
    return any("aggregate-to" in label for label in role["metadata"]["labels"])


def group_of(kind: Resource) -> str:
    group, slash, _ = kind.api_version.partition("/")
    return group if slash else ""
