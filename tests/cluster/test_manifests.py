"""Every manifest of every sample, asked of a real API server, in a namespace with restricted Pod Security.

Pods are made of the StatefulSet and of the drain Job by Kubernetes' own controllers, so what shows is that they are
admitted, not only what they were made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from s3sink_operator import manifests, names, spec
from s3sink_operator.planner import drift

from tests.rig import controlplane, kubetools
from tests.rig.controlplane import ControlPlane
from tests.rig.kubeapi import (
    ACCOUNTS,
    AUTOSCALERS,
    BUDGETS,
    CONFIG_MAPS,
    JOBS,
    PODS,
    POLICIES,
    SERVICE_MONITORS,
    SERVICES,
    SINKS,
    STATEFUL_SETS,
    Kind,
    wait_for,
)
from tests.unit_operator.rendering import EVERYTHING, MINIMAL_SAMPLE, SAMPLES, context_of

KINDS: Final = {
    kind.kind: kind
    for kind in (
        ACCOUNTS,
        AUTOSCALERS,
        BUDGETS,
        CONFIG_MAPS,
        JOBS,
        POLICIES,
        SERVICE_MONITORS,
        SERVICES,
        STATEFUL_SETS,
    )
}

Object = dict[str, Any]


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """One of its own, which knows the Prometheus operator's kinds: elsewhere they are to be missing at first."""
    with controlplane.running() as plane:
        monitors = kubetools.find("prometheus-crds") / "monitoring.coreos.com_servicemonitors.yaml"
        controlplane.install(plane, kubetools.ROOT / "crds", monitors)
        yield plane


class Rendered:
    """A sink that the API server has, and its children."""

    def __init__(self, plane: ControlPlane, namespace: str, sample: Path) -> None:
        manifest = yaml.safe_load(sample.read_text())
        manifest["metadata"]["namespace"] = namespace
        self.api = plane.api
        self.namespace = namespace
        self.sink = self.api.create(SINKS, manifest)
        self.owner = manifests.Owner.of(self.sink)
        self.spec = spec.parse(self.sink)
        account = self.spec.pod_template.service_account_name
        if account:
            self.api.create(ACCOUNTS, {"metadata": {"name": account, "namespace": namespace}})

    def children(self) -> list[Object]:
        """What is rendered, and a drain Job."""
        context = context_of(self.spec, replicas=1)
        rendered = manifests.render(self.spec, self.owner, context)
        return [*rendered, manifests.drain_jobs(self.spec, self.owner, context)(7, "1")]

    def apply(self, manifest: Mapping[str, Any]) -> Object:
        """As the operator does it; with what the server made of it."""
        return self.api.apply(KINDS[manifest["kind"]], dict(manifest), names.FIELD_MANAGER)

    def pod(self, kind: Kind, owner: str) -> Object:
        """The first pod that the controller of ``owner`` made, or what kept it from that."""

        def look() -> Object | None:
            pods = self.api.find(PODS, self.namespace)
            return next((pod for pod in pods if pod["metadata"]["name"].startswith(f"{owner}-")), None)

        def why() -> object:
            events = self.api.request("GET", f"/api/v1/namespaces/{self.namespace}/events")["items"]
            return [event["message"] for event in events if event["involvedObject"]["kind"] == kind.kind]

        return wait_for(look, f"pod of {owner}", why=why)


@pytest.fixture(params=SAMPLES, ids=lambda path: path.name.partition(".")[0])
def rendered(control_plane: ControlPlane, namespace: str, request: pytest.FixtureRequest) -> Rendered:
    return Rendered(control_plane, namespace, request.param)


def test_what_is_rendered_is_admitted_and_stays_as_it_is(rendered: Rendered) -> None:
    wanted = rendered.children()
    made = [rendered.apply(one) for one in wanted]
    assert _differences(made, wanted) == []
    rendered.pod(STATEFUL_SETS, names.child(rendered.owner.name))
    rendered.pod(JOBS, names.drain_job(rendered.owner.name, 7))

    # The server has nothing to rewrite, so applying again changes nothing, and so rolls nothing.
    again = [rendered.apply(one) for one in wanted]
    assert [_wanted_state(one) for one in again] == [_wanted_state(one) for one in made]


