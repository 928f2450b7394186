"""Releases in a real cluster: install, upgrade, uninstall, and what becomes of the CRD and of S3Sinks."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.rig import controlplane, helm, kubetools
from tests.rig.controlplane import ControlPlane
from tests.rig.helm import NAMESPACE, RELEASE, HelmError
from tests.rig.kubeapi import (
    ACCOUNTS,
    BUDGETS,
    CRDS,
    NAMESPACES,
    PODS,
    SINKS,
    ApiError,
    Kind,
    Object,
    wait_for,
)

CRD = "s3sinks.s3sink.dev"
DEPLOYMENTS = Kind("apps/v1", "Deployment", "deployments")
BINDINGS = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
SINK = {
    "apiVersion": "s3sink.dev/v1alpha1",
    "kind": "S3Sink",
    "metadata": {"name": "events", "namespace": "default"},
    "spec": {
        "destination": {"bucket": "the-output-bucket", "region": "us-east-1"},
        "partitioning": {"regex": r"^(?P<path>\S+) (?P<content>.+)$"},
    },
}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane without the CRD, which these tests install and remove."""
    with controlplane.running() as running:
        running.api.create(NAMESPACES, {"metadata": {"name": NAMESPACE, "labels": RESTRICTED}})
        yield running


@pytest.fixture
def cluster(plane: ControlPlane) -> Iterator[ControlPlane]:
    """Neither releases, nor CRD, nor S3Sinks are left behind."""
    yield plane
    for release in json.loads(run(plane, "list", "--namespace", NAMESPACE, "--output=json")):
        run(plane, "uninstall", release["name"], "--namespace", NAMESPACE)
    plane.api.delete(CRDS, "", CRD)
    wait_for(lambda: plane.api.get(CRDS, "", CRD) is None, "end of the CRD")


def run(plane: ControlPlane, *arguments: str | Path, values: dict[str, Any] | None = None) -> str:
    return helm.helm(*arguments, values=values, kubeconfig=plane.kubeconfig)


def install(plane: ControlPlane, *flags: str, release: str = RELEASE, **values: Any) -> str:
    said = run(plane, "install", release, helm.CHART, "--namespace", NAMESPACE, *flags, values=values)
    if values.get("crds", {}).get("install", True):
        plane.kubectl("wait", "--for=condition=Established", f"crd/{CRD}", "--timeout=60s")
    return said


def uninstall(plane: ControlPlane) -> str:
    return run(plane, "uninstall", RELEASE, "--namespace", NAMESPACE)


def is_served(plane: ControlPlane) -> bool:
    """Whether the API server lists the kind."""
    try:
        return '"s3sinks"' in plane.api.text("/apis/s3sink.dev/v1alpha1")
    except ApiError as error:
        if error.status != 404:
            raise
        return False


def live_crd(plane: ControlPlane) -> Object:
    found = plane.api.get(CRDS, "", CRD)
    assert found is not None
    return found


def managers(thing: Object) -> set[str]:
    return {entry["manager"] for entry in thing["metadata"]["managedFields"]}


def columns(plane: ControlPlane) -> list[Object]:
    found: list[Object] = live_crd(plane)["spec"]["versions"][0]["additionalPrinterColumns"]
    return found


def columns_of(chart: Path) -> list[Object]:
    crd = yaml.safe_load((chart / "files" / f"{CRD}.yaml").read_text())
    found: list[Object] = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    return found


def newer_chart(folder: Path) -> Path:
    """The chart as a later version may be: its CRD has one more column and says more about a field."""
    chart = folder / "s3sink"
    shutil.copytree(helm.CHART, chart)
    path = chart / "files" / f"{CRD}.yaml"
    crd = yaml.safe_load(path.read_text())
    (version,) = crd["spec"]["versions"]
    version["additionalPrinterColumns"].append(
        {"name": "Zone", "type": "string", "jsonPath": ".metadata.name"}
    )
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["description"] = "In other words."
    path.write_text(yaml.safe_dump(crd, sort_keys=False))
    return chart


def test_install(cluster: ControlPlane) -> None:
    notes = install(cluster)
    manifest = notes.partition("<<'MANIFEST'\n")[2].partition("  MANIFEST\n")[0]
    assert (
        "The s3sink operator 0.1.0 is installed in s3sink-system. It serves S3Sinks in every namespace."
        in notes
    )
    assert "s3sink.s3sink.dev/events serverside-applied" in (
        cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=manifest).stdout
    )
    # Pod Security is enforced in this namespace: the pods of the Deployment are admitted.
    wait_for(lambda: cluster.api.find(PODS, NAMESPACE), "pod of the operator")
    deployment = cluster.api.get(DEPLOYMENTS, NAMESPACE, "s3sink-operator")
    assert deployment is not None
    failed = [c for c in deployment["status"].get("conditions", ()) if c["type"] == "ReplicaFailure"]
    assert failed == []


