"""The client against an API server on a bad day; on a good one it is tested in tests/cluster."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from s3sink_operator import names
from s3sink_operator.errors import ClusterError, Conflict, Refused, Unavailable
from s3sink_operator.kube import paths
from s3sink_operator.kube.apiserver import ApiServer, Expired, NotConfigured, NotFound, error_of
from s3sink_operator.kube.cluster import KubernetesCluster
from s3sink_operator.state import SERVICE_MONITOR, Delete, Event, EventType, Ref

from tests.rig.scripted_api import (
    Answer,
    Script,
    hangs,
    hangs_up,
    kubeconfig,
    refuses,
    says,
    scripted,
    streams,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WHAT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "team", "name": "one"}}
REF = Ref("v1", "ConfigMap", "team", "one")
SINK = {
    "apiVersion": names.API_VERSION,
    "kind": names.KIND,
    "metadata": {"namespace": "team", "name": "events", "uid": "u"},
}


@asynccontextmanager
async def client(directory: Path, *answers: Answer) -> AsyncIterator[tuple[ApiServer, Script]]:
    async with scripted(*answers) as script:
        api = await ApiServer.connect(kubeconfig(directory, script))
        try:
            yield api, script
        finally:
            await api.close()


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (refuses(400, "bad"), Refused, "bad"),
        (refuses(401, "Unauthorized"), Unavailable, "Unauthorized"),
        (refuses(403, "you may not"), Refused, "you may not"),
        (refuses(404, "no namespace"), NotFound, "no namespace"),
        (refuses(405, "no"), Refused, "no"),
        (refuses(409, "the object has been modified"), Conflict, "modified"),
        (refuses(410, "too old"), Expired, "too old"),
        (refuses(422, "is invalid"), Refused, "is invalid"),
        (
            refuses(422, "is invalid", causes=[{"field": "metadata.uid", "message": "immutable"}]),
            Conflict,
            "invalid",
        ),
        (refuses(429, "too many"), Unavailable, "too many"),
        (refuses(500, "etcd"), Unavailable, "etcd"),
        (
            refuses(500, "failed to create typed patch object: .x: field not declared"),
            Refused,
            "not declared",
        ),
        (refuses(503, "starting"), Unavailable, "starting"),
        (says("<html>502 Bad Gateway</html>", 502), Unavailable, "HTTP 502"),
        (says("[1]", 500), Unavailable, "HTTP 500"),
        (says("cut off: {"), Unavailable, "PATCH /api/v1/namespaces/team/configmaps/one"),
        (hangs_up, Unavailable, "PATCH"),
    ],
)
async def test_each_answer_has_its_meaning(
    tmp_path: Path, answer: Answer, error: type[ClusterError], message: str
) -> None:
    async with client(tmp_path, answer) as (api, _):
        with pytest.raises(ClusterError, match=message) as caught:
            await KubernetesCluster(api, "me").apply(WHAT)
    assert caught.type is error


async def test_how_long_to_wait_is_told(tmp_path: Path) -> None:
    answers = (
        says({"message": "busy"}, 429, **{"Retry-After": "7"}),
        refuses(500, "x", retryAfterSeconds=3),
        says({}, 429, **{"Retry-After": "Tue, 24 Nov 2026 10:00:00 GMT"}),
    )
    async with client(tmp_path, *answers) as (api, _):
        waits = []
        for _ in answers:
            with pytest.raises(Unavailable) as caught:
                await api.request("GET", "/x")
            waits.append(caught.value.retry_after)
    assert waits == [7.0, 3.0, None]


async def test_nothing_is_tried_twice(tmp_path: Path) -> None:
    async with client(tmp_path, refuses(503), refuses(503), says({})) as (api, script):
        with pytest.raises(Unavailable):
            await api.request("GET", "/x")
    assert len(script.asked) == 1


async def test_a_server_that_hangs_is_given_up(tmp_path: Path) -> None:
    async with client(tmp_path, hangs) as (api, _):
        with pytest.raises(Unavailable, match="no answer in time"):
            await api.request("GET", "/x", seconds=0.1)


async def test_nobody_there(tmp_path: Path) -> None:
    api = await ApiServer.connect(kubeconfig(tmp_path, Script(address="127.0.0.1:1")))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
        await api.request("GET", "/x")
    await api.close()


async def test_what_is_gone_is_no_error(tmp_path: Path) -> None:
    async with client(tmp_path, refuses(404)) as (api, script):
        cluster = KubernetesCluster(api, "me")
        assert await cluster.get(REF) is None
        assert await cluster.list(REF.resource, "team", {}) == []
        await cluster.delete(Delete(REF, "u", "why"))
        assert not await cluster.serves(SERVICE_MONITOR)
    assert json.loads(script.bodies[2])["preconditions"] == {"uid": "u"}


async def test_a_delete_names_what_it_means(tmp_path: Path) -> None:
    async with client(tmp_path, says({})) as (api, script):
        delete = Delete(REF, "u", "why", resource_version="5", propagation="Orphan")
        await KubernetesCluster(api, "me").delete(delete)
    options = json.loads(script.bodies[0])
    assert options["preconditions"] == {"uid": "u", "resourceVersion": "5"}
    assert options["propagationPolicy"] == "Orphan"


async def test_an_answer_about_a_kind_is_kept_for_a_while(tmp_path: Path) -> None:
    there = says({"resources": [{"kind": "ServiceMonitor", "name": "servicemonitors"}]})
    moment = 0.0
    async with client(tmp_path, refuses(404), there) as (api, script):
        cluster = KubernetesCluster(api, "me", monotonic=lambda: moment)
        assert not await cluster.serves(SERVICE_MONITOR)
        moment = 59.0
        assert not await cluster.serves(SERVICE_MONITOR)
        moment = 61.0
        assert await cluster.serves(SERVICE_MONITOR)
        moment = 600.0
        assert await cluster.serves(SERVICE_MONITOR)
        assert len(script.asked) == 2
        cluster.forget_served()
        assert await cluster.serves(SERVICE_MONITOR)
        assert len(script.asked) == 3


async def test_an_event_that_gets_lost_is_no_error(tmp_path: Path) -> None:
    async with client(tmp_path, refuses(500, "x"), refuses(403, "ending"), refuses(409), refuses(404)) as (
        api,
        script,
    ):
        cluster = KubernetesCluster(api, "me")
        for _ in range(3):
            await cluster.emit(SINK, Event(EventType.NORMAL, "Any", "thing"))
    assert [method for method, _ in script.asked] == ["POST", "POST", "POST", "PATCH"]


async def test_a_broken_watch_stream_tells_what_it_can(tmp_path: Path) -> None:
    async with client(tmp_path, streams({"type": "ADDED", "object": {}}, then_breaks=True)) as (api, _):
        stream = api.stream("/x", query={})
        assert (await anext(stream))["type"] == "ADDED"
        with pytest.raises(Unavailable):
            await anext(stream)


async def test_an_error_in_a_watch_stream_is_that_error(tmp_path: Path) -> None:
    expired = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
    odd = {"type": "ERROR", "object": {"kind": "Status", "message": "odd"}}
    async with client(tmp_path, streams(expired), streams(odd), streams("no JSON")) as (api, _):
        for error in (Expired, Unavailable, Unavailable):
            with pytest.raises(error):
                await anext(api.stream("/x", query={}))


async def test_cancelling_ends_a_request(tmp_path: Path) -> None:
    async with client(tmp_path, hangs) as (api, _):
        task = asyncio.create_task(api.request("GET", "/x"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_credentials_for_others(tmp_path: Path) -> None:
    async with client(tmp_path, says({})) as (api, script):
        found = await api.credentials()
        assert found.server == f"http://{script.address}" == api.address
        assert found.authorization == "Bearer secret"


@pytest.mark.parametrize("text", ["", "[1]", "{", "apiVersion: v1\nkind: Config\n"])
async def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(NotConfigured, match="no cluster to talk to"):
        await ApiServer.connect(str(tmp_path / "config"))


async def test_a_context_that_is_none(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, Script(address="127.0.0.1:1"))
    with pytest.raises(NotConfigured, match="elsewhere"):
        await ApiServer.connect(path, "elsewhere")


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a%2Fb", "", "a?b", "-a", "ä", "a\n"])
def test_no_name_leads_to_another_path(name: str) -> None:
    with pytest.raises(Refused):
        paths.path(Ref("v1", "Secret", "team", name))


def test_paths() -> None:
    assert paths.path(REF) == "/api/v1/namespaces/team/configmaps/one"
    assert paths.path(Ref(names.API_VERSION, names.KIND, "team", "a.b"), "status") == (
        "/apis/s3sink.dev/v1alpha1/namespaces/team/s3sinks/a.b/status"
    )
    assert paths.path(Ref("storage.k8s.io/v1", "StorageClass", "", "gp3")) == (
        "/apis/storage.k8s.io/v1/storageclasses/gp3"
    )
    assert paths.collection(paths.SINK) == "/apis/s3sink.dev/v1alpha1/s3sinks"


def test_an_answer_without_words_says_what_was_asked() -> None:
    assert str(error_of(502, {}, None, "GET /x")) == "GET /x: HTTP 502"
