"""Every status of the data port, over a real socket."""

from __future__ import annotations

import gzip
import zlib

import pytest
import zstandard
from s3sink_ingester.errors import JournalFailed, Overloaded, RequestError
from s3sink_ingester.http.limits import Limits
from s3sink_ingester.records import Batch, Kind, Partition, Partitioning

from tests.unit_ingester.http.rig import post, running

GOOD = post(b"LAX hello")
LIMITS = Limits(max_request_bytes=1000)
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "payloads"),
    [
        (GOOD, [b"hello\n"]),
        (post(b"LAX hello", target="/"), [b"hello\n"]),
        (post(b"LAX hello", target="/app.log?time=1"), [b"hello\n"]),
        (post(b"LAX hello", target="http://h/ingest"), [b"hello\n"]),
        (post(b"LAX hello", "Content-Type: text/plain; charset=utf-8"), [b"hello\n"]),
        (post(b"LAX hello", "Content-Type: application/octet-stream"), [b"hello\n"]),
        (post(b"LAX hello", "Content-Type: application/x-www-form-urlencoded"), [b"hello\n"]),
        (post(b"LAX a\nLAX b\n", "Content-Type: application/x-ndjson"), [b"a\nb\n"]),
        (post(b"LAX a\nLAX b", "Content-Type: application/jsonl"), [b"a\nb\n"]),
        (post(b"LAX a\nLAX b", "Content-Type: Application/X-JSONLines"), [b"a\nb\n"]),
        (post(b"LAX hello", "Content-Encoding: identity"), [b"hello\n"]),
        (post(gzip.compress(b"LAX hello"), "Content-Encoding: gzip"), [b"hello\n"]),
        (post(zlib.compress(b"LAX hello"), "Content-Encoding: deflate"), [b"hello\n"]),
        (post(zstandard.compress(b"LAX hello"), "Content-Encoding: zstd"), [b"hello\n"]),
        (CHUNKED + b"4\r\nLAX \r\n5\r\nhello\r\n0\r\n\r\n", [b"hello\n"]),
        (b"\r\n" + GOOD, [b"hello\n"]),
        # Java's client offers HTTP/2 with its first request.
        (
            post(b"LAX hello", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: A"),
            [b"hello\n"],
        ),
    ],
)
async def test_taken(request_bytes: bytes, payloads: list[bytes]) -> None:
    async with running() as rig:
        client = await rig.client()
        for times in (1, 2, 3):  # a head that is known takes another way
            reply = await client.ask(request_bytes)
            assert (reply.status, reply.json) == (200, {"accepted": payloads[0].count(b"\n")})
            assert reply.headers["content-type"] == "application/json"
            assert reply.headers["date"] == "Sun, 09 Sep 2001 01:46:40 GMT"
            assert not reply.closes
            assert rig.intake.payloads == payloads * times


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "empty": (post(b""), 400, "empty"),
    "no key": (post(b"nokey"), 400, ""),
    "corrupt gzip": (post(b"LAX hello", "Content-Encoding: gzip"), 400, ""),
    "unknown path": (post(b"LAX hello", target="/a/b"), 404, "/a/b"),
    "key in the path": (post(b"LAX hello", target="/ingest/key"), 404, "urlPath"),
    "asterisk": (post(b"LAX hello", target="*"), 404, ""),
    "decompressed": (post(gzip.compress(b"LAX " + b"x" * 1000), "Content-Encoding: gzip"), 413, ""),
    "content type": (post(b"LAX hello", "Content-Type: application/xml"), 415, "application/x-ndjson"),
    "encoding": (post(b"LAX hello", "Content-Encoding: br"), 415, "br"),
    "GET": (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 405, "POST"),
    "GET with a body": (post(b"x").replace(b"POST", b"GET"), 405, "POST"),
    "PUT": (GOOD.replace(b"POST", b"PUT"), 405, "POST"),
    "unknown method": (GOOD.replace(b"POST", b"FROB"), 405, "POST"),
    "whole body too long": (post(b"x" * 1001), 413, "1000"),
}


