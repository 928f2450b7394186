"""Rights: what the operator and users may do and may not, and a sink's whole life under the operator's own rights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest

from tests.rig import controlplane, helm, kubetools
from tests.rig.controlplane import ControlPlane
from tests.rig.kubeapi import (
    ACCOUNTS,
    AUTOSCALERS,
    BUDGETS,
    CLAIMS,
    CONFIG_MAPS,
    JOBS,
    NAMESPACES,
    PODS,
    POLICIES,
    SERVICE_MONITORS,
    SINKS,
    Api,
    ApiError,
    Kind,
    wait_for,
)
from tests.rig.kubelet import Kubelet
from tests.rig.s3servers import S3Server
from tests.rig.sinks import LiveSink

WIDE: Final = "s3sink-system"
NARROW: Final = "team-operator"
TEAM: Final = "team-a"
OTHERS: Final = "team-b"
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}
QUICK: Final[dict[str, Any]] = {
    "resync": "5s",
    # Pods share this machine's ports; each has an address of its own.
    "extraEnv": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    "extraArgs": ["--listen=$(POD_IP):8080"],
}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """Two releases, of which no pod runs: one for the whole cluster, one for a team's namespace."""
    with controlplane.running() as running:
        for name in (WIDE, NARROW, TEAM, OTHERS):
            running.api.create(NAMESPACES, {"metadata": {"name": name, "labels": RESTRICTED}})
        install(running, WIDE, replicas=0, leaderElection="Enabled")
        running.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        install(running, NARROW, **narrow(replicas=0))
        yield running


@pytest.fixture(scope="module")
def kubelet(plane: ControlPlane) -> Iterator[Kubelet]:
    """Runs the pods of operators and sinks, each with the rights of its own account."""
    with Kubelet(plane) as started:
        yield started


@pytest.fixture
def sink(plane: ControlPlane, kubelet: Kubelet, s3: S3Server) -> LiveSink:
    """In the team's namespace; isn't applied yet."""
    made = LiveSink(plane, kubelet, s3, TEAM)
    made.prepare()
    return made


def narrow(**values: Any) -> dict[str, Any]:
    """Values of a release without any right beyond one namespace."""
    reads = {"clusterReads": False, "aggregateRoles": False}
    return {"watchNamespaces": [TEAM], "crds": {"install": False}, "rbac": reads, **values}


def install(plane: ControlPlane, namespace: str, *flags: str, **values: Any) -> None:
    """Install or change the release ``s3sink`` of a namespace."""
    helm.helm(
        "upgrade", "--install", helm.RELEASE, helm.CHART, "--namespace", namespace, *flags,
        values=values, kubeconfig=plane.kubeconfig,
    )  # fmt: skip


# ---- tables


@dataclass(frozen=True)
class Ask:
    """May somebody do this? ``what``: ``group/resource/subresource``, the last part if there is one."""

    verb: str
    what: str
    namespace: str = TEAM

    def allowed(self, plane: ControlPlane, namespace: str, account: str) -> bool:
        """What `kubectl auth can-i --as` asks."""
        group, resource, *rest = self.what.split("/")
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        attributes = {
            "verb": self.verb, "group": group, "resource": resource, "subresource": "/".join(rest),
            "namespace": self.namespace,
        }  # fmt: skip
        user = f"system:serviceaccount:{namespace}:{account}"
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
        }
        answer = plane.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        return bool(answer["status"]["allowed"])


