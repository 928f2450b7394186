"""The operator's Cluster on a real API server: what it asks for, and what each answer means."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from s3sink_operator import names
from s3sink_operator.errors import Conflict, Refused
from s3sink_operator.kube import paths, watch
from s3sink_operator.kube.apiserver import ApiServer, NotConfigured
from s3sink_operator.kube.cluster import KubernetesCluster
from s3sink_operator.kube.watch import Hooks, Watched
from s3sink_operator.state import SERVICE_MONITOR, Delete, Event, EventType, Object, Ref

from tests.rig import controlplane, kubetools
from tests.rig.kubeapi import CONFIG_MAPS, CRDS, EVENTS, SERVICE_MONITORS, SINKS, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.rig.controlplane import ControlPlane


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """One of its own, in which no operator is at work."""
    with controlplane.running() as plane:
        controlplane.install(plane, kubetools.ROOT / "crds")
        yield plane


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[ApiServer]:
    api = await ApiServer.connect(str(control_plane.kubeconfig))
    yield api
    await api.close()


@pytest.fixture
def cluster(api: ApiServer) -> KubernetesCluster:
    return KubernetesCluster(api, "tests")


def config_map(namespace: str, name: str = "one", **data: str) -> dict[str, Any]:
    labels = names.labels("events")
    meta = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def ref(manifest: Object) -> Ref:
    return Ref("v1", "ConfigMap", manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def sink(namespace: str, name: str = "events") -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "destination": {"bucket": "bucket", "region": "us-east-1"},
            "partitioning": {"urlPath": True},
        },
    }


async def test_what_is_applied_is_there(cluster: KubernetesCluster, namespace: str) -> None:
    manifest = config_map(namespace, a="1")
    assert await cluster.get(ref(manifest)) is None
    applied = await cluster.apply(manifest)
    assert await cluster.get(ref(manifest)) == applied
    assert applied["metadata"]["managedFields"][0]["manager"] == names.FIELD_MANAGER
    [listed] = await cluster.list(paths.CONFIG_MAP, namespace, {names.SINK_LABEL: "events"})
    assert listed == applied
    assert await cluster.list(paths.CONFIG_MAP, namespace, {names.SINK_LABEL: "others"}) == []


async def test_a_field_that_is_left_out_goes_away_and_others_fields_stay(
    control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str
) -> None:
    await cluster.apply(config_map(namespace, a="1", b="2"))
    control_plane.kubectl("-n", namespace, "annotate", "cm", "one", "theirs=yes")
    found = await cluster.apply(config_map(namespace, a="1"))
    assert found["data"] == {"a": "1"}
    assert found["metadata"]["annotations"] == {"theirs": "yes"}


async def test_a_field_that_somebody_took_is_taken_back(
    control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str
) -> None:
    await cluster.apply(config_map(namespace, a="1"))
    control_plane.api.apply(CONFIG_MAPS, config_map(namespace, a="theirs"), "somebody")
    found = await cluster.apply(config_map(namespace, a="1"))
    assert found["data"] == {"a": "1"}


async def test_an_apply_can_be_bound_to_one_object_and_one_version(
    cluster: KubernetesCluster, namespace: str
) -> None:
    manifest = config_map(namespace, a="1")
    applied = await cluster.apply(manifest)
    meta = {**manifest["metadata"], "uid": applied["metadata"]["uid"]}
    await cluster.apply({**manifest, "metadata": meta, "data": {"a": "2"}})
    with pytest.raises(Conflict):
        await cluster.apply({**manifest, "metadata": {**meta, "uid": str(uuid.uuid4())}})
    old = {**meta, "resourceVersion": applied["metadata"]["resourceVersion"]}
    with pytest.raises(Conflict):
        await cluster.apply({**manifest, "metadata": old, "data": {"a": "3"}})
    found = await cluster.get(ref(manifest))
    assert found is not None
    assert found["data"] == {"a": "2"}


async def test_an_apply_that_is_bound_to_an_object_creates_none(
    cluster: KubernetesCluster, namespace: str
) -> None:
    manifest = config_map(namespace)
    meta = {**manifest["metadata"], "uid": str(uuid.uuid4())}
    with pytest.raises(Conflict):
        await cluster.apply({**manifest, "metadata": meta})
    assert await cluster.get(ref(manifest)) is None


async def test_only_the_object_that_was_meant_is_deleted(cluster: KubernetesCluster, namespace: str) -> None:
    manifest = config_map(namespace, a="1")
    applied = await cluster.apply(manifest)
    uid, version = applied["metadata"]["uid"], applied["metadata"]["resourceVersion"]
    with pytest.raises(Conflict):
        await cluster.delete(Delete(ref(manifest), str(uuid.uuid4()), "another one"))
    await cluster.apply(config_map(namespace, a="2"))
    with pytest.raises(Conflict):
        await cluster.delete(Delete(ref(manifest), uid, "it changed", resource_version=version))
    await cluster.delete(Delete(ref(manifest), uid, "this one"))
    assert await cluster.get(ref(manifest)) is None
    await cluster.delete(Delete(ref(manifest), uid, "again"))


async def test_a_status_is_applied_and_other_finalizers_are_left_alone(
    control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str
) -> None:
    made = control_plane.api.create(SINKS, sink(namespace))
    meta = {"name": "events", "namespace": namespace, "uid": made["metadata"]["uid"]}
    bare = {"apiVersion": names.API_VERSION, "kind": names.KIND}
    found = await cluster.apply(
        {**bare, "metadata": meta, "status": {"replicas": 3, "selector": "a=b"}}, subresource="status"
    )
    assert found["status"] == {"replicas": 3, "selector": "a=b"}
    patch = [{"op": "add", "path": "/metadata/finalizers", "value": ["example.org/theirs"]}]
    control_plane.api.request("PATCH", SINKS.path(namespace, "events"), patch, "application/json-patch+json")
    found = await cluster.apply({**bare, "metadata": {**meta, "finalizers": [names.FINALIZER]}})
    assert set(found["metadata"]["finalizers"]) == {"example.org/theirs", names.FINALIZER}
    found = await cluster.apply({**bare, "metadata": {**meta, "finalizers": []}})
    assert found["metadata"]["finalizers"] == ["example.org/theirs"]
    assert found["status"] == {"replicas": 3, "selector": "a=b"}
    control_plane.kubectl(
        "-n", namespace, "patch", "s3sink", "events", "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )


async def test_a_status_of_a_sink_that_is_gone_is_a_conflict(
    cluster: KubernetesCluster, namespace: str
) -> None:
    manifest = {**sink(namespace), "status": {"replicas": 1}}
    del manifest["spec"]
    with pytest.raises(Conflict):
        await cluster.apply(manifest, subresource="status")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"no spaces allowed": "x"}}, "a valid config key"),
        ({"spec": {"nonsense": 1}}, "field not declared in schema"),
        ({"data": ["a", "list"]}, "expected map"),
    ],
)
async def test_what_can_never_be_is_refused_in_the_servers_words(
    cluster: KubernetesCluster, namespace: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused, match=message):
        await cluster.apply({**config_map(namespace), **change})


async def test_what_is_not_allowed_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    kubeconfig = control_plane.kubeconfig_for(namespace, "default")
    api = await ApiServer.connect(str(kubeconfig))
    with pytest.raises(Refused, match="cannot patch resource"):
        await KubernetesCluster(api, "tests").apply(config_map(namespace))
    await api.close()


async def test_names_from_manifests_lead_nowhere_else(cluster: KubernetesCluster, namespace: str) -> None:
    for name in ("..", "../configmaps", "a/b", "a?b", ""):
        assert await cluster.get(Ref("v1", "Secret", namespace, name)) is None


async def test_long_lists_come_whole(
    control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str
) -> None:
    for number in range(520):
        control_plane.api.create(CONFIG_MAPS, config_map(namespace, f"map-{number}"))
    found = await cluster.list(paths.CONFIG_MAP, namespace, {names.SINK_LABEL: "events"})
    assert len({one["metadata"]["name"] for one in found}) == 520
    assert all(one["kind"] == "ConfigMap" for one in found)


async def test_an_optional_kind_is_seen_to_come_and_go(
    control_plane: ControlPlane, api: ApiServer, namespace: str
) -> None:
    cluster = KubernetesCluster(api, "tests")
    monitor = Ref(SERVICE_MONITOR.api_version, SERVICE_MONITOR.kind, namespace, "one")
    assert not await cluster.serves(SERVICE_MONITOR)
    assert await cluster.get(monitor) is None
    assert await cluster.list(SERVICE_MONITOR, namespace, {}) == []
    crd = kubetools.find("prometheus-crds") / "monitoring.coreos.com_servicemonitors.yaml"
    control_plane.kubectl("apply", "--server-side", "-f", str(crd))
    try:
        control_plane.kubectl("wait", "--for=condition=Established", "-f", str(crd), "--timeout=60s")
        assert not await cluster.serves(SERVICE_MONITOR), "the answer is kept for a while"
        wait_for(lambda: control_plane.api.find(SERVICE_MONITORS, namespace) == [], "list")
        async with asyncio.timeout(30):
            while not await cluster.serves(SERVICE_MONITOR):
                cluster.forget_served()
                await asyncio.sleep(0.2)
    finally:
        control_plane.api.delete(CRDS, "", f"servicemonitors.{SERVICE_MONITOR.api_version.split('/')[0]}")


async def test_events_are_described_and_count_up(
    control_plane: ControlPlane, api: ApiServer, namespace: str
) -> None:
    made = control_plane.api.create(SINKS, sink(namespace))
    moment = [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)]
    cluster = KubernetesCluster(api, "tests", now=lambda: moment[0])
    blocked = Event(EventType.WARNING, "Blocked", "S3 is away")
    for day in (3, 4, 5):
        moment[0] = moment[0].replace(day=day)
        # A new operator each time: counting needs no memory.
        cluster = KubernetesCluster(api, "tests", now=lambda: moment[0])
        await cluster.emit(made, blocked)
    await cluster.emit(made, Event(EventType.NORMAL, "Resumed", "é" * 2000))
    found = {one["reason"]: one for one in control_plane.api.find(EVENTS, namespace)}
    assert (found["Blocked"]["count"], found["Blocked"]["lastTimestamp"]) == (3, "2026-01-05T03:04:05Z")
    assert found["Blocked"]["firstTimestamp"] == "2026-01-03T03:04:05Z"
    assert len(found["Resumed"]["message"].encode()) <= 1024
    described = control_plane.kubectl("-n", namespace, "describe", "s3sink", "events").stdout
    assert "S3 is away" in described
    assert "(x3 over" in described


async def test_an_event_that_is_refused_is_no_error(control_plane: ControlPlane, namespace: str) -> None:
    made = control_plane.api.create(SINKS, sink(namespace))
    api = await ApiServer.connect(str(control_plane.kubeconfig_for(namespace, "default")))
    await KubernetesCluster(api, "tests").emit(made, Event(EventType.NORMAL, "Any", "thing"))
    await api.close()


async def test_a_watch_tells_of_changes_by_label_with_metadata_only(
    control_plane: ControlPlane, api: ApiServer, namespace: str
) -> None:
    control_plane.api.create(CONFIG_MAPS, config_map(namespace, "before"))
    seen: asyncio.Queue[Any] = asyncio.Queue()
    started = asyncio.Event()
    hooks = Hooks(changed=seen.put_nowait, alive=lambda sign: started.set() if sign == "heard" else None)
    watched = Watched(path=paths.collection(paths.CONFIG_MAP, namespace), labels=names.SINK_LABEL)
    following = asyncio.create_task(watch.follow(api, watched, hooks))
    async with asyncio.timeout(30):
        await started.wait()
        made = control_plane.api.create(CONFIG_MAPS, config_map(namespace, "after", a="1"))
        control_plane.api.create(CONFIG_MAPS, {"metadata": {"name": "foreign", "namespace": namespace}})
        meta = await seen.get()
        assert (meta["name"], meta["uid"]) == ("after", made["metadata"]["uid"])
        control_plane.kubectl("-n", namespace, "label", "cm", "after", f"{names.SINK_LABEL}-")
        assert (await seen.get())["labels"][names.SINK_LABEL] == "events", "one that leaves is told as it was"
        control_plane.api.delete(CONFIG_MAPS, namespace, "before")
        assert (await seen.get())["name"] == "before"
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def test_no_cluster_is_told(tmp_path: Any) -> None:
    with pytest.raises(NotConfigured, match="no cluster to talk to"):
        await ApiServer.connect(str(tmp_path / "missing"))
