"""API keys over real sockets: who gets a 401, when, and what is stored of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from s3sink_ingester.errors import ConfigError, Overloaded
from s3sink_ingester.http.access import Access
from s3sink_ingester.http.limits import Limits

from tests.rig.mounted import MountedSecret
from tests.unit_ingester.http.rig import Client, Rig, post, running

OLD, NEW = "the-old-key", "the-new-key"
SOON = 0.005  # seconds between looks at the directory

Headers = Callable[[str], str]
BEARER: Headers = "Authorization: Bearer {}".format
API_KEY: Headers = "X-Api-Key: {}".format


def keyed(key: str, body: bytes = b"LAX hello", header: Headers = BEARER) -> bytes:
    return post(body, header(key))


class Guarded:
    """A data port with keys in a mounted Secret."""

    def __init__(self, rig: Rig, secret: MountedSecret, access: Access) -> None:
        self.rig = rig
        self._secret = secret
        self._access = access

    async def change(self, *keys: str) -> None:
        """These keys are good from now on, and no others; returns when they are in force."""
        counts = self._access.stats.reloads["auth"]
        before = counts.taken
        self._secret.write({f"key-{number}": key.encode() for number, key in enumerate(keys)})
        await self.rig.until(lambda: counts.taken > before)

    async def fails_to_change(self) -> None:
        """All keys are gone, and it is noticed that this can't be meant."""
        counts = self._access.stats.reloads["auth"]
        before = counts.failures
        self._secret.write({})
        await self.rig.until(lambda: counts.failures > before + 1)


@asynccontextmanager
async def guarded(
    tmp_path: Path, keys: Sequence[str] = (OLD,), limits: Limits | None = None
) -> AsyncIterator[Guarded]:
    files = {f"key-{number}": key.encode() for number, key in enumerate(keys)}
    secret = MountedSecret(tmp_path / "auth", files)
    access = Access(str(secret.path), interval=SOON)
    async with running(limits, access=access) as rig:
        yield Guarded(rig, secret, access)


@pytest.mark.parametrize("header", [BEARER, API_KEY])
async def test_a_key_lets_in(tmp_path: Path, header: Headers) -> None:
    async with guarded(tmp_path, (OLD, NEW)) as port:
        client = await port.rig.client()
        for key in (OLD, NEW):
            for times in (1, 2, 3):
                assert (await client.ask(keyed(key, header=header))).status == 200, times
        assert port.rig.intake.payloads == [b"hello\n"] * 6
        assert port.rig.server.stats.access.keys == 2


REFUSED = {
    "none": (post(b"LAX hello"), "missing"),
    "another scheme": (post(b"LAX hello", "Authorization: Basic YTpi"), "missing"),
    "wrong": (keyed("wrong"), "wrong"),
    "wrong case": (keyed(OLD.upper()), "wrong"),
    "beginning": (keyed(OLD[:-1]), "wrong"),
    "not the records' business": (post(b"", BEARER("wrong"), target="/a/b"), "wrong"),
    "not ASCII": (keyed("k\xe9y"), "wrong"),
    "GET": (keyed("wrong").replace(b"POST", b"GET"), "wrong"),
}


@pytest.mark.parametrize(("request_bytes", "reason"), REFUSED.values(), ids=REFUSED.keys())
async def test_no_key_is_401(tmp_path: Path, request_bytes: bytes, reason: str) -> None:
    async with guarded(tmp_path) as port:
        client = await port.rig.client()
        for _ in range(3):
            reply = await client.ask(request_bytes)
            assert (reply.status, reply.closes) == (401, False)
            assert reply.headers["www-authenticate"] == "Bearer"
            assert reply.headers["content-type"] == "application/problem+json"
            assert ("X-Api-Key" in str(reply.json["detail"])) == (reason == "missing")
            assert (await client.ask(keyed(OLD))).status == 200
        stats = port.rig.server.stats
        assert (stats.refused, stats.access.unauthorized) == ({401: 3}, {reason: 3})
        assert port.rig.intake.payloads == [b"hello\n"] * 3


async def test_401_comes_before_anything_else_is_known(tmp_path: Path) -> None:
    """Not whether the buffer is full, whether a body is too long, nor which paths there are."""
    async with guarded(tmp_path, limits=Limits(max_request_bytes=1000)) as port:
        port.rig.intake.refusal = Overloaded("full", "full")
        for request in (post(b"x" * 1001), post(b"", target="/a/b"), post(b"LAX hello")):
            client = await port.rig.client()
            assert (await client.ask(request)).status == 401


@pytest.mark.parametrize(
    "begun",
    [
        post(b"LAX hello")[:-9],
        post(b"LAX hello", "Expect: 100-continue")[:-9],
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        post(b"x" * 40)[:-20],
    ],
)
async def test_401_comes_before_the_body_is_read(tmp_path: Path, begun: bytes) -> None:
    async with guarded(tmp_path) as port:
        client = await port.rig.client()
        reply = await client.ask(begun)
        assert (reply.status, reply.closes) == (401, True)
        assert await client.rest() == b""