FORBIDDEN: Final = [
    *(Ask(verb, "/secrets") for verb in ("list", "watch", "create", "update", "patch", "delete")),
    *(Ask("create", f"/pods/{sub}") for sub in ("exec", "attach", "portforward", "eviction", "proxy")),
    *(Ask("get", f"/pods/{sub}") for sub in ("exec", "log", "proxy")),
    *(Ask(verb, "/pods") for verb in ("create", "update", "patch", "deletecollection")),
    *(Ask(verb, "/persistentvolumeclaims") for verb in ("create", "update", "deletecollection")),
    *(Ask(verb, "s3sink.dev/s3sinks") for verb in ("create", "update", "delete", "deletecollection")),
    *(Ask("create", f"/serviceaccounts/{sub}") for sub in ("token",)),
    *(Ask(verb, f"rbac.authorization.k8s.io/{kind}") for verb in ("get", "create", "bind", "escalate")
      for kind in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")),
    *(Ask("impersonate", f"/{kind}") for kind in ("users", "groups", "serviceaccounts")),
    *(Ask(verb, "/nodes", "") for verb in ("get", "list")),
    *(Ask(verb, "/persistentvolumes", "") for verb in ("get", "list", "delete")),
    *(Ask(verb, "/namespaces", "") for verb in ("list", "watch", "delete")),
    *(Ask(verb, "apiextensions.k8s.io/customresourcedefinitions", "") for verb in ("create", "patch", "delete")),
    *(Ask(verb, "storage.k8s.io/storageclasses", "") for verb in ("create", "patch", "delete")),
    *(Ask("delete", what) for what in ("/services", "policy/poddisruptionbudgets")),
    *(Ask(verb, "apps/deployments") for verb in ("get", "patch")),
    *(Ask(verb, "coordination.k8s.io/leases") for verb in ("get", "create", "update")),
    Ask("*", "*/*"),
]  # fmt: skip
ALLOWED: Final = [
    *(Ask(verb, "s3sink.dev/s3sinks") for verb in ("get", "list", "watch", "patch")),
    Ask("patch", "s3sink.dev/s3sinks/status"),
    Ask("update", "s3sink.dev/s3sinks/finalizers"),
    *(
        Ask(verb, f"apps/{kind}")
        for kind in ("statefulsets",)
        for verb in ("get", "watch", "create", "patch", "delete")
    ),
    Ask("get", "/secrets"),
    Ask("delete", "/persistentvolumeclaims"),
]


@pytest.mark.parametrize("release", [WIDE, NARROW])
@pytest.mark.parametrize("ask", FORBIDDEN, ids=lambda ask: f"{ask.verb} {ask.what}")
def test_the_operator_may_not(plane: ControlPlane, release: str, ask: Ask) -> None:
    assert not ask.allowed(plane, release, "s3sink-operator")


@pytest.mark.parametrize("ask", ALLOWED, ids=lambda ask: f"{ask.verb} {ask.what}")
def test_the_operator_may(plane: ControlPlane, ask: Ask) -> None:
    elsewhere = Ask(ask.verb, ask.what, OTHERS)
    assert ask.allowed(plane, WIDE, "s3sink-operator")
    assert elsewhere.allowed(plane, WIDE, "s3sink-operator")
    assert ask.allowed(plane, NARROW, "s3sink-operator")
    assert not elsewhere.allowed(plane, NARROW, "s3sink-operator")
    # Nor in its own namespace, which it doesn't serve.
    assert not Ask(ask.verb, ask.what, NARROW).allowed(plane, NARROW, "s3sink-operator")


@pytest.mark.parametrize(
    ("verb", "what"),
    [
        ("get", "storage.k8s.io/storageclasses"),
        ("list", "storage.k8s.io/storageclasses"),
        ("watch", "apiextensions.k8s.io/customresourcedefinitions"),
    ],
)
def test_reading_what_has_no_namespace_is_optional(plane: ControlPlane, verb: str, what: str) -> None:
    ask = Ask(verb, what, "")
    assert ask.allowed(plane, WIDE, "s3sink-operator")
    assert not ask.allowed(plane, NARROW, "s3sink-operator")


def test_the_lease_is_its_own_one(plane: ControlPlane) -> None:
    assert Ask("create", "coordination.k8s.io/leases", WIDE).allowed(plane, WIDE, "s3sink-operator")
    assert not Ask("update", "coordination.k8s.io/leases", WIDE).allowed(plane, WIDE, "s3sink-operator")
    role = plane.kubectl("-n", WIDE, "get", "role", "s3sink-operator-leader", "-o", "yaml").stdout
    assert "resourceNames:\n  - s3sink-operator\n" in role


# ---- users

USERS: Final = [
    ("view", {"get", "list", "watch"}, set[str]()),
    ("edit", {"get", "list", "watch", "create", "update", "patch", "delete"}, {"get", "update", "patch"}),
    ("admin", {"get", "list", "watch", "create", "update", "patch", "delete"}, {"get", "update", "patch"}),
]


@pytest.fixture(scope="module")
def users(plane: ControlPlane) -> ControlPlane:
    """An account for each of the cluster's roles in the team's namespace."""
    for role, _, _ in USERS:
        plane.api.create(ACCOUNTS, {"metadata": {"name": f"user-{role}", "namespace": TEAM}})
        plane.kubectl(
            "create", "rolebinding", f"user-{role}", f"--clusterrole={role}",
            f"--serviceaccount={TEAM}:user-{role}", f"--namespace={TEAM}",
        )  # fmt: skip
    ask = Ask("update", "s3sink.dev/s3sinks/finalizers")
    wait_for(lambda: ask.allowed(plane, TEAM, "user-admin"), "aggregation of roles")
    return plane


@pytest.mark.parametrize(("role", "verbs", "scale"), USERS, ids=[role for role, _, _ in USERS])
def test_users(users: ControlPlane, role: str, verbs: set[str], scale: set[str]) -> None:
    every = {"get", "list", "watch", "create", "update", "patch", "delete"}
    account = f"user-{role}"
    assert {v for v in every if Ask(v, "s3sink.dev/s3sinks").allowed(users, TEAM, account)} == verbs
    scaled = {
        v for v in ("update", "patch") if Ask(v, "s3sink.dev/s3sinks/scale").allowed(users, TEAM, account)
    }
    assert scaled == scale - {"get"}
    assert not any(Ask(v, "s3sink.dev/s3sinks", OTHERS).allowed(users, TEAM, account) for v in every)
    assert Ask("patch", "s3sink.dev/s3sinks/status").allowed(users, TEAM, account) == (role == "admin")


def test_an_editor_makes_a_sink_and_a_viewer_does_not(users: ControlPlane) -> None:
    sink = {
        "apiVersion": SINKS.api_version,
        "kind": SINKS.kind,
        "metadata": {"name": "by-hand", "namespace": TEAM},
        "spec": {
            "destination": {"bucket": "the-output-bucket", "region": "us-east-1"},
            "partitioning": {"urlPath": True},
        },
    }
    viewer, editor = (Api(users.url, users.ca, users.token_for(TEAM, f"user-{r}")) for r in ("view", "edit"))
    with pytest.raises(ApiError, match='cannot create resource "s3sinks"'):
        viewer.create(SINKS, sink)
    editor.create(SINKS, sink)
    assert viewer.get(SINKS, TEAM, "by-hand") is not None
    editor.patch(SINKS, TEAM, "by-hand", {"spec": {"replicas": 2}}, subresource="scale")
    editor.delete(SINKS, TEAM, "by-hand")


# ---- the operator at work, in a pod of its Deployment


def operators_log(kubelet: Kubelet, namespace: str) -> str:
    pods = [pod["metadata"]["name"] for pod in kubelet.api.find(PODS, namespace)]
    return "\n".join(kubelet.logs(namespace, name) for name in pods)


def whole_life(sink: LiveSink, besides: list[Kind]) -> None:
    """Everything that the operator does to a sink, with records going through it. ``besides``: further children."""
    optional = [AUTOSCALERS, POLICIES, *besides]
    sink.apply(
        replicas=2,
        networkPolicy={"enabled": True},
        autoscaling={"minReplicas": 2, "maxReplicas": 3},
        batch={"window": "1h"},
    )
    sink.wait_ready(2)
    for kind in (BUDGETS, *optional):
        sink.wait(partial(sink.child, kind), kind.kind)
    sink.send(5)
    sink.patch(
        {
            "networkPolicy": {"enabled": False},
            "autoscaling": None,
            "monitoring": {"serviceMonitor": "Disabled"},
            "podTemplate": {"env": [{"name": "A", "value": "b"}]},
        }
    )
    for kind in optional:
        sink.wait(partial(is_gone, sink, kind), f"end of the {kind.kind}")
    sink.patch({"buffer": {"size": "2Gi"}})
    sink.wait(lambda: sizes(sink) == {"2Gi"}, "larger volumes")
    sink.wait_condition("StorageResized", "True")
    sink.wait_ready(2)
    sink.scale(1)
    sink.wait(lambda: len(sink.claims()) == 1 and len(sink.pods()) == 1, "one pod and one volume")
    sink.wait_ready(1)
    sink.send(5)
    # Its pods are killed before they are empty, so that Jobs have to do it.
    for name in sink.pods():
        sink.kubelet.pod(sink.namespace, name).crash()
    sink.delete("--cascade=foreground")
    sink.wait_gone(120.0)
    for kind in (CONFIG_MAPS, ACCOUNTS, JOBS, CLAIMS):
        sink.wait(partial(is_gone, sink, kind), f"end of the {kind.kind}")
    sink.verdict()


def is_gone(sink: LiveSink, kind: Kind) -> bool:
    """Whether the sink has no child of this kind."""
    return not sink.owned(kind)


def sizes(sink: LiveSink) -> set[str]:
    return {claim["status"].get("capacity", {}).get("storage") for claim in sink.claims().values()}


@contextmanager
def running(sink: LiveSink, namespace: str, **values: Any) -> Iterator[None]:
    """The release's operator runs: until the probes of its pod pass, as `--wait` has it. Stopped afterwards."""
    plane = sink.plane
    install(plane, namespace, "--wait", "--timeout=60s", **QUICK, **values)
    try:
        yield
    except BaseException as error:
        error.add_note(operators_log(sink.kubelet, namespace))
        raise
    finally:
        install(plane, namespace, "--wait", **{**values, "replicas": 0})
        wait_for(lambda: not plane.api.find(PODS, namespace), "end of the operator")


def test_a_sinks_life_under_rights_in_the_whole_cluster(
    plane: ControlPlane, kubelet: Kubelet, sink: LiveSink
) -> None:
    crds = kubetools.find("prometheus-crds")
    plane.kubectl("apply", "--server-side", "-f", str(crds / "monitoring.coreos.com_servicemonitors.yaml"))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    monitored = {"metrics": {"serviceMonitor": {"enabled": True}}}
    with running(sink, WIDE, replicas=2, leaderElection="Enabled", **monitored):
        whole_life(sink, [SERVICE_MONITORS])
        log = operators_log(kubelet, WIDE)
        assert plane.api.get(SERVICE_MONITORS, WIDE, "s3sink-operator") is not None
    assert "forbidden" not in log, log


def test_a_sinks_life_under_rights_in_one_namespace(
    plane: ControlPlane, kubelet: Kubelet, sink: LiveSink
) -> None:
    """Nothing that has no namespace can be read, and the sinks of others are theirs."""
    theirs = LiveSink(plane, kubelet, sink.s3, OTHERS)
    theirs.apply()
    with running(sink, NARROW, **narrow()):
        whole_life(sink, [])
        log = operators_log(kubelet, NARROW)
    assert theirs.now.get("status") is None
    assert theirs.now["metadata"].get("finalizers") is None
    theirs.delete()
    theirs.wait_gone()
    refused = [line for line in log.splitlines() if "forbidden" in line]
    assert all("storageclasses" in line or "customresourcedefinitions" in line for line in refused), log


def test_a_sink_outlives_its_operator_and_goes_with_the_next(
    plane: ControlPlane, kubelet: Kubelet, sink: LiveSink
) -> None:
    """As docs/install.md says of what is done out of order."""
    with running(sink, NARROW, **narrow()):
        sink.apply()
        sink.wait_ready(1)
    helm.helm("uninstall", helm.RELEASE, "--namespace", NARROW, kubeconfig=plane.kubeconfig)
    sink.send(3)
    sink.delete()
    assert "deletionTimestamp" in sink.now["metadata"]
    sink.send(3)
    with running(sink, NARROW, **narrow()):
        sink.wait_gone()
    assert sink.claims() == {}
    sink.verdict()


def test_a_sink_is_let_go_without_an_operator(plane: ControlPlane, kubelet: Kubelet, sink: LiveSink) -> None:
    """By the command in docs/install.md; what was not uploaded stays on the volumes."""
    with running(sink, NARROW, **narrow()):
        sink.apply(batch={"window": "1h"})
        sink.wait_ready(1)
        sink.send(3)
    sink.delete()
    sink.kubectl("patch", "s3sink", sink.name, "--type=merge", '--patch={"metadata": {"finalizers": null}}')
    sink.wait_gone()
    kept = sink.kubectl("get", "persistentvolumeclaims", "--selector", "s3sink.dev/sink=events", "-o", "name")
    assert kept.split() == ["persistentvolumeclaim/buffer-events-s3sink-0"]
    sink.kubectl("delete", "pvc", "buffer-events-s3sink-0")
