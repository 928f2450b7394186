"""The pods: security, environment, resources, how they start and end, and what the user's template makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from s3sink_operator import names

from tests.unit_operator.rendering import drain_job, spec_of, stateful_set

Object = dict[str, Any]
TEMPLATES = [pytest.param(stateful_set, id="pods"), pytest.param(drain_job, id="jobs")]


def pod_of(obj: Object) -> Object:
    pod: Object = obj["spec"]["template"]["spec"]
    return pod


def container_of(obj: Object) -> Object:
    (container,) = pod_of(obj)["containers"]
    return dict(container)


# ---- security


@pytest.mark.parametrize("build", TEMPLATES)
def test_pod_security_is_restricted(build: Any) -> None:
    made = build(spec_of(source={"auth": {"secretRef": {"name": "keys"}}}))
    of_pod, of_container = pod_of(made)["securityContext"], container_of(made)["securityContext"]
    assert of_pod["runAsNonRoot"]
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert of_container["capabilities"] == {"drop": ["ALL"]}
    assert not of_container["allowPrivilegeEscalation"]
    assert of_container["readOnlyRootFilesystem"]
    assert pod_of(made)["automountServiceAccountToken"] is False
    kinds = {kind for volume in pod_of(made)["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "secret", "persistentVolumeClaim"}


@pytest.mark.parametrize("build", TEMPLATES)
def test_only_the_buffer_is_writable(build: Any) -> None:
    mounts = container_of(build(spec_of()))["volumeMounts"]
    assert [one["mountPath"] for one in mounts if not one.get("readOnly")] == [names.BUFFER_PATH]


# ---- environment


def env_of(made: Object) -> dict[str, Object]:
    env = container_of(made)["env"]
    assert len({one["name"] for one in env}) == len(env)
    return {one["name"]: one for one in env}


@pytest.mark.parametrize("build", TEMPLATES)
def test_credentials_come_from_the_secret(build: Any) -> None:
    to = {"bucket": "b12", "region": "us-east-1", "credentials": {"secretRef": {"name": "keys"}}}
    env = env_of(build(spec_of(destination=to)))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        source = env[name]["valueFrom"]["secretKeyRef"]
        assert (source["name"], source["key"]) == ("keys", name)
    assert env["AWS_SESSION_TOKEN"]["valueFrom"]["secretKeyRef"]["optional"] is True
    assert "optional" not in env["AWS_ACCESS_KEY_ID"]["valueFrom"]["secretKeyRef"]


@pytest.mark.parametrize("build", TEMPLATES)
def test_authorities_of_the_store_are_a_file_that_the_sdk_finds(build: Any) -> None:
    to = {"bucket": "b12", "region": "us-east-1", "caBundle": {"secretRef": {"name": "authorities"}}}
    made = build(spec_of(destination=to))
    env, container = env_of(made), container_of(made)
    (volume,) = (one for one in pod_of(made)["volumes"] if one["name"] == "ca")
    (mount,) = (one for one in container["volumeMounts"] if one["name"] == "ca")
    assert volume["secret"]["secretName"] == "authorities"
    assert mount["readOnly"] is True
    assert env["AWS_CA_BUNDLE"]["value"] == f"{mount['mountPath']}/ca.crt"
    assert "AWS_CA_BUNDLE" not in env_of(build(spec_of()))


@pytest.mark.parametrize("build", TEMPLATES)
def test_without_a_secret_the_workload_identity_is_left_to_others(build: Any) -> None:
    made = build(spec_of(), credentials_hash="")
    assert list(env_of(made)) == ["POD_NAME", "POD_UID"]
    assert names.CREDENTIALS_HASH not in made["spec"]["template"]["metadata"]["annotations"]


@pytest.mark.parametrize("build", TEMPLATES)
def test_the_users_environment_follows_ours(build: Any) -> None:
    env = [
        {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}, "secretKeyRef": None}},
        {"name": "EMPTY"},
    ]
    made = env_of(build(spec_of(podTemplate={"env": env})))
    assert list(made) == ["POD_NAME", "POD_UID", "HTTPS_PROXY", "NODE", "EMPTY"]
    assert made["NODE"]["valueFrom"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}


# ---- resources

OURS = {"requests": {"cpu": "250m", "memory": "384Mi"}, "limits": {"memory": "1Gi"}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, OURS),
        ({"requests": None, "limits": {}}, OURS),
        (
            {"requests": {"cpu": 2}},
            {"requests": {"cpu": "2", "memory": "384Mi"}, "limits": {"memory": "1Gi"}},
        ),
        (
            {"limits": {"cpu": 1.5}},
            {**OURS, "limits": {"cpu": "1.5", "memory": "1Gi"}, "requests": {"memory": "384Mi"}},
        ),
        ({"limits": {"memory": "128Mi"}}, {"requests": {"cpu": "250m"}, "limits": {"memory": "128Mi"}}),
        ({"requests": {"memory": "2Gi"}}, {"requests": {"memory": "2Gi", "cpu": "250m"}}),
        (
            {"limits": {"ephemeral-storage": "1Gi"}},
            {**OURS, "limits": {"ephemeral-storage": "1Gi", "memory": "1Gi"}},
        ),
        (
            {"claims": [{"name": "device"}], "requests": {"cpu": "1", "memory": "1Gi"}},
            {"claims": [{"name": "device"}], "requests": {"cpu": "1", "memory": "1Gi"}},
        ),
    ],
    ids=str,
)
def test_resources_are_the_users_where_they_are_mentioned(given: Object, expected: Object) -> None:
    assert container_of(stateful_set(spec_of(podTemplate={"resources": given})))["resources"] == expected


def test_memory_grows_with_the_largest_request() -> None:
    buffer = {"size": "100Gi"}
    made = container_of(stateful_set(spec_of(source={"maxRequestBytes": "128Mi"}, buffer=buffer)))
    assert made["resources"]["requests"]["memory"] == "768Mi"
    assert made["resources"]["limits"]["memory"] == "3328Mi"


# ---- starting and ending


def test_starting_is_being_alive_and_taking_records_is_being_ready() -> None:
    container = container_of(stateful_set(spec_of()))
    paths = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert paths == {
        "startup": {"path": "/livez", "port": "admin"},
        "liveness": {"path": "/livez", "port": "admin"},
        "readiness": {"path": "/readyz", "port": "admin"},
    }


@pytest.mark.parametrize(("total", "hung"), [(300, 30), (30, 30), (12, 12)])
def test_one_that_hangs_gets_no_time_to_flush(total: int, hung: int) -> None:
    container = container_of(stateful_set(spec_of(podTemplate={"terminationGracePeriodSeconds": total})))
    for name in ("startup", "liveness"):
        assert container[f"{name}Probe"]["terminationGracePeriodSeconds"] == hung
    assert "terminationGracePeriodSeconds" not in container["readinessProbe"], "refused by the API server"


@pytest.mark.parametrize(
    ("changes", "total", "routing", "flush"),
    [
        ({}, 300, 5, 290),
        ({"podTemplate": {"terminationGracePeriodSeconds": 60}}, 60, 5, 50),
        ({"podTemplate": {"terminationGracePeriodSeconds": 30}}, 30, 5, 20),
        ({"podTemplate": {"terminationGracePeriodSeconds": 12}}, 12, 2, 8),
        ({"podTemplate": {"terminationGracePeriodSeconds": 1}}, 1, 0, 1),
    ],
    ids=str,
)
def test_grace_is_for_serving_on_and_flushing(changes: Object, total: int, routing: int, flush: int) -> None:
    made = stateful_set(spec_of(**changes))
    container = container_of(made)
    assert pod_of(made)["terminationGracePeriodSeconds"] == total
    command = container["command"]
    assert command[command.index("--grace") + 1] == f"{flush}s"
    slept = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert slept == routing


# ---- the user's template


@pytest.mark.parametrize("build", TEMPLATES)
def test_labels_and_annotations_are_added_to_ours(build: Any) -> None:
    template = {"labels": {"team": "data"}, "annotations": {"example.com/owner": "us"}}
    meta = build(spec_of(podTemplate=template))["spec"]["template"]["metadata"]
    bare = build(spec_of())["spec"]["template"]["metadata"]
    assert meta["labels"] == {"team": "data", **bare["labels"]}
    assert meta["annotations"] == {"example.com/owner": "us", **bare["annotations"]}


@pytest.mark.parametrize("build", TEMPLATES)
def test_where_pods_may_run_and_what_with(build: Any) -> None:
    template: Object = {
        "nodeSelector": {"pool": "ingest"},
        "tolerations": [{"key": "dedicated", "operator": "Exists", "value": None}],
        "affinity": {"nodeAffinity": None, "podAntiAffinity": {}},
        "priorityClassName": "high",
        "imagePullSecrets": [{"name": "registry"}, {"name": "mirror"}],
    }
    pod = pod_of(build(spec_of(podTemplate=template)))
    assert pod["nodeSelector"] == {"pool": "ingest"}
    assert pod["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]
    assert pod["affinity"] == {"podAntiAffinity": {}}
    assert pod["priorityClassName"] == "high"
    assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
    left_out = pod_of(build(spec_of()))
    assert not left_out.keys() & (template.keys() - {"affinity"})


def test_pods_are_spread_over_zones_and_nodes_unless_told_otherwise() -> None:
    made = pod_of(stateful_set(spec_of()))
    (node,) = made["topologySpreadConstraints"]
    assert (node["topologyKey"], node["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert zones_of(made) == ["topology.kubernetes.io/zone"]
    own = [{"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]
    for given in (own, []):
        made = pod_of(stateful_set(spec_of(podTemplate={"topologySpreadConstraints": given})))
        assert made.get("topologySpreadConstraints", []) == given
        assert "affinity" not in made


def test_an_affinity_of_ones_own_leaves_the_spread_over_zones_unless_it_is_about_that() -> None:
    nodes: Object = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    made = pod_of(stateful_set(spec_of(podTemplate={"affinity": nodes})))
    assert zones_of(made) == ["topology.kubernetes.io/zone"]
    assert made["affinity"]["nodeAffinity"] == nodes["nodeAffinity"]
    alone: Object = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    assert pod_of(stateful_set(spec_of(podTemplate={"affinity": alone})))["affinity"] == alone


def zones_of(pod: Object) -> list[str]:
    """Where pods shun each other."""
    terms = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    return [term["podAffinityTerm"]["topologyKey"] for term in terms]


def test_secrets_of_the_data_port_are_mounted_as_directories_and_not_in_jobs() -> None:
    source = {"auth": {"secretRef": {"name": "keys"}}, "tls": {"secretRef": {"name": "cert"}}}
    made = stateful_set(spec_of(source=source))
    mounts = {one["name"]: one for one in container_of(made)["volumeMounts"]}
    assert mounts["auth"]["mountPath"] == "/etc/s3sink/auth"
    assert mounts["tls"]["mountPath"] == "/etc/s3sink/tls"
    assert not any("subPath" in one for one in mounts.values())  # such a file is never brought up to date
    volumes = {one["name"]: one.get("secret", {}).get("secretName") for one in pod_of(made)["volumes"]}
    assert volumes == {"settings": None, "auth": "keys", "tls": "cert"}
    assert {one["name"] for one in pod_of(drain_job(spec_of(source=source)))["volumes"]} == {
        "settings",
        "buffer",
    }
