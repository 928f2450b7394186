"""A real cluster for the whole tier: made on this machine by ``make e2e``, or the one that KUBECONFIG names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rig import helm, kubetools
from tests.rig.controlplane import ControlPlane, Network
from tests.rig.kubeapi import NAMESPACES
from tests.rig.node import images, isolation, provisioner
from tests.rig.node.machine import Node
from tests.rig.s3servers import S3Server, versitygw
from tests.rig.sinks import LiveSink

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def directory() -> Path:
    """Where all files of the cluster are. Who made it removes it, when nothing is mounted in it any more."""
    return Path(os.environ["S3SINK_E2E_DIRECTORY"])


@pytest.fixture(scope="session")
def plane(directory: Path) -> Iterator[ControlPlane]:
    """The control plane."""
    isolation.settle(directory)
    with ControlPlane(directory, Network(isolation.ADDRESS, pods=True)) as started:
        yield started


@pytest.fixture(scope="session")
def node(plane: ControlPlane) -> Iterator[Node]:
    """A node with volumes."""
    with Node(plane, plane.directory / "images") as started, provisioner.running(plane):
        yield started


@pytest.fixture(scope="session")
def s3(directory: Path, plane: ControlPlane) -> Iterator[S3Server]:
    """A real S3 server that pods reach."""
    folder = directory / "s3"
    folder.mkdir()
    with versitygw(kubetools.find("versitygw"), folder, host=isolation.ADDRESS) as server:
        yield server


@pytest.fixture(scope="session")
def release(plane: ControlPlane, node: Node) -> None:
    """The operator, installed by Helm."""
    image = {"registry": "localhost", "tag": images.TAG, "pullPolicy": "Never"}
    values = {"image": image, "ingesterImage": {"tag": images.TAG}, "resync": "5s"}
    try:
        helm.helm(
            *("install", helm.RELEASE, helm.CHART, "--namespace", helm.NAMESPACE, "--create-namespace"),
            *("--wait", "--timeout", "3m"),
            values=values,
            kubeconfig=plane.kubeconfig,
        )
    except helm.HelmError as error:
        shown = [
            plane.kubectl("-n", helm.NAMESPACE, *look, check=False).stdout
            for look in (
                ("describe", "pods"),
                ("logs", "--previous", "--tail=50", "-l", "app.kubernetes.io/name=s3sink"),
            )
        ]
        raise AssertionError("\n".join([str(error), *shown])) from error


@pytest.fixture
def namespace(plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new namespace, in which Pod Security is enforced as strictly as it can be; deleted afterwards."""
    base = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40].strip("-")
    meta = {"generateName": f"{base}-", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    name: str = plane.api.create(NAMESPACES, {"metadata": meta})["metadata"]["name"]
    yield name
    plane.api.delete(NAMESPACES, "", name)


@pytest.fixture
def sink(plane: ControlPlane, node: Node, s3: S3Server, release: None, namespace: str) -> LiveSink:
    """A sink that isn't applied yet; its bucket and its Secret are there."""
    made = LiveSink(plane, node, s3, namespace)
    made.prepare()
    return made
