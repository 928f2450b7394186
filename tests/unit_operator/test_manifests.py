"""What manifests make of a spec, field by field; the whole of them is in the golden files."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from s3sink_operator import manifests, names, spec
from s3sink_operator.manifests.base import digest, with_hash
from s3sink_operator.state import ref_of

from tests.unit_operator.rendering import (
    OWNER,
    SAMPLES,
    children,
    context_of,
    drain_job,
    spec_of,
    stateful_set,
)

Object = dict[str, Any]


def pod_of(obj: Object) -> Object:
    pod: Object = obj["spec"]["template"]["spec"]
    return pod


def container_of(obj: Object) -> Object:
    (container,) = pod_of(obj)["containers"]
    return dict(container)


def everything(sample: Path) -> list[Object]:
    sink = {**yaml.safe_load(sample.read_text())}
    wanted = spec.parse(sink)
    return [*children(wanted).values(), drain_job(wanted)]


# ---- which children, in which order


def test_the_least_has_no_optional_children() -> None:
    assert list(children(spec_of(), served=frozenset())) == [
        "ServiceAccount/events-s3sink",
        "ConfigMap/events-s3sink",
        "Service/events-s3sink-pods",
        "Service/events-s3sink",
        "StatefulSet/events-s3sink",
        "PodDisruptionBudget/events-s3sink",
    ]


def test_what_pods_need_comes_before_them_and_what_acts_on_them_after() -> None:
    wanted = spec_of(networkPolicy={"enabled": True}, autoscaling={"maxReplicas": 3})
    assert list(children(wanted)) == [
        "ServiceAccount/events-s3sink",
        "ConfigMap/events-s3sink",
        "Service/events-s3sink-pods",
        "Service/events-s3sink",
        "NetworkPolicy/events-s3sink",
        "StatefulSet/events-s3sink",
        "PodDisruptionBudget/events-s3sink",
        "HorizontalPodAutoscaler/events-s3sink",
        "ServiceMonitor/events-s3sink",
    ]
    rendered = manifests.render(wanted, OWNER, context_of(wanted))
    assert tuple(map(ref_of, rendered)) == manifests.refs(OWNER)


def test_optional_refs_are_what_some_specs_do_without() -> None:
    least = spec_of(podTemplate={"serviceAccountName": "mine"})
    rendered = manifests.render(least, OWNER, context_of(least, served=frozenset()))
    assert {*map(ref_of, rendered), *manifests.optional_refs(OWNER)} == set(manifests.refs(OWNER))
    assert not {*map(ref_of, rendered)} & {*manifests.optional_refs(OWNER)}


@pytest.mark.parametrize(
    ("says", "is_served", "is_there"),
    [
        ("Auto", True, True),
        ("Auto", False, False),
        ("Enabled", False, True),
        ("Disabled", True, False),
    ],
)
def test_service_monitor(says: str, is_served: bool, is_there: bool) -> None:
    served: Object = {} if is_served else {"served": frozenset()}
    found = children(spec_of(monitoring={"serviceMonitor": says}), **served)
    assert ("ServiceMonitor/events-s3sink" in found) == is_there


def test_the_users_service_account_takes_the_place_of_ours() -> None:
    wanted = spec_of(podTemplate={"serviceAccountName": "uploader"})
    assert "ServiceAccount/events-s3sink" not in children(wanted)
    assert pod_of(stateful_set(wanted))["serviceAccountName"] == "uploader"
    assert pod_of(drain_job(wanted))["serviceAccountName"] == "uploader"


# ---- what all have in common


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_nothing_is_null_or_empty_without_a_meaning(sample: Path) -> None:
    for one in everything(sample):
        assert [path for path in _empty(one) if not path.endswith(".namespaceSelector")] == []


def _empty(value: object, path: str = "") -> Iterator[str]:
    if value in (None, "", {}, []):
        yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _empty(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _empty(item, f"{path}[{index}]")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_all_say_whose_they_are(sample: Path) -> None:
    *owned, job = everything(sample)
    for one in owned:
        (owner,) = one["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (OWNER.uid, True, True)
        assert one["metadata"]["namespace"] == OWNER.namespace
        theirs = {"release": "prometheus"} if one["kind"] == "ServiceMonitor" else {}
        assert one["metadata"]["labels"].items() - theirs.items() == names.labels(OWNER.name).items()
    assert "ownerReferences" not in job["metadata"]
    assert job["metadata"]["labels"][names.SINK_UID_LABEL] == OWNER.uid


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_the_same_input_gives_the_same(sample: Path) -> None:
    assert repr(everything(sample)) == repr(everything(sample))


def test_the_hash_is_of_the_manifest_without_it() -> None:
    for one in children(spec_of()).values():
        bare: Object = copy.deepcopy(one)
        found = bare["metadata"]["annotations"].pop(names.APPLIED_HASH)
        if not bare["metadata"]["annotations"]:
            del bare["metadata"]["annotations"]
        assert found == digest(bare)
        assert with_hash(bare) == one


def test_the_digest_knows_values_and_not_their_order() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    different: list[object] = [{"a": 1}, {"a": "1"}, {"a": [1]}, {"a": None}, {}, [], "", "ä"]
    assert len({digest(one) for one in different}) == len(different)


# ---- who selects whom


def test_selectors_find_the_pods_and_no_drain_jobs() -> None:
    wanted = spec_of(networkPolicy={"enabled": True}, podTemplate={"labels": {"team": "data"}})
    found = children(wanted)
    pod = pod_of(found["StatefulSet/events-s3sink"])
    (nodes,) = pod["topologySpreadConstraints"]
    (zones,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    selectors = [
        found["StatefulSet/events-s3sink"]["spec"]["selector"]["matchLabels"],
        found["PodDisruptionBudget/events-s3sink"]["spec"]["selector"]["matchLabels"],
        found["Service/events-s3sink"]["spec"]["selector"],
        found["Service/events-s3sink-pods"]["spec"]["selector"],
        nodes["labelSelector"]["matchLabels"],
        zones["podAffinityTerm"]["labelSelector"]["matchLabels"],
    ]
    pods = found["StatefulSet/events-s3sink"]["spec"]["template"]["metadata"]["labels"]
    jobs = drain_job(wanted)["spec"]["template"]["metadata"]["labels"]
    assert len(selectors) == 6
    for selector in selectors:
        assert selector.items() <= pods.items()
        assert not selector.items() <= jobs.items()
    assert pods["team"] == jobs["team"] == "data"
    guarded = found["NetworkPolicy/events-s3sink"]["spec"]["podSelector"]["matchLabels"]
    assert guarded.items() <= pods.items() & jobs.items(), "both have an admin port"
    monitored = found["ServiceMonitor/events-s3sink"]["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= found["Service/events-s3sink-pods"]["metadata"]["labels"].items()


def test_ports_are_those_of_the_container() -> None:
    found = children(spec_of(networkPolicy={"enabled": True}))
    ports = {
        one["name"]: one["containerPort"] for one in container_of(found["StatefulSet/events-s3sink"])["ports"]
    }
    headless = found["Service/events-s3sink-pods"]["spec"]["ports"]
    client = found["Service/events-s3sink"]["spec"]["ports"]
    assert {one["name"]: one["port"] for one in headless} == ports
    assert [(one["port"], one["targetPort"]) for one in client] == [(80, "http")]
    assert {one["targetPort"] for one in headless} == set(ports)
    (endpoint,) = found["ServiceMonitor/events-s3sink"]["spec"]["endpoints"]
    assert endpoint["port"] in {one["name"] for one in headless}
    assert endpoint["port"] not in {one["name"] for one in client}
    policy = found["NetworkPolicy/events-s3sink"]["spec"]["ingress"]
    assert [port["port"] for rule in policy for port in rule["ports"]] == list(ports)


def test_prometheus_finds_the_monitor_by_the_users_labels() -> None:
    bare = children(spec_of())["ServiceMonitor/events-s3sink"]
    found = children(spec_of(monitoring={"labels": {"release": "prometheus"}}))[
        "ServiceMonitor/events-s3sink"
    ]
    assert found["metadata"]["labels"] == {**bare["metadata"]["labels"], "release": "prometheus"}
    assert found["spec"] == bare["spec"]


def test_network_policy_keeps_strangers_from_the_admin_port_only() -> None:
    data, admin = children(spec_of(networkPolicy={"enabled": True}))["NetworkPolicy/events-s3sink"]["spec"][
        "ingress"
    ]
    assert "from" not in data
    (peer,) = admin["from"]
    assert peer["namespaceSelector"] == {}
    assert "s3sink-operator" in peer["podSelector"]["matchExpressions"][0]["values"]


# ---- Services, budget, autoscaler


def test_client_service_as_the_user_says() -> None:
    service = {"type": "NodePort", "port": 8443, "annotations": {"a.example/b": "c"}}
    tls = {"tls": {"secretRef": {"name": "cert"}}}
    found = children(spec_of(service=service, source=tls))["Service/events-s3sink"]
    assert found["spec"]["type"] == "NodePort"
    (port,) = found["spec"]["ports"]
    assert (port["port"], port["appProtocol"]) == (8443, "https")
    assert found["metadata"]["annotations"].keys() == {"a.example/b", names.APPLIED_HASH}


@pytest.mark.parametrize("most", [0, 1, 7, "25%"])
def test_budget(most: int | str) -> None:
    found = children(spec_of(podDisruptionBudget={"maxUnavailable": most}))
    assert found["PodDisruptionBudget/events-s3sink"]["spec"]["maxUnavailable"] == most


def test_the_autoscaler_scales_the_sink() -> None:
    found = children(spec_of(autoscaling={"minReplicas": 2, "maxReplicas": 5}))
    scaler = found["HorizontalPodAutoscaler/events-s3sink"]["spec"]
    assert scaler["scaleTargetRef"] == {
        "apiVersion": "s3sink.dev/v1alpha1",
        "kind": "S3Sink",
        "name": "events",
    }
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)
    requests = container_of(found["StatefulSet/events-s3sink"])["resources"]["requests"]
    assert "cpu" in requests  # which utilization is a percentage of


# ---- settings and what makes new pods


def hashes(wanted: spec.Spec, **changes: Any) -> tuple[str, str]:
    """Digest of the pod template, of the Job's."""
    made = stateful_set(wanted, **changes), drain_job(wanted, **changes)
    return digest(made[0]["spec"]["template"]), digest(made[1]["spec"]["template"])