def test_the_tests_pod_is_admitted(cluster: ControlPlane) -> None:
    """Pod Security, and nothing in it that a strict decoder does not know."""
    install(cluster)
    pod = helm.one(helm.template(), "Pod")
    said = cluster.kubectl(
        "create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(pod)
    )
    assert "s3sink-test created" in said.stdout


def test_helm_tests_script(cluster: ControlPlane, tmp_path: Path) -> None:
    """As its pod runs it, with the account's token: what is missing is said, and nothing is when nothing is."""
    install(cluster, crds={"install": False})
    (command,) = helm.one(helm.template(), "Pod")["spec"]["containers"]
    assert command["args"][1] == "http://s3sink-operator-metrics.s3sink-system.svc:8080/readyz"
    (tmp_path / "token").write_text(cluster.token_for(NAMESPACE, "s3sink-operator"))
    shutil.copy(cluster.ca, tmp_path / "ca.crt")
    host, _, port = cluster.url.removeprefix("https://").partition(":")
    env = {"SERVICE_ACCOUNT": str(tmp_path), "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}

    def tested(url: str) -> tuple[int, str]:
        argv = [sys.executable, *command["command"][1:], command["args"][0], url, "0"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **env})
        return done.returncode, done.stdout + done.stderr

    # What is served follows a definition after a moment, also when that says that it is established.
    wait_for(lambda: not is_served(cluster), "end of the kind")
    status, said = tested("http://127.0.0.1:9/readyz")
    assert status == 1
    assert said.startswith("S3Sinks are not served (crds.install?): HTTP Error 404")
    cluster.kubectl("apply", "--server-side", "-f", str(kubetools.ROOT / "crds"))
    wait_for(lambda: is_served(cluster), "kind")
    status, said = tested("http://127.0.0.1:9/readyz")
    assert status == 1
    assert said.startswith("the operator is not ready (http://127.0.0.1:9/readyz): ")
    with answering(503) as url:
        assert tested(url) == (1, f"the operator is not ready ({url}): HTTP Error 503: Service Unavailable\n")
    with answering(200) as url:
        assert tested(url) == (0, "S3Sinks are served and the operator is ready\n")


