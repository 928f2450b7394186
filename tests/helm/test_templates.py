"""What the chart makes of its values, where a golden file alone would not say what matters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rig import helm
from tests.rig.helm import Object, kinds, one, template

CHILD = ["get", "list", "watch", "create", "patch", "delete"]
RULES = [
    (["s3sink.dev"], ["s3sinks"], ["get", "list", "watch", "patch"]),
    (["s3sink.dev"], ["s3sinks/status"], ["patch"]),
    (["s3sink.dev"], ["s3sinks/finalizers"], ["update"]),
    ([""], ["services"], CHILD[:-1]),
    (["policy"], ["poddisruptionbudgets"], CHILD[:-1]),
    ([""], ["configmaps", "serviceaccounts"], CHILD),
    (["apps"], ["statefulsets"], CHILD),
    (["batch"], ["jobs"], CHILD),
    (["autoscaling"], ["horizontalpodautoscalers"], CHILD),
    (["networking.k8s.io"], ["networkpolicies"], CHILD),
    (["monitoring.coreos.com"], ["servicemonitors"], CHILD),
    ([""], ["pods"], ["get", "list", "watch", "delete"]),
    ([""], ["persistentvolumeclaims"], ["get", "list", "watch", "patch", "delete"]),
    ([""], ["secrets"], ["get"]),
    ([""], ["events"], ["create", "patch"]),
]
READS = [
    (["storage.k8s.io"], ["storageclasses"], ["get", "list"]),
    (["apiextensions.k8s.io"], ["customresourcedefinitions"], ["get", "list", "watch"]),
]
NO_CRD: dict[str, Any] = {"crds": {"install": False}}


def rules(role: Object) -> list[tuple[list[str], list[str], list[str]]]:
    return [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in role["rules"]]


def pod(values: dict[str, Any]) -> Object:
    spec: Object = one(template(values), "Deployment")["spec"]["template"]["spec"]
    return spec


def container(values: dict[str, Any]) -> Object:
    (found,) = pod(values)["containers"]
    made: Object = found
    return made


def test_lint() -> None:
    assert "0 chart(s) failed" in helm.helm("lint", "--strict", helm.CHART)


def test_objects_for_the_whole_cluster() -> None:
    assert kinds(template()) == [
        "ClusterRole/s3sink:s3sink-system:admin",
        "ClusterRole/s3sink:s3sink-system:cluster-reads",
        "ClusterRole/s3sink:s3sink-system:edit",
        "ClusterRole/s3sink:s3sink-system:operator",
        "ClusterRole/s3sink:s3sink-system:view",
        "ClusterRoleBinding/s3sink:s3sink-system:cluster-reads",
        "ClusterRoleBinding/s3sink:s3sink-system:operator",
        "CustomResourceDefinition/s3sinks.s3sink.dev",
        "Deployment/s3sink-system/s3sink-operator",
        "Pod/s3sink-system/s3sink-test",
        "Service/s3sink-system/s3sink-operator-metrics",
        "ServiceAccount/s3sink-system/s3sink-operator",
    ]


def test_objects_without_any_right_beyond_two_namespaces() -> None:
    values = {
        **NO_CRD,
        "watchNamespaces": ["team-a", "team-b"],
        "rbac": {"clusterReads": False, "aggregateRoles": False},
    }
    assert kinds(template(values, "--skip-tests")) == [
        "Deployment/s3sink-system/s3sink-operator",
        "Role/team-a/s3sink-operator",
        "Role/team-b/s3sink-operator",
        "RoleBinding/team-a/s3sink-operator",
        "RoleBinding/team-b/s3sink-operator",
        "Service/s3sink-system/s3sink-operator-metrics",
        "ServiceAccount/s3sink-system/s3sink-operator",
    ]


def test_the_operators_rules_are_these_and_no_more() -> None:
    everywhere = template()
    assert rules(one(everywhere, "ClusterRole", "s3sink:s3sink-system:operator")) == RULES
    assert rules(one(everywhere, "ClusterRole", "s3sink:s3sink-system:cluster-reads")) == READS
    somewhere = template({"watchNamespaces": ["team-a"]})
    assert rules(one(somewhere, "Role")) == RULES
    bound = [m for m in somewhere if m["kind"] == "ClusterRoleBinding"]
    assert [m["roleRef"]["name"] for m in bound] == ["s3sink:s3sink-system:cluster-reads"]


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["team-a", "team-b"]}, {"replicas": 2}])
def test_every_binding_is_of_a_role_that_is_made_and_to_the_account(values: dict[str, Any]) -> None:
    made = template(values)
    for binding in (m for m in made if m["kind"].endswith("Binding")):
        role = one(
            (m for m in made if m["metadata"].get("namespace") == binding["metadata"].get("namespace")),
            binding["roleRef"]["kind"],
            binding["roleRef"]["name"],
        )
        assert role["kind"] + "Binding" == binding["kind"]
        account = {"kind": "ServiceAccount", "name": "s3sink-operator", "namespace": helm.NAMESPACE}
        assert binding["subjects"] == [account]


def test_no_rbac_when_you_make_it() -> None:
    made = template({"rbac": {"create": False, "aggregateRoles": False}, "replicas": 2})
    assert [m for m in made if m["apiVersion"].startswith("rbac.")] == []


def test_an_account_of_yours() -> None:
    made = template({"serviceAccount": {"create": False, "name": "robot"}, "replicas": 2})
    assert not [m for m in made if m["kind"] == "ServiceAccount"]
    assert one(made, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "robot"
    assert {m["subjects"][0]["name"] for m in made if m["kind"].endswith("Binding")} == {"robot"}
    assert pod({"serviceAccount": {"create": False}})["serviceAccountName"] == "default"


def test_teams_can_have_an_operator_each() -> None:
    """Objects of the whole cluster don't collide."""
    one_team = template({**NO_CRD, "watchNamespaces": ["team-a"]}, "--namespace", "team-a")
    other = template({**NO_CRD, "watchNamespaces": ["team-b"]}, "--namespace", "team-b")
    assert set(kinds(one_team)) & set(kinds(other)) == set()


