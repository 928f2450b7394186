"""TLS on the data port: real handshakes, flow control, ends, and certificates that change."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives import serialization
from s3sink_ingester.errors import ConfigError, Overloaded
from s3sink_ingester.http.access import Access
from s3sink_ingester.http.access.certificate import read_certificate
from s3sink_ingester.http.limits import Limits

from tests.rig.certificates import Authority
from tests.rig.mounted import MountedSecret, files_of
from tests.unit_ingester.http.rig import PATIENCE, Client, Rig, post, running

GOOD = post(b"LAX hello")
BAD = post(b"nokey")
KI = 1024
SOON = 0.005


class Secured:
    """A data port with a certificate in a mounted Secret, and the authority that made it."""

    def __init__(self, rig: Rig, secret: MountedSecret, authority: Authority) -> None:
        self.rig = rig
        self.secret = secret
        self.authority = authority

    async def change(self, common_name: str) -> None:
        """Another certificate, in force when this returns."""
        counts = self.rig.server.stats.access.reloads["tls"]
        before = counts.taken
        self.secret.write(files_of(self.authority.issue(common_name)))
        await self.rig.until(lambda: counts.taken > before)

    async def fails_to_change(self, files: dict[str, bytes]) -> None:
        counts = self.rig.server.stats.access.reloads["tls"]
        before = counts.failures
        self.secret.write(files)
        # The first may be about what was there before.
        await self.rig.until(lambda: counts.failures > before + 1)


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.path))


@asynccontextmanager
async def secured(tmp_path: Path, limits: Limits | None = None) -> AsyncIterator[Secured]:
    authority = Authority(tmp_path)
    secret = MountedSecret(tmp_path / "tls", files_of(authority.issue("first")))
    access = Access(None, str(secret.path), interval=SOON)
    async with running(limits, access=access, trust=trusting(authority)) as rig:
        yield Secured(rig, secret, authority)


def subject(client: Client) -> str:
    certificate = client.writer.get_extra_info("peercert")
    return str(dict(name for part in certificate["subject"] for name in part)["commonName"])


async def statuses(client: Client, count: int) -> list[int]:
    return [(await client.reply()).status for _ in range(count)]


async def test_requests_over_tls(tmp_path: Path) -> None:
    async with secured(tmp_path) as port:
        client = await port.rig.client()
        assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        for _ in range(3):
            assert (await client.ask(GOOD)).status == 200
            assert (await client.ask(BAD)).status == 400
        await client.send((GOOD + BAD) * 50)
        assert await statuses(client, 100) == [200, 400] * 50
        large = post(b"LAX " + b"x" * 400 * KI)
        assert (await client.ask(large)).status == 200
        stats = port.rig.server.stats
        assert (stats.connections_total, stats.access.handshakes) == (1, 1)


@pytest.mark.parametrize(
    ("version", "works"),
    [(ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
async def test_versions(tmp_path: Path, version: ssl.TLSVersion, works: bool) -> None:
    async with secured(tmp_path) as port:
        trust = trusting(port.authority)
        trust.set_ciphers("ALL:@SECLEVEL=0")  # else the client itself wouldn't offer what is old
        trust.minimum_version = trust.maximum_version = version
        if works:
            assert (await (await port.rig.client(trust)).ask(GOOD)).status == 200
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await port.rig.client(trust)
            assert port.rig.server.stats.connections_total == 0
            assert port.rig.server.stats.access.handshakes == 1


async def test_http_1_1_is_what_is_spoken(tmp_path: Path) -> None:
    async with secured(tmp_path) as port:
        trust = trusting(port.authority)
        trust.set_alpn_protocols(["h2", "http/1.1"])
        client = await port.rig.client(trust)
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


async def test_plain_http_is_not_answered(tmp_path: Path) -> None:
    async with secured(tmp_path) as port:
        client = Client(*await asyncio.open_connection("127.0.0.1", port.rig.server.port))
        await client.send(GOOD)
        try:
            assert b"200" not in await client.rest()
        except ConnectionError:
            pass  # reset: as good
        finally:
            client.close()
        assert port.rig.intake.taken == []
        assert (await (await port.rig.client()).ask(GOOD)).status == 200


async def test_keys_and_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = MountedSecret(tmp_path / "tls", files_of(authority.issue("first")))
    auth = MountedSecret(tmp_path / "auth", {"key": b"the-key"})
    async with running(access=Access(str(auth.path), str(tls.path)), trust=trusting(authority)) as rig:
        client = await rig.client()
        assert (await client.ask(GOOD)).status == 401
        assert (await client.ask(post(b"LAX hello", "X-Api-Key: the-key"))).status == 200
        refused = await client.ask(post(b"x" * 200 * KI)[: -100 * KI])
        assert (refused.status, refused.closes) == (401, True)


# Certificates that change.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_new_certificate_is_for_new_connections(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async with secured(tmp_path) as port:
        trust = trusting(port.authority)
        trust.minimum_version = trust.maximum_version = version
        old = await port.rig.client(trust)
        assert (subject(old), (await old.ask(GOOD)).status) == ("first", 200)
        expires = port.rig.server.stats.access.certificate_expires
        await port.change("second")
        new = await port.rig.client(trust)
        assert (subject(new), (await new.ask(GOOD)).status) == ("second", 200)
        assert (await old.ask(GOOD)).status == 200, "connections are left alone"
        again = port.rig.server.stats.access.certificate_expires
        assert expires is not None
        assert again is not None
        assert again >= expires
        by_name = await asyncio.open_connection(
            "127.0.0.1", port.rig.server.port, ssl=trust, server_hostname="localhost"
        )
        client = Client(*by_name)
        port.rig.clients.append(client)
        assert subject(client) == "second"


async def test_a_certificate_that_can_not_be_used_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with secured(tmp_path) as port:
        good, other = files_of(port.authority.issue("good")), files_of(port.authority.issue("other"))
        for broken in (
            {**good, "tls.key": other["tls.key"]},
            {**good, "tls.crt": b"nonsense"},
            {"tls.crt": good["tls.crt"]},
            {},
        ):
            await port.fails_to_change(broken)
            client = await port.rig.client()
            assert (subject(client), (await client.ask(GOOD)).status) == ("first", 200)
        assert caplog.text.count("what was in use stays in use") == 4
        await port.change("second")
        assert subject(await port.rig.client()) == "second"


def _encrypted(authority: Authority, tmp_path: Path) -> dict[str, bytes]:
    made = files_of(authority.issue("encrypted"))
    key = serialization.load_pem_private_key(made["tls.key"], None)
    form = serialization.BestAvailableEncryption(b"secret")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form)
    return {**made, "tls.key": pem}


async def test_a_port_without_a_certificate_that_works_does_not_open(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    good, other = files_of(authority.issue("good")), files_of(authority.issue("other"))
    swapped = {**good, "tls.key": other["tls.key"]}
    cases = {
        "tls.crt is missing": {"tls.key": good["tls.key"]},
        "tls.key is missing": {"tls.crt": good["tls.crt"]},
        "tls.crt and tls.key can't be used together (key values mismatch)": swapped,
        "tls.crt holds no certificate in PEM": {**good, "tls.crt": good["tls.key"]},
        "tls.crt and tls.key can't be used together": {**good, "tls.key": b"nonsense"},
        "tls.key is encrypted, which it must not be here": _encrypted(authority, tmp_path),
    }
    for number, (message, files) in enumerate(cases.items()):
        secret = MountedSecret(tmp_path / f"tls-{number}", files)
        with pytest.raises(ConfigError) as refused:
            async with running(access=Access(None, str(secret.path))):
                pytest.fail("it is open")
        assert str(refused.value).startswith(f"source.tls.path: {secret.path}: {message}")


def test_the_first_of_a_chain_to_expire_counts(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = files_of(authority.issue("leaf"))
    alone = read_certificate(MountedSecret(tmp_path / "alone", files).path)
    chain = files["tls.crt"] + authority.path.read_bytes()
    chained = read_certificate(MountedSecret(tmp_path / "chain", {**files, "tls.crt": chain}).path)
    assert alone.expires is not None
    assert chained.expires is not None
    assert chained.expires <= alone.expires


# Flow control and ends.


async def test_a_client_that_does_not_read_its_replies_is_cut_off(tmp_path: Path) -> None:
    patient = Limits(
        write_timeout=30, keep_alive=1e9, header_timeout=1e9, body_timeout=1e9, body_idle_timeout=1e9
    )
    async with secured(tmp_path, patient) as port:
        rig = port.rig
        client = await rig.client()
        cast(asyncio.Transport, client.writer.transport).pause_reading()
        flood = asyncio.create_task(client.send(BAD * 200_000))
        await rig.until(lambda: rig.server.stats.refused[400] > 100)

        def cut_off() -> bool:
            rig.pass_time(31)
            return not rig.server.stats.connections

        await rig.until(cut_off)
        assert rig.server.stats.timeouts == {"write": 1}
        assert rig.server.stats.refused[400] < 200_000
        client.writer.transport.abort()
        flood.cancel()


async def test_a_client_that_reads_late_gets_all_its_replies(tmp_path: Path) -> None:
    async with secured(tmp_path) as port:
        client = await port.rig.client()
        cast(asyncio.Transport, client.writer.transport).pause_reading()
        sending = asyncio.create_task(client.send((GOOD + BAD) * 5000))
        await asyncio.sleep(0.05)
        cast(asyncio.Transport, client.writer.transport).resume_reading()
        assert await statuses(client, 10_000) == [200, 400] * 5000
        await sending


async def test_only_so_many_requests_at_a_time(tmp_path: Path) -> None:
    async with secured(tmp_path, Limits(max_pipelined=8)) as port:
        rig = port.rig
        rig.intake.manual = True
        client = await rig.client()
        sending = asyncio.create_task(client.send(GOOD * 10_000))
        await rig.until(lambda: rig.intake.waiting)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert len(rig.intake.waiting) <= 8
        assert rig.server.stats.bytes_received < 8_000 * len(GOOD), "it isn't read from meanwhile"
        rig.intake.manual = False
        rig.intake.commit()
        assert await statuses(client, 10_000) == [200] * 10_000
        await sending


async def test_the_last_reply_arrives(tmp_path: Path) -> None:
    async with secured(tmp_path) as port:
        for last in (post(b"LAX hello", "Connection: close"), b"POST / HTTP/1.1\r\nHost : h\r\n\r\n"):
            client = await port.rig.client()
            assert (await client.ask(GOOD)).status == 200
            assert (await client.ask(last)).closes
            assert await client.rest() == b""
        await port.rig.until(lambda: port.rig.server.stats.connections == 0)


async def test_a_client_that_ends_its_side_ends_the_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither event loop can close one side of TLS alone: what isn't answered yet isn't acknowledged."""
    async with secured(tmp_path) as port:
        rig = port.rig
        rig.intake.manual = True
        idle, waiting = await rig.client(), await rig.client()
        await waiting.send(GOOD)
        await rig.until(lambda: rig.intake.waiting)
        for client in (idle, waiting):
            client.close()
        await rig.until(lambda: rig.server.stats.connections == 0)
        assert rig.server.stats.aborted == 1
        rig.intake.commit()
        rig.intake.manual = False
        assert (await (await rig.client()).ask(GOOD)).status == 200
    assert "eof_received" not in caplog.text