@contextmanager
def answering(status: int) -> Iterator[str]:
    """URL of a page with that status."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing of interest."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/readyz"
        server.shutdown()


@pytest.mark.parametrize("mode", ["true", "false"], ids=["server-side", "as Helm 3"])
def test_an_upgrade_changes_the_crd_and_keeps_sinks(cluster: ControlPlane, tmp_path: Path, mode: str) -> None:
    install(cluster, f"--server-side={mode}")
    sink = cluster.api.create(SINKS, SINK)
    before = live_crd(cluster)
    run(cluster, "upgrade", RELEASE, newer_chart(tmp_path), "--namespace", NAMESPACE)
    after = live_crd(cluster)
    (version,) = after["spec"]["versions"]
    assert version["additionalPrinterColumns"][-1]["name"] == "Zone"
    assert version["schema"]["openAPIV3Schema"]["properties"]["spec"]["description"] == "In other words."
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    kept = cluster.api.get(SINKS, "default", "events")
    assert kept is not None
    assert kept["metadata"]["uid"] == sink["metadata"]["uid"]
    # Nobody else writes the CRD, so no upgrade can ever run into a conflict.
    assert managers(after) == {"helm", "kube-apiserver"}


@pytest.mark.parametrize("mode", ["true", "false"], ids=["server-side", "as Helm 3"])
def test_replicas_come_and_go(cluster: ControlPlane, mode: str) -> None:
    """Their number changes how the Deployment rolls: nothing of the one way is left over for the other."""
    install(cluster, f"--server-side={mode}")
    for replicas, strategy in ((2, "RollingUpdate"), (1, "Recreate")):
        values = {"replicas": replicas}
        run(cluster, "upgrade", RELEASE, helm.CHART, "--namespace", NAMESPACE, values=values)
        deployment = cluster.api.get(DEPLOYMENTS, NAMESPACE, "s3sink-operator")
        assert deployment is not None
        assert deployment["spec"]["replicas"] == replicas
        assert deployment["spec"]["strategy"]["type"] == strategy
        assert ("rollingUpdate" in deployment["spec"]["strategy"]) == (strategy == "RollingUpdate")
        assert bool(cluster.api.find(BUDGETS, NAMESPACE)) == (replicas > 1)


def test_a_rollback_takes_the_change_back(cluster: ControlPlane, tmp_path: Path) -> None:
    install(cluster)
    before = live_crd(cluster)["spec"]
    run(cluster, "upgrade", RELEASE, newer_chart(tmp_path), "--namespace", NAMESPACE)
    run(cluster, "rollback", RELEASE, "1", "--namespace", NAMESPACE)
    assert live_crd(cluster)["spec"] == before


def test_sinks_survive_an_uninstall_and_a_new_install(cluster: ControlPlane) -> None:
    install(cluster)
    sink = cluster.api.create(SINKS, SINK)
    said = uninstall(cluster)
    assert (
        "These resources were kept due to the resource policy:\n[CustomResourceDefinition] s3sinks.s3sink.dev"
        in said
    )
    assert cluster.api.get(DEPLOYMENTS, NAMESPACE, "s3sink-operator") is None
    install(cluster)
    kept = cluster.api.get(SINKS, "default", "events")
    assert kept is not None
    assert kept["metadata"]["uid"] == sink["metadata"]["uid"]


def test_the_crd_stays_when_the_chart_is_told_to_leave_it_alone(cluster: ControlPlane) -> None:
    install(cluster)
    run(
        cluster, "upgrade", RELEASE, helm.CHART, "--namespace", NAMESPACE,
        values={"crds": {"install": False}},
    )  # fmt: skip
    assert live_crd(cluster)["spec"]["names"]["kind"] == "S3Sink"


def test_the_crd_goes_only_if_that_was_said(cluster: ControlPlane) -> None:
    assert "CAUTION: crds.keep is false." in install(cluster, crds={"keep": False})
    uninstall(cluster)
    wait_for(lambda: cluster.api.get(CRDS, "", CRD) is None, "deletion of the CRD")


def test_a_crd_of_somebody_else_is_taken_over_on_request(cluster: ControlPlane, tmp_path: Path) -> None:
    """kubectl put it there, in another version."""
    newer = newer_chart(tmp_path)
    cluster.kubectl("apply", "--server-side", "-f", str(newer / "files" / f"{CRD}.yaml"))
    with pytest.raises(HelmError, match=f'"{CRD}" in namespace "" exists and cannot be imported'):
        install(cluster)
    install(cluster, "--take-ownership", "--force-conflicts")
    assert len(columns(cluster)) == len(columns_of(helm.CHART))
    run(cluster, "upgrade", RELEASE, newer, "--namespace", NAMESPACE)
    assert len(columns(cluster)) == len(columns_of(newer))


def test_a_release_of_another_name_takes_over_on_request(cluster: ControlPlane) -> None:
    install(cluster)
    uninstall(cluster)
    with pytest.raises(HelmError, match="exists and cannot be imported"):
        install(cluster, release="sinks")
    install(cluster, "--take-ownership", "--force-conflicts", release="sinks")


def test_without_helm(cluster: ControlPlane) -> None:
    """The command in docs/install.md, twice: what is there already is no obstacle."""
    root = kubetools.ROOT
    operator = root / "deploy" / "operator.yaml"
    files = ("-f", str(root / "crds"), "-f", str(operator))
    cluster.kubectl("apply", "--server-side", *files)
    cluster.kubectl("apply", "--server-side", *files)
    wait_for(lambda: cluster.api.find(PODS, NAMESPACE), "pod of the operator")
    rest = [m for m in yaml.safe_load_all(operator.read_text()) if m["kind"] != "Namespace"]
    cluster.kubectl("delete", "-f", "-", stdin=yaml.safe_dump_all(rest))


def test_an_admin_of_a_namespace_installs_an_operator_there(cluster: ControlPlane) -> None:
    """With no right beyond it: the roles for users hold what an operator is to be given."""
    install(cluster)
    owner = {"metadata": {"name": "owner", "namespace": NAMESPACE}}
    cluster.api.create(ACCOUNTS, owner)
    cluster.kubectl(
        "create", "rolebinding", "owner", "--clusterrole=admin",
        f"--serviceaccount={NAMESPACE}:owner", f"--namespace={NAMESPACE}",
    )  # fmt: skip
    kubeconfig = cluster.kubeconfig_for(NAMESPACE, "owner")
    values = {
        "watchNamespaces": [NAMESPACE],
        "crds": {"install": False},
        "rbac": {"clusterReads": False, "serviceMonitors": False, "aggregateRoles": False},
    }

    def installed() -> bool:
        """The admin role is put together by a controller, a moment after its parts."""
        try:
            arguments = ("upgrade", "--install", "own", helm.CHART, "--namespace", NAMESPACE)
            helm.helm(*arguments, values=values, kubeconfig=kubeconfig)
        except HelmError as error:
            refused.append(str(error))
            return False
        return True

    refused: list[str] = []
    wait_for(installed, "release by the admin of a namespace", why=lambda: refused[-1])
    assert cluster.api.get(BINDINGS, NAMESPACE, "own-s3sink-operator") is not None
    with pytest.raises(HelmError, match=re.compile("forbidden", re.IGNORECASE)):
        helm.helm(
            "upgrade", "own", helm.CHART, "--namespace", NAMESPACE,
            values={**values, "watchNamespaces": ["default"]}, kubeconfig=kubeconfig,
        )  # fmt: skip