async def test_head_gets_401_without_a_body(tmp_path: Path) -> None:
    async with guarded(tmp_path) as port:
        client = await port.rig.client()
        await client.send(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + keyed(OLD))
        assert (await client.reply(body=False)).status == 401
        assert (await client.reply()).status == 200


async def test_a_key_that_is_taken_away_is_refused_at_once_on_every_connection(tmp_path: Path) -> None:
    async with guarded(tmp_path) as port:
        clients = [await port.rig.client() for _ in range(4)]
        for client in clients:
            for _ in range(3):  # its head is known, and holds where its requests go
                assert (await client.ask(keyed(OLD))).status == 200
        await port.change(OLD, NEW)
        assert [(await client.ask(keyed(OLD))).status for client in clients] == [200] * 4
        await port.change(NEW)
        for client in [*clients, await port.rig.client()]:
            assert (await client.ask(keyed(OLD))).status == 401
            assert (await client.ask(keyed(NEW))).status == 200
        await port.change(OLD)
        for client in clients:
            assert (await client.ask(keyed(OLD))).status == 200
            assert (await client.ask(keyed(NEW))).status == 401


async def test_heads_that_are_not_the_latest_of_any_connection_are_forgotten_too(tmp_path: Path) -> None:
    async with guarded(tmp_path, (OLD, NEW)) as port:
        clients = [await port.rig.client() for _ in range(3)]
        for key in (OLD, NEW):
            for client in clients:  # a head is kept for all of them when a second one sends it
                assert (await client.ask(keyed(key))).status == 200
        await port.change(NEW)
        for client in [*clients, await port.rig.client()]:
            assert (await client.ask(keyed(OLD))).status == 401
            assert (await client.ask(keyed(NEW))).status == 200


async def test_a_connection_s_latest_head_is_forgotten_even_where_the_cache_was_emptied(
    tmp_path: Path,
) -> None:
    async with guarded(tmp_path) as port:
        client, flood = await port.rig.client(), await port.rig.client()
        for _ in range(3):
            assert (await client.ask(keyed(OLD))).status == 200
        known = 3000  # heads of 1.5 KB each, twice, are more than the cache holds
        for start in range(0, known, 50):
            heads = [post(b"", BEARER("wrong"), f"X: {n:01500}") for n in range(start, start + 50)]
            sending = asyncio.create_task(flood.send(b"".join(heads) * 2))
            for _ in range(100):
                assert (await flood.reply()).status == 401
            await sending
        await port.change(NEW)
        assert (await client.ask(keyed(OLD))).status == 401


async def test_what_is_held_back_is_judged_by_the_keys_of_its_turn(tmp_path: Path) -> None:
    async with guarded(tmp_path, limits=Limits(max_pipelined=2)) as port:
        port.rig.intake.manual = True
        client = await port.rig.client()
        await client.send(keyed(OLD) * 6)
        await port.rig.until(lambda: len(port.rig.intake.waiting) == 2)
        await port.change(NEW)
        port.rig.intake.commit()
        assert [(await client.reply()).status for _ in range(6)] == [200, 200, 401, 401, 401, 401]


async def test_a_request_that_was_let_in_is_taken(tmp_path: Path) -> None:
    async with guarded(tmp_path) as port:
        client = await port.rig.client()
        await client.send(keyed(OLD)[:-3])
        await port.rig.received(len(keyed(OLD)) - 3)
        await port.change(NEW)
        assert (await client.ask(keyed(OLD)[-3:])).status == 200
        assert (await client.ask(keyed(OLD))).status == 401


async def test_no_keys_at_all_are_taken_for_a_mistake(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with guarded(tmp_path) as port:
        client = await port.rig.client()
        await port.fails_to_change()
        assert (await client.ask(keyed(OLD))).status == 200
        assert port.rig.server.stats.access.keys == 1
        await port.change(NEW)
        assert (await client.ask(keyed(OLD))).status == 401
        assert (await client.ask(keyed("hunter2"))).status == 401
    assert "what was in use stays in use" in caplog.text
    assert not any(key in caplog.text for key in (OLD, NEW, "hunter2"))


async def test_a_port_without_keys_to_read_does_not_open(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.auth\.path: .*/none can't be read"):
        async with running(access=Access(str(tmp_path / "none"))):
            pytest.fail("it is open")


async def _ask_until_refused(client: Client, key: str) -> int:
    accepted = 0
    while (await client.ask(keyed(key))).status == 200:
        accepted += 1
    return accepted


async def test_every_record_that_was_acknowledged_before_is_stored(tmp_path: Path) -> None:
    async with guarded(tmp_path) as port:
        clients = [await port.rig.client() for _ in range(8)]
        asking = [asyncio.create_task(_ask_until_refused(client, OLD)) for client in clients]
        await port.rig.until(lambda: port.rig.server.stats.accepted > 100)
        await port.change(NEW)
        accepted = sum(await asyncio.gather(*asking))
        assert accepted == port.rig.server.stats.accepted == len(port.rig.intake.payloads)
        assert port.rig.server.stats.access.unauthorized == {"wrong": 8}