async def test_a_handshake_that_stands_still_is_ended(tmp_path: Path) -> None:
    async with secured(tmp_path, Limits(header_timeout=0.1)) as port:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", port.rig.server.port)) as slow:
            slow.setblocking(False)
            async with asyncio.timeout(PATIENCE):
                assert await loop.sock_recv(slow, 1) == b""
        assert port.rig.server.stats.connections_total == 0


async def test_connections_are_bounded(tmp_path: Path) -> None:
    async with secured(tmp_path, Limits(max_connections=1, max_refused_connections=1)) as port:
        assert (await (await port.rig.client()).ask(GOOD)).status == 200
        reply = await (await port.rig.client()).reply()
        assert (reply.status, reply.closes) == (503, True)


async def test_stop_answers_what_is_in_flight(tmp_path: Path) -> None:
    async with secured(tmp_path) as port:
        rig = port.rig
        rig.intake.manual = True
        idle, waiting = await rig.client(), await rig.client()
        await waiting.send(GOOD)
        await rig.until(lambda: rig.intake.waiting)
        stopping = asyncio.create_task(rig.server.stop(5))
        assert await idle.rest() == b""
        rig.intake.commit()
        assert (await waiting.reply()).closes
        for client in (idle, waiting):
            client.close()
        await stopping


async def test_overloaded_is_said_before_the_body_is_read(tmp_path: Path) -> None:
    async with secured(tmp_path) as port:
        port.rig.intake.refusal = Overloaded("full", "full")
        client = await port.rig.client()
        reply = await client.ask(GOOD[:-1])
        assert (reply.status, reply.closes) == (503, True)
        assert await client.rest() == b""