@pytest.mark.parametrize(
    ("values", "elected", "strategy"),
    [
        ({}, False, "Recreate"),
        ({"replicas": 2}, True, "RollingUpdate"),
        ({"leaderElection": "Enabled"}, True, "RollingUpdate"),
        ({"leaderElection": "Disabled"}, False, "Recreate"),
        ({"replicas": 0, "leaderElection": "Disabled"}, False, "Recreate"),
    ],
)
def test_leader(values: dict[str, Any], elected: bool, strategy: str) -> None:
    made = template(values)
    spec = one(made, "Deployment")["spec"]
    assert spec["strategy"]["type"] == strategy
    flags = {"--leader-elect", "--lease-name=s3sink-operator"}
    assert (flags & set(spec["template"]["spec"]["containers"][0]["args"])) == (flags if elected else set())
    leases = [rule for m in made if m["kind"] == "Role" for rule in m["rules"]]
    every = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    own = {**every, "resourceNames": ["s3sink-operator"], "verbs": ["get", "update"]}
    assert leases == ([{**every, "verbs": ["create"]}, own] if elected else [])


def test_a_budget_only_for_several() -> None:
    assert not [m for m in template() if m["kind"] == "PodDisruptionBudget"]
    budget = one(template({"replicas": 2}), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1


def test_flags() -> None:
    values = {
        "watchNamespaces": ["a", "b"],
        "resync": "5m",
        "workers": 2,
        "logFormat": "text",
        "logLevel": "debug",
        "extraArgs": ["--listen=[::]:8080"],
    }
    assert container(values)["args"] == [
        "--ingester-image=s3sink-ingester:0.1.0",
        "--listen=0.0.0.0:8080",
        "--resync=5m",
        "--workers=2",
        "--log-format=text",
        "--log-level=debug",
        "--namespace=a",
        "--namespace=b",
        "--listen=[::]:8080",
    ]


IMAGES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "s3sink-operator:0.1.0", "s3sink-ingester:0.1.0"),
    (
        {"image": {"registry": "r.example/t"}},
        "r.example/t/s3sink-operator:0.1.0",
        "r.example/t/s3sink-ingester:0.1.0",
    ),
    (
        {"image": {"registry": "r/"}, "ingesterImage": {"registry": "q"}},
        "r/s3sink-operator:0.1.0",
        "q/s3sink-ingester:0.1.0",
    ),
    ({"image": {"tag": "2"}, "ingesterImage": {"tag": "3"}}, "s3sink-operator:2", "s3sink-ingester:3"),
    (
        {"image": {"digest": f"sha256:{'a' * 64}", "tag": "2"}},
        f"s3sink-operator@sha256:{'a' * 64}",
        "s3sink-ingester:0.1.0",
    ),
    (
        {"ingesterImage": {"repository": "own/ingester", "digest": f"sha256:{'b' * 64}"}},
        "s3sink-operator:0.1.0",
        f"own/ingester@sha256:{'b' * 64}",
    ),
]


@pytest.mark.parametrize(("values", "operator", "ingester"), IMAGES)
def test_images(values: dict[str, Any], operator: str, ingester: str) -> None:
    made = template(values)
    assert one(made, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"] == operator
    assert one(made, "Pod")["spec"]["containers"][0]["image"] == operator, "helm test pulls nothing else"
    assert container(values)["args"][0] == f"--ingester-image={ingester}"


def test_selectors_leave_a_sink_of_the_releases_name_alone() -> None:
    """A sink `s3sink` in the release's namespace has pods with the labels that the contract in names.py gives."""
    made = template({"replicas": 2, "networkPolicy": {"enabled": True}})
    sinks_pod = {"app.kubernetes.io/name": "s3sink", "app.kubernetes.io/instance": "s3sink"}
    deployment = one(made, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    selectors = [
        deployment["selector"]["matchLabels"],
        one(made, "Service")["spec"]["selector"],
        one(made, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(made, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= sinks_pod.items()


def test_labels_of_yours_never_take_the_selectors_place() -> None:
    values = {"podLabels": {"app.kubernetes.io/name": "mine", "team": "data"}}
    labels = one(template(values), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert (labels["app.kubernetes.io/name"], labels["team"]) == ("s3sink-operator", "data")


@pytest.mark.parametrize(
    ("values", "kept"), [({}, True), ({"crds": {"keep": False}}, False)], ids=["kept", "not kept"]
)
def test_the_crd_is_kept_unless_told(values: dict[str, Any], kept: bool) -> None:
    annotations = one(template(values), "CustomResourceDefinition")["metadata"].get("annotations", {})
    assert ("helm.sh/resource-policy" in annotations) is kept
