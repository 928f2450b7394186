"""Values: each wrong one is refused with words that help, each right one is documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.rig import helm, kubetools

SCHEMA = json.loads((helm.CHART / "values.schema.json").read_text())
TEXT = (helm.CHART / "values.yaml").read_text()
DEFAULTS = yaml.safe_load(TEXT)
GUIDE = (kubetools.ROOT / "docs" / "install.md").read_text()
DURATION = "does not match pattern '^([0-9]{1,9}(h|m|s))+$'"

# value's path, value, what Helm says
WRONG: list[tuple[str, object, str]] = [
    ("replicaCount", 2, "at '': additional properties 'replicaCount' not allowed"),
    ("watchNamespace", "a", "at '': additional properties 'watchNamespace' not allowed"),
    ("image.name", "x", "at '/image': additional properties 'name' not allowed"),
    (
        "ingesterImage.pullPolicy",
        "Always",
        "at '/ingesterImage': additional properties 'pullPolicy' not allowed",
    ),
    ("ingesterImage", "ingester:1", "at '/ingesterImage': got string, want object"),
    ("image.tag", 1.2, "at '/image/tag': got number, want string"),
    ("image.repository", "", "at '/image/repository': minLength: got 0, want 1"),
    (
        "image.digest",
        "sha256:12",
        "at '/image/digest': 'sha256:12' does not match pattern '^(|sha256:[0-9a-f]{64})$'",
    ),
    (
        "image.pullPolicy",
        "Sometimes",
        "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
    ),
    ("image.pullSecrets", ["registry"], "at '/image/pullSecrets/0': got string, want object"),
    ("image.pullSecrets", [{"nam": "x"}], "at '/image/pullSecrets/0': missing property 'name'"),
    ("crds.install", "yes", "at '/crds/install': got string, want boolean"),
    ("crds.enabled", True, "at '/crds': additional properties 'enabled' not allowed"),
    ("watchNamespaces", "team-a", "at '/watchNamespaces': got string, want array"),
    ("watchNamespaces", ["Team A"], "at '/watchNamespaces/0': 'Team A' does not match pattern"),
    ("watchNamespaces", ["a", "a"], "at '/watchNamespaces': items at 0 and 1 are equal"),
    ("rbac.clusterRead", False, "at '/rbac': additional properties 'clusterRead' not allowed"),
    ("serviceAccount.annotations", {"a": 1}, "at '/serviceAccount/annotations/a': got number, want string"),
    ("replicas", "2", "at '/replicas': got string, want integer"),
    ("replicas", 4, "at '/replicas': maximum: got 4, want 3"),
    ("leaderElection", True, "at '/leaderElection': value must be one of 'Auto', 'Enabled', 'Disabled'"),
    ("resync", 60, "at '/resync': got number, want string"),
    ("resync", "1 minute", f"at '/resync': '1 minute' {DURATION}"),
    ("workers", 0, "at '/workers': minimum: got 0, want 1"),
    ("logFormat", "JSON", "at '/logFormat': value must be one of 'json', 'text'"),
    ("logLevel", "trace", "at '/logLevel': value must be one of 'debug', 'info', 'warning', 'error'"),
    ("extraArgs", ["workers=2"], "at '/extraArgs/0': 'workers=2' does not match pattern '^--'"),
    ("extraEnv", {"A": "b"}, "at '/extraEnv': got object, want array"),
    ("extraEnv", [{"value": "b"}], "at '/extraEnv/0': missing property 'name'"),
    ("resources.memory", "1Gi", "at '/resources': additional properties 'memory' not allowed"),
    (
        "podDisruptionBudget.minAvailable",
        1,
        "at '/podDisruptionBudget': additional properties 'minAvailable'",
    ),
    (
        "podDisruptionBudget.maxUnavailable",
        0,
        "at '/podDisruptionBudget/maxUnavailable': minimum: got 0, want 1",
    ),
    ("metrics.enabled", True, "at '/metrics': additional properties 'enabled' not allowed"),
    ("metrics.serviceMonitor", True, "at '/metrics/serviceMonitor': got boolean, want object"),
    ("networkPolicy.apiServerPorts", [], "at '/networkPolicy/apiServerPorts': minItems: got 0, want 1"),
    ("networkPolicy.apiServerPorts", [70000], "at '/networkPolicy/apiServerPorts/0': maximum: got 70,000"),
]


def nested(path: str, value: object) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def leaves(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Paths that a user sets: as deep as the schema knows the keys."""
    for key, value in values.items():
        inner = schema["properties"][key]
        if isinstance(value, dict) and "properties" in inner and key != "resources":
            yield from leaves(value, inner, f"{path}{key}.")
        else:
            yield path + key, value


@pytest.mark.parametrize(("path", "value", "message"), WRONG, ids=[f"{p}={v}" for p, v, _ in WRONG])
def test_wrong_value(path: str, value: object, message: str) -> None:
    with pytest.raises(helm.HelmError) as refused:
        helm.template(nested(path, value))
    assert message in str(refused.value)


def test_replicas_without_a_leader_are_refused() -> None:
    with pytest.raises(
        helm.HelmError, match=r"replicas is 2 and leaderElection is Disabled: .*Set leaderElection"
    ):
        helm.template({"replicas": 2, "leaderElection": "Disabled"})


def test_null_takes_a_default_away() -> None:
    """As OpenShift wants it, which gives user ids of its own."""
    values = {"podSecurityContext": {"runAsUser": None, "runAsGroup": None}}
    context = helm.one(helm.template(values), "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_as_a_part_of_another_chart(tmp_path: Any) -> None:
    parent = tmp_path / "platform"
    (parent / "charts").mkdir(parents=True)
    dependency = {"name": "s3sink", "version": "0.1.0", "condition": "s3sink.enabled"}
    chart = {"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [dependency]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart))
    (parent / "charts" / "s3sink").symlink_to(helm.CHART)
    values = {"global": {"registry": "x"}, "s3sink": {"enabled": True, "replicas": 2}}
    made = helm.template(values, chart=parent, release="platform")
    assert helm.one(made, "Deployment")["metadata"]["name"] == "platform-s3sink-operator"
    assert helm.template({"s3sink": {"enabled": False}}, chart=parent) == []


def test_schema_has_every_default_and_refuses_strangers() -> None:
    paths = dict(leaves(DEFAULTS, SCHEMA))
    assert len(paths) > 40
    for section in (SCHEMA, *SCHEMA["properties"].values()):
        if "properties" in section:
            assert section["additionalProperties"] is False
    assert set(SCHEMA["properties"]) - set(DEFAULTS) == {"global", "enabled"}


def documented() -> set[str]:
    """Paths in values.yaml whose key stands below a `# -- ` comment."""
    found, above, parents = set(), False, [(-1, "")]
    for line in TEXT.splitlines():
        key = re.match(r"( *)(\w+):", line)
        if key is None:
            above = line.lstrip().startswith("# -- ") or (above and line.lstrip().startswith("# "))
            continue
        depth = len(key[1])
        parents = [(d, path) for d, path in parents if d < depth]
        path = parents[-1][1] + key[2]
        parents.append((depth, f"{path}."))
        if above:
            found.add(path)
        above = False
    return found


def test_every_value_has_a_comment() -> None:
    assert {path for path, _ in leaves(DEFAULTS, SCHEMA)} - documented() == set()


def test_the_guide_lists_every_value_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `(.*?)` \|", GUIDE, re.MULTILINE))
    assert {path: json.loads(text) for path, text in rows.items()} == dict(leaves(DEFAULTS, SCHEMA))
