"""A real cluster for the whole tier: the one that KUBECONFIG names, be it made by ``make e2e`` or yours."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.rig import agents as agent_pods
from tests.rig import s3pod
from tests.rig.agents import Agents
from tests.rig.anycluster import AnyCluster
from tests.rig.clusternodes import Nodes
from tests.rig.clustersinks import ClusterSink
from tests.rig.kubeapi import NAMESPACES, STORAGE_CLASSES
from tests.rig.release import Release
from tests.rig.s3pod import S3Pod
from tests.rig.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.crash.ledger import Verdict
    from tests.rig.kubeapi import Object

_ROWS: Final = pytest.StashKey[list["Row"]]()
_PUBLIC_S3: Final = "docker.io/versity/versitygw:v1.0.20"


@dataclass(frozen=True)
class Row:
    """What became of the records of one sink."""

    scenario: str
    acked: int
    found: int
    duplicated: int
    volumes: int


@dataclass(frozen=True)
class Images:
    """Where the cluster gets them from."""

    ingester: str
    newer: str
    operator: str
    s3: str


@pytest.fixture(scope="session")
def images() -> Images:
    """As the environment names them."""
    return Images(
        ingester=os.environ["INGESTER_IMAGE"],
        newer=os.environ["INGESTER_IMAGE_NEXT"],
        operator=os.environ["OPERATOR_IMAGE"],
        s3=os.environ.get("S3_IMAGE", _PUBLIC_S3),
    )


@pytest.fixture
def newer(images: Images) -> str:
    """An image of the ingester to upgrade to."""
    return images.newer


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyCluster]:
    """With the rights of an administrator."""
    kubeconfig = Path(os.environ["KUBECONFIG"])
    with AnyCluster(kubeconfig, tmp_path_factory.mktemp("cluster")) as connected:
        yield connected


@pytest.fixture(scope="session")
def agents(cluster: AnyCluster, images: Images) -> Iterator[Agents]:
    """Those that send records; their namespace, and the S3 server's, goes in the end."""
    agent_pods.install(cluster.api, images.ingester)
    yield Agents(cluster.api)
    cluster.api.delete(NAMESPACES, "", agent_pods.NAMESPACE)


@pytest.fixture(scope="session")
def s3(cluster: AnyCluster, agents: Agents, images: Images) -> Iterator[S3Pod]:
    """A real S3 server that may go away."""
    started = S3Pod(cluster, images.s3, images.ingester)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def release(cluster: AnyCluster, agents: Agents, images: Images) -> Iterator[Release]:
    """The operator, installed by Helm."""
    installed = Release(cluster, agents, images.operator, images.ingester)
    installed.install()
    yield installed
    installed.uninstall()


@pytest.fixture
def namespace(cluster: AnyCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new namespace, in which Pod Security is enforced as strictly as it can be; deleted afterwards."""
    base = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:30].strip("-")
    meta = {"generateName": f"{base}-", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    name: str = cluster.api.create(NAMESPACES, {"metadata": meta})["metadata"]["name"]
    yield name
    cluster.api.delete(NAMESPACES, "", name)


@pytest.fixture
def sink(
    cluster: AnyCluster, agents: Agents, s3: S3Pod, release: Release, namespace: str
) -> Iterator[ClusterSink]:
    """A sink that isn't applied yet; its bucket and its Secret are there. Its volumes go with the namespace."""
    made = ClusterSink.of(cluster, agents, s3.server, namespace)
    yield made
    cluster.kubectl(
        "-n", namespace, "annotate", "s3sink", "--all", "s3sink.dev/force-release=true", check=False
    )
    s3.back()  # a test that failed may have left it away


@pytest.fixture
def given_sink(sink: ClusterSink) -> ClusterSink:
    """One whose bucket is in the store that S3_ENDPOINT names, if it does."""
    given = s3pod.given_server()
    if given is None:
        return sink
    server, credentials = given
    return ClusterSink(
        sink.plane, sink.kubelet, server, sink.namespace, agents=sink.agents, credentials=credentials
    )


@pytest.fixture
def nodes(cluster: AnyCluster) -> Nodes:
    """Those that take pods, at least two."""
    found = Nodes(cluster, os.environ.get("NODE_POWER", ""))
    if (count := len(found.names())) < 2:
        pytest.skip(f"it needs two nodes that take pods; this cluster has {count}")
    return found


@pytest.fixture
def losable_nodes(nodes: Nodes) -> Nodes:
    """Nodes whose power can be switched off."""
    if not nodes.power:
        pytest.skip("it needs a way to end a node at once: NODE_POWER, a command that takes `off|on NODE`")
    return nodes


@pytest.fixture
def expanding_class(cluster: AnyCluster) -> str:
    """A StorageClass whose volumes can grow: the one that EXPANDING_STORAGE_CLASS names, else the default one."""
    name = os.environ.get("EXPANDING_STORAGE_CLASS", "") or _default_class(cluster)["metadata"]["name"]
    if not (cluster.api.get(STORAGE_CLASSES, "", name) or {}).get("allowVolumeExpansion"):
        pytest.skip(
            f"volumes of the StorageClass {name} can't grow; EXPANDING_STORAGE_CLASS may name another"
        )
    return name


@pytest.fixture
def fixed_class(cluster: AnyCluster) -> str:
    """The default StorageClass, whose volumes can't grow."""
    found = _default_class(cluster)
    name: str = found["metadata"]["name"]
    if found.get("allowVolumeExpansion"):
        pytest.skip(f"volumes of the default StorageClass, {name}, can grow")
    return name


def _default_class(cluster: AnyCluster) -> Object:
    mark = "storageclass.kubernetes.io/is-default-class"
    classes = cluster.api.find(STORAGE_CLASSES)
    return next(one for one in classes if (one["metadata"].get("annotations") or {}).get(mark) == "true")


@pytest.fixture
def witness(cluster: AnyCluster, namespace: str) -> Iterator[Witness]:
    """Sees that no volume goes without its proof; the test fails if one did."""
    with Witness(cluster.api, namespace) as watching:
        yield watching


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[str, ClusterSink, Verdict], None]:
    """Put a line into the table that the run ends with."""
    rows = request.config.stash.setdefault(_ROWS, [])

    def add(scenario: str, sink: ClusterSink, verdict: Verdict) -> None:
        found = verdict.acked - verdict.lost
        rows.append(Row(scenario, verdict.acked, found, verdict.duplicated, len(sink.claims())))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table, in Markdown."""
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    terminalreporter.section("records")
    terminalreporter.line("| scenario | acked | found | duplicated | volumes left |")
    terminalreporter.line("| --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        terminalreporter.line(
            f"| {row.scenario} | {row.acked} | {row.found} | {row.duplicated} | {row.volumes} |"
        )