@pytest.mark.parametrize(
    ("changes", "context"),
    [
        ({"batch": {"maxBytes": "1Mi"}}, {}),
        ({"destination": {"bucket": "other", "region": "us-east-1"}}, {}),
        ({}, {"credentials_hash": "f"}),
        ({}, {"image": "registry.example/s3sink-ingester:2"}),
    ],
    ids=str,
)
def test_makes_new_pods_and_jobs(changes: Object, context: Object) -> None:
    before, after = hashes(spec_of()), hashes(spec_of(**changes), **context)
    assert before[0] != after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize(
    ("changes", "context"),
    [
        ({"replicas": 5}, {"replicas": 5}),
        ({"buffer": {"whenScaled": "Retain", "whenDeleted": "Retain"}}, {}),
        ({"buffer": {"size": "20Gi"}}, {"claim_size": "20Gi", "volume_size": "20Gi"}),
        ({}, {"served": frozenset()}),
        ({"service": {"port": 81}}, {}),
        ({"podDisruptionBudget": {"maxUnavailable": 2}}, {}),
        ({"autoscaling": {"maxReplicas": 2}}, {}),
        ({"networkPolicy": {"enabled": True}}, {}),
    ],
    ids=str,
)
def test_leaves_pods_and_jobs_alone(changes: Object, context: Object) -> None:
    assert hashes(spec_of()) == hashes(spec_of(**changes), **context)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_what_cant_be_changed_is_the_same_for_all(sample: Path) -> None:
    made = next(one for one in everything(sample) if one["kind"] == "StatefulSet")["spec"]
    least = stateful_set(spec_of())["spec"]
    for field in ("podManagementPolicy", "serviceName", "selector"):
        assert made[field] == least[field]
    (claim,) = copy.deepcopy(made["volumeClaimTemplates"])
    claim["spec"].pop("storageClassName", None)  # can't be changed in the spec either
    claim["spec"]["resources"]["requests"]["storage"] = "10Gi"
    assert [claim] == least["volumeClaimTemplates"]