AWKWARD: Final[Object] = {
    "resources": {
        "requests": {"cpu": "1500m", "memory": "1048576Ki"},
        "limits": {"cpu": "2.50", "memory": "2e9", "ephemeral-storage": 1000000000},
    },
    "env": [
        {"name": "EMPTY", "value": ""},
        {"name": "NONE"},
        {
            "name": "MEMORY",
            "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1024Ki"}},
        },
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": False}}},
    ],
    "tolerations": [{"operator": "Exists"}, {"key": "a", "effect": "NoExecute", "tolerationSeconds": 0}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
            ]
        },
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "namespaceSelector": {},
                        "labelSelector": {"matchLabels": {}},
                    },
                }
            ]
        },
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}},
        {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2},
    ],
}
"""What the API server writes another way than it was said."""


def test_what_the_server_writes_another_way_is_no_difference(
    control_plane: ControlPlane, namespace: str
) -> None:
    sink = Rendered(control_plane, namespace, MINIMAL_SAMPLE)
    template = {**sink.sink["spec"].get("podTemplate", {}), **AWKWARD}
    buffer = {**sink.sink["spec"]["buffer"], "size": "10240Mi"}
    awkward = {**sink.sink["spec"], "podTemplate": template, "buffer": buffer}
    sink.spec = spec.parse(control_plane.api.patch(SINKS, namespace, sink.owner.name, {"spec": awkward}))
    wanted = sink.children()
    assert _differences([sink.apply(one) for one in wanted], wanted) == []


def test_what_is_left_out_later_goes_away(control_plane: ControlPlane, namespace: str) -> None:
    sink = Rendered(control_plane, namespace, EVERYTHING)
    for one in sink.children():
        if one["kind"] != "Job":  # nobody changes one: it is made again
            sink.apply(one)
    least = {"storageClassName": sink.spec.buffer.storage_class_name, "size": sink.spec.buffer.size}
    document = {"destination": {"bucket": "the-output-bucket", "region": "us-east-1"}, "buffer": least}
    sink.spec = spec.parse({**sink.sink, "spec": {**document, "partitioning": {"urlPath": True}}})
    wanted = [one for one in sink.children() if one["kind"] != "Job"]
    made = [sink.apply(one) for one in wanted]

    assert _differences(made, wanted) == []
    found = {f"{one['kind']}/{one['metadata']['name']}": one for one in made}
    pod = found[f"StatefulSet/{names.child(sink.owner.name)}"]["spec"]["template"]["spec"]
    gone = {"nodeSelector", "tolerations", "priorityClassName"}
    assert not gone & pod.keys()
    (container,) = pod["containers"]
    assert [one["name"] for one in container["env"]] == ["POD_NAME", "POD_UID"]
    assert [one["name"] for one in container["volumeMounts"]] == ["buffer", "settings"]
    assert [one["name"] for one in pod["volumes"]] == ["settings"]
    assert "ephemeral-storage" not in container["resources"]["limits"]
    assert pod["affinity"].keys() == {"podAntiAffinity"}
    assert len(pod["topologySpreadConstraints"]) == 1
    service = found[f"Service/{names.child(sink.owner.name)}"]
    assert service["spec"]["type"] == "ClusterIP"
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["appProtocol"], port.get("nodePort")) == (80, "http", None)
    assert service["metadata"]["annotations"].keys() == {names.APPLIED_HASH}


def _differences(made: list[Object], wanted: list[Object]) -> list[str]:
    found = (drift.between(live, one).reason for live, one in zip(made, wanted, strict=True))
    return [one for one in found if one is not None]


def _wanted_state(live: Object) -> Object:
    """What a user or the operator says of it, with its generation."""
    rest = {key: value for key, value in live.items() if key not in ("metadata", "status")}
    meta = {
        key: live["metadata"].get(key) for key in ("generation", "labels", "annotations", "ownerReferences")
    }
    return {**rest, **meta}