@pytest.mark.parametrize(("request_bytes", "status", "detail"), REFUSED.values(), ids=REFUSED.keys())
async def test_refused_and_the_connection_goes_on(request_bytes: bytes, status: int, detail: str) -> None:
    async with running(LIMITS) as rig:
        client = await rig.client()
        for _ in range(3):
            reply = await client.ask(request_bytes)
            assert reply.status == status
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.json["status"] == status
            assert reply.json["type"] == "about:blank"
            assert detail in str(reply.json["detail"])
            assert reply.headers.get("allow") == ("POST" if status == 405 else None)
            assert not reply.closes
            assert (await client.ask(GOOD)).status == 200
        assert rig.server.stats.refused == {status: 3}
        assert rig.intake.payloads == [b"hello\n"] * 3


CLOSED: dict[str, tuple[bytes, int]] = {
    "malformed": (b"POST / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "both lengths": (GOOD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
    "bad chunk": (CHUNKED + b"xyz\r\n", 400),
    "404 with the body on its way": (post(b"LAX hello", target="/a/b")[:-1], 404),
    "404 with a chunked body": (CHUNKED.replace(b"/ HTTP", b"/a/b HTTP") + b"0\r\n\r\n", 404),
    "no length": (b"POST / HTTP/1.1\r\nHost: h\r\n\r\n", 411),
    "Content-Length": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n", 413),
    "growing chunks": (CHUNKED + b"200\r\n" + b"x" * 0x200 + b"\r\n200\r\n", 413),
    "long target": (b"POST /" + b"a" * 5000, 414),
    "expectation": (post(b"LAX hello", "Expect: tea"), 417),
    "long head": (post(b"", "X: " + "a" * 17_000), 431),
    "many headers": (post(b"", *(f"X-{number}: a" for number in range(101))), 431),
    "coding": (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
}


@pytest.mark.parametrize(("request_bytes", "status"), CLOSED.values(), ids=CLOSED.keys())
async def test_refused_and_the_connection_closes(request_bytes: bytes, status: int) -> None:
    async with running(LIMITS) as rig:
        client = await rig.client()
        assert (await client.ask(GOOD)).status == 200
        reply = await client.ask(request_bytes)
        assert (reply.status, reply.closes) == (status, True)
        await client.send(GOOD)  # what comes now is dropped; it doesn't reset the connection under the reply
        assert await client.rest() == b""
        assert rig.intake.payloads == [b"hello\n"]


async def test_head_gets_no_body() -> None:
    async with running() as rig:
        client = await rig.client()
        head = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"
        await client.send(head + GOOD + head + b"\0")
        assert (await client.reply(body=False)).status == 405
        assert (await client.reply()).status == 200
        assert (await client.reply(body=False)).status == 405
        assert (await client.reply()).json["status"] == 400


async def test_bad_records_are_named_up_to_a_hundred() -> None:
    async with running() as rig:
        client = await rig.client()
        body = b"LAX a\n" + b"bad\n" * 150
        reply = await client.ask(post(body, "Content-Type: application/x-ndjson"))
        assert reply.status == 400
        records = reply.json["records"]
        assert isinstance(records, list)
        assert [record["index"] for record in records] == list(range(1, 101))
        assert all(record["reason"] for record in records)
        assert rig.intake.taken == []


async def test_a_key_in_a_header() -> None:
    async with running(partitioning=Partitioning(header="X-Shard-Key")) as rig:
        client = await rig.client()
        assert (await client.ask(post(b"hello", "x-shard-key: LAX"))).status == 200
        reply = await client.ask(post(b"hello"))
        assert reply.status == 400
        assert "X-Shard-Key" in str(reply.json["detail"])


async def test_a_key_in_the_path() -> None:
    async with running(partitioning=Partitioning(url_path=True)) as rig:
        client = await rig.client()
        assert (await client.ask(post(b"hello", target="/ingest/a%2Fb?x=y"))).status == 200
        for target in ("/", "/ingest", "/ingest/", "/tag"):
            assert (await client.ask(post(b"hello", target=target))).status == 400
        assert (await client.ask(post(b"hello", target="/ingest/a/b"))).status == 404


FULL = Overloaded("full", "the buffer is full", retry_after=7)


@pytest.mark.parametrize("known", [False, True])
async def test_overloaded(known: bool) -> None:
    async with running() as rig:
        client = await rig.client()
        for _ in range(3 * known):
            await client.ask(GOOD)
        rig.intake.refusal = FULL
        for _ in range(3):
            reply = await client.ask(GOOD)
            assert (reply.status, reply.headers["retry-after"], reply.closes) == (503, "7", False)
            assert reply.json["reason"] == "full"
        rig.intake.refusal = None
        assert (await client.ask(GOOD)).status == 200
        assert rig.server.stats.overloaded == {"full": 3}
        assert rig.server.stats.refused == {503: 3}


async def test_overloaded_is_said_before_the_body_is_read() -> None:
    async with running() as rig:
        client = await rig.client()
        rig.intake.refusal = FULL
        reply = await client.ask(GOOD[:-1])
        assert (reply.status, reply.closes) == (503, True)
        assert await client.rest() == b""


async def test_overloaded_may_send_the_client_elsewhere() -> None:
    async with running() as rig:
        client = await rig.client()
        rig.intake.refusal = Overloaded("draining", "going away", close=True)
        assert (await client.ask(GOOD)).closes
        assert await client.rest() == b""


async def test_a_failed_journal_is_a_503() -> None:
    async with running() as rig:
        rig.intake.manual = True
        client = await rig.client()
        await client.send(GOOD + GOOD)
        await rig.until(lambda: len(rig.intake.waiting) == 2)
        rig.intake.commit(1)
        rig.intake.commit(1, JournalFailed("disk on fire"))
        assert (await client.reply()).status == 200
        reply = await client.reply()
        assert (reply.status, reply.headers["retry-after"], reply.closes) == (503, "1", False)
        assert b"fire" not in reply.body


async def test_what_was_submitted_is_refused_and_sent_elsewhere() -> None:
    async with running() as rig:
        rig.intake.manual = True
        client = await rig.client()
        await client.send(GOOD + GOOD)
        await rig.until(lambda: len(rig.intake.waiting) == 2)
        rig.intake.commit(1, Overloaded("stopping", "going away", close=True))
        rig.intake.commit(1)
        first, second = await client.reply(), await client.reply()
        assert [(reply.status, reply.closes) for reply in (first, second)] == [(503, False), (200, True)]


@pytest.mark.parametrize("error", [FULL, JournalFailed("it failed")])
async def test_the_intake_refuses_what_is_submitted(error: Overloaded | JournalFailed) -> None:
    async with running() as rig:
        client = await rig.client()
        rig.intake.refuse_submit = error
        assert (await client.ask(GOOD)).status == 503
        rig.intake.refuse_submit = None
        assert (await client.ask(GOOD)).status == 200


class _Echo:
    """An endpoint as another API may have it: replies, errors and requests without records of its own."""

    inline_bytes = 100

    def route(self, body: bytes) -> tuple[list[Batch], bytes]:
        if body == b"bad":
            raise RequestError(400, "bad")
        batches = [(Partition("p/", Kind.DATA), body, 1)] if body.startswith(b"store") else []
        return batches, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def refused(self, error: RequestError | Overloaded) -> bytes:
        return b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n"


async def test_another_api() -> None:
    echo = _Echo()
    async with running(LIMITS, resolve=lambda head: echo) as rig:
        client = await rig.client()
        rig.intake.manual = True
        await client.send(b"".join(post(body) for body in (b"store", b"ask", b"bad", b"x" * 1001, b"")))
        await rig.until(lambda: rig.intake.waiting)
        rig.intake.commit()
        replies = [await client.reply() for _ in range(5)]
        assert [reply.body for reply in replies] == [b"store", b"ask", b"", b"", b""]
        assert [reply.status for reply in replies] == [200, 200, 418, 418, 200]
        rig.intake.refusal = FULL
        assert (await client.ask(post(b"ask"))).status == 418
        rig.intake.refusal = None
        rig.intake.manual = False
        assert (await client.ask(post(b"store" * 50, "Connection: close"))).closes


class _Broken(dict[str, object]):
    def __len__(self) -> int:
        raise ZeroDivisionError


async def test_a_fault_of_ours_is_a_500() -> None:
    async with running() as rig:
        client = await rig.client()
        rig.intake.open_partitions = _Broken()
        reply = await client.ask(GOOD)
        assert (reply.status, reply.closes) == (500, True)
