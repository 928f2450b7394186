"""One control plane for the whole tier; a namespace for each test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.rig import controlplane, kubetools
from tests.rig.flaky_proxy import FlakyProxy, flaky_proxy
from tests.rig.kubeapi import ACCOUNTS, NAMESPACES, wait_for
from tests.rig.kubelet import Kubelet
from tests.rig.operators import Operator
from tests.rig.s3servers import S3Server, versitygw
from tests.rig.sinks import LiveSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.controlplane import ControlPlane


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real control plane with the CRDs of ``crds/``; nothing runs pods in it."""
    with controlplane.running() as plane:
        controlplane.install(plane, kubetools.ROOT / "crds")
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new namespace, in which Pod Security is enforced as strictly as it can be; deleted afterwards."""
    base = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40].strip("-")
    meta = {"generateName": f"{base}-", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    made = control_plane.api.create(NAMESPACES, {"metadata": meta})
    name: str = made["metadata"]["name"]
    wait_for(lambda: control_plane.api.get(ACCOUNTS, name, "default"), f"service account in {name}")
    yield name
    control_plane.api.delete(NAMESPACES, "", name)


@pytest.fixture(scope="session")
def kubelet(control_plane: ControlPlane) -> Iterator[Kubelet]:
    """Nodes that run pods as processes."""
    with Kubelet(control_plane) as started:
        yield started


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server: versitygw, which keeps all in files."""
    with versitygw(kubetools.find("versitygw"), tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@pytest.fixture(scope="module")
def _only_operator(control_plane: ControlPlane) -> Iterator[Operator]:
    """Not for the session: modules that ask for none have the control plane to themselves."""
    with Operator(control_plane) as started:
        yield started


@pytest.fixture
def operator(_only_operator: Operator) -> Operator:
    """The operator, which cares for all namespaces. A test may kill it, stop it, start it: the next one finds it up."""
    if not _only_operator.process.alive:
        _only_operator.start()
    return _only_operator


@pytest.fixture
def sink(control_plane: ControlPlane, kubelet: Kubelet, s3: S3Server, namespace: str) -> LiveSink:
    """A sink that isn't applied yet; its bucket and its Secret are there."""
    made = LiveSink(control_plane, kubelet, s3, namespace)
    made.prepare()
    return made


@pytest.fixture(autouse=True)
def _sound_rig(request: pytest.FixtureRequest) -> Iterator[None]:
    """The rig's own failures are told by the test in which they happen."""
    yield
    if "kubelet" in request.fixturenames:
        failures = request.getfixturevalue("kubelet").failures
        told = "\n".join(failures)
        failures.clear()
        assert not told, told


@pytest.fixture
def service_monitor_crd(control_plane: ControlPlane) -> Iterator[str]:
    """The definition of ServiceMonitors, which isn't installed; whoever installs it has it removed afterwards."""
    file = kubetools.find("prometheus-crds") / "monitoring.coreos.com_servicemonitors.yaml"
    yield str(file)
    control_plane.kubectl("delete", "--ignore-not-found", "--wait=true", "-f", str(file))


@pytest.fixture
def proxied(sink: LiveSink, s3: S3Server) -> Iterator[FlakyProxy]:
    """The sink's way to S3, which a test may cut: ``stop``, ``start``."""
    with flaky_proxy(s3.endpoint) as proxy:
        sink.endpoint = proxy.endpoint
        yield proxy
