"""The admin port over a real socket, with a control of its own behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
from s3sink_ingester import gate
from s3sink_ingester.errors import JournalFailed, S3SinkError
from s3sink_ingester.http.admin import AdminServer


class Controlled:
    """A process that remembers what it was told."""

    def __init__(self) -> None:
        self.not_ready: str | None = None
        self.drained = False
        self.told: list[str] = []
        self.error: S3SinkError | OSError | None = None

    async def readiness(self) -> str | None:
        return self.not_ready

    async def status(self) -> Mapping[str, object]:
        return {"state": "open", "drained": self.drained}

    async def metrics(self) -> bytes:
        return b"s3sink_ready 1.0\n"

    async def drain(self, epoch: str) -> None:
        self._act(f"drain {epoch}")

    async def resume(self) -> None:
        self._act("resume")

    def _act(self, what: str) -> None:
        if self.error is not None:
            raise self.error
        self.told.append(what)


@pytest.fixture
def control() -> Controlled:
    return Controlled()


@pytest.fixture
async def client(control: Controlled) -> AsyncIterator[aiohttp.ClientSession]:
    server = AdminServer(control)
    await server.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
            yield session
    finally:
        await server.stop()


async def test_probes(client: aiohttp.ClientSession, control: Controlled) -> None:
    async with client.get("/livez") as reply:
        assert reply.status == 200
    async with client.get("/readyz") as reply:
        assert (reply.status, await reply.text()) == (200, "ready\n")
    control.not_ready = "the buffer is full"
    async with client.get("/readyz") as reply:
        assert (reply.status, reply.content_type) == (503, "application/problem+json")
        assert (await reply.json(content_type=None))["detail"] == "the buffer is full"
    async with client.get("/livez") as reply:
        assert reply.status == 200


async def test_status_and_metrics(client: aiohttp.ClientSession) -> None:
    async with client.get("/status") as reply:
        assert reply.content_type == "application/json"
        assert await reply.json() == {"state": "open", "drained": False}
    async with client.get("/metrics") as reply:
        assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert await reply.read() == b"s3sink_ready 1.0\n"


async def test_drain_answers_202_until_nothing_is_left(
    client: aiohttp.ClientSession, control: Controlled
) -> None:
    async with client.post("/drain", json={"epoch": "scale-down-7"}) as reply:
        assert (reply.status, await reply.json()) == (202, {"state": "open", "drained": False})
    control.drained = True
    async with client.post("/drain", json={"epoch": "scale-down-7"}) as reply:
        assert reply.status == 200
    async with client.post("/resume") as reply:
        assert reply.status == 200
    assert control.told == ["drain scale-down-7", "drain scale-down-7", "resume"]


@pytest.mark.parametrize("body", [b"", b"  ", b"{}"])
async def test_a_drain_may_name_no_epoch(
    client: aiohttp.ClientSession, control: Controlled, body: bytes
) -> None:
    async with client.post("/drain", data=body) as reply:
        assert reply.status == 202
    assert control.told == ["drain manual"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"now"',
        b'{"epoch": 3}',
        b'{"epoch": ""}',
        b'{"epoch": "%s"}' % (b"x" * 257),
        b'{"epoch": "\\ud800"}',
        b"\xff",
    ],  # half of a character, which no file can hold
)
async def test_a_bad_drain_changes_nothing(
    client: aiohttp.ClientSession, control: Controlled, body: bytes
) -> None:
    async with client.post("/drain", data=body) as reply:
        assert (reply.status, reply.content_type) == (400, "application/problem+json")
        assert '{"epoch": "..."}' in (await reply.json(content_type=None))["detail"]
    assert control.told == []


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (gate.RECOVERING, 503, "2"),
        (JournalFailed("the sync failed"), 503, "2"),
        (OSError(28, "No space left on device"), 500, None),
    ],
)
async def test_what_fails_is_told(
    client: aiohttp.ClientSession,
    control: Controlled,
    error: S3SinkError | OSError,
    status: int,
    retry_after: str | None,
) -> None:
    control.error = error
    for path in ("/drain", "/resume"):
        async with client.post(path) as reply:
            assert (reply.status, reply.content_type) == (status, "application/problem+json")
            assert reply.headers.get("Retry-After") == retry_after
            assert (await reply.json(content_type=None))["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("POST", "/ingest", 404, None),
        ("POST", "/status", 405, "GET,HEAD"),
        ("GET", "/drain", 405, "POST"),
        ("PUT", "/resume", 405, "POST"),
    ],
)
async def test_unknown_paths_and_methods(
    client: aiohttp.ClientSession, control: Controlled, method: str, path: str, status: int, allow: str | None
) -> None:
    async with client.request(method, path) as reply:
        assert (reply.status, reply.content_type) == (status, "application/problem+json")
        assert reply.headers.get("Allow") == allow
        problem = await reply.json(content_type=None)
        assert problem["status"] == status
        assert problem["detail"]
    assert control.told == []


async def test_a_body_without_end_is_cut_off(client: aiohttp.ClientSession, control: Controlled) -> None:
    async with client.post("/drain", data=b" " * 100_000) as reply:
        assert reply.status == 413
    assert control.told == []


async def test_a_port_in_use_is_an_os_error(control: Controlled) -> None:
    first, second = AdminServer(control), AdminServer(control)
    await first.start("127.0.0.1", 0)
    with pytest.raises(OSError, match="address already in use"):
        await second.start("127.0.0.1", first.port)
    with pytest.raises(RuntimeError):
        _ = second.port
    await first.stop()
    await first.stop()