def test_claim_template_and_settings_have_sizes_of_their_own() -> None:
    found = children(spec_of(), claim_size="10Gi", volume_size="20Gi")
    (claim,) = found["StatefulSet/events-s3sink"]["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    settings = yaml.safe_load(found["ConfigMap/events-s3sink"]["data"]["settings.yaml"])
    assert settings["buffer"]["size"] == str(20 * 2**30 * 92 // 100)


def test_a_drain_job_empties_one_volume_with_the_pods_settings() -> None:
    job = drain_job(spec_of(), volume_size="20Gi")
    pod = pod_of(job)
    assert job["metadata"]["name"] == names.drain_job("events", 2)
    assert job["metadata"]["labels"][names.ORDINAL_LABEL] == "2"
    claims = [one["persistentVolumeClaim"] for one in pod["volumes"] if "persistentVolumeClaim" in one]
    assert claims == [{"claimName": "buffer-events-s3sink-2"}]
    name, uid = container_of(job)["env"]
    assert name == {"name": "POD_NAME", "value": "events-s3sink-2"}
    assert uid["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.uid"}}, "the Job's own pod answers"
    assert container_of(job)["command"][:4] == ["s3sink-ingester", "drain", "--epoch", "7"]
    assert [one["name"] for one in container_of(job)["ports"]] == [names.ADMIN_PORT_NAME]
