"""Order of replies, flow control, time-outs, ages and ends of connections."""

from __future__ import annotations

import asyncio
import gzip
import socket

import pytest
from s3sink_ingester.errors import Overloaded
from s3sink_ingester.http.limits import Limits

from tests.unit_ingester.http.rig import Client, post, running

GOOD = post(b"LAX hello")
BAD = post(b"nokey")
MISSING = post(b"LAX hello", target="/a/b")
KI = 1024


async def _statuses(client: Client, count: int) -> list[int]:
    return [(await client.reply()).status for _ in range(count)]


async def _pieces(client: Client, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        await client.send(data[start : start + size])
        await asyncio.sleep(0)


# Order and pipelining.


async def test_replies_keep_the_order_of_requests() -> None:
    async with running() as rig:
        rig.intake.manual = True
        client = await rig.client()
        await client.send(GOOD + BAD + GOOD + MISSING + BAD + GOOD)
        await rig.until(lambda: len(rig.intake.waiting) == 3)
        for expected in ([200, 400], [200, 404, 400], [200]):
            rig.intake.commit(1)
            assert await _statuses(client, len(expected)) == expected


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
async def test_however_the_bytes_come(size: int) -> None:
    async with running() as rig:
        client = await rig.client()
        chunked = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nLAX b\r\n0\r\n\r\n"
        sending = asyncio.create_task(_pieces(client, (post(b"LAX a") + chunked + BAD) * 20, size))
        assert await _statuses(client, 60) == [200, 200, 400] * 20
        await sending
        assert rig.intake.payloads == [b"a\n", b"b\n"] * 20


@pytest.mark.parametrize("requests", [GOOD * 100, BAD * 100, (GOOD + BAD) * 50])
async def test_only_so_many_requests_at_a_time(requests: bytes) -> None:
    async with running(Limits(max_pipelined=8)) as rig:
        rig.intake.manual = True
        client = await rig.client()
        await client.send(GOOD + requests)
        await rig.until(lambda: rig.intake.waiting)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(rig.intake.waiting) <= 8
        rig.intake.manual = False
        rig.intake.commit()
        statuses = await _statuses(client, 101)
        assert statuses.count(200) == 1 + requests.count(b"hello")


async def test_large_bodies_keep_their_place() -> None:
    large = post(b"LAX " + b"x" * 400 * KI)
    packed = post(
        gzip.compress(b"LAX y\n" * 200 * KI, 0),
        "Content-Encoding: gzip",
        "Content-Type: application/x-ndjson",
    )
    async with running() as rig:
        client = await rig.client()
        sending = asyncio.create_task(client.send((GOOD + large + BAD + packed + GOOD) * 2))
        assert await _statuses(client, 10) == [200, 200, 400, 200, 200] * 2
        await sending
        assert [len(payload) for payload in rig.intake.payloads[:4]] == [6, 400 * KI + 1, 2 * 200 * KI, 6]


async def test_a_large_bad_body() -> None:
    async with running() as rig:
        client = await rig.client()
        body = b"LAX a\n" * 60 * KI + b"bad\n"
        reply = await client.ask(post(body, "Content-Type: application/x-ndjson"))
        assert reply.status == 400
        assert (await client.ask(GOOD)).status == 200


async def test_a_last_request_that_is_routed_in_a_thread_gets_the_last_reply() -> None:
    async with running() as rig:
        rig.intake.manual = True
        client = await rig.client()
        await client.send(GOOD + post(b"LAX " + b"x" * 400 * KI, "Connection: close"))
        await rig.until(lambda: len(rig.intake.waiting) == 2)
        rig.intake.commit()
        first, second = await client.reply(), await client.reply()
        assert (first.closes, second.closes) == (False, True)


# 100-continue.


async def test_continue_is_said_when_admitted() -> None:
    async with running() as rig:
        client = await rig.client()
        whole = post(b"LAX hello", "Expect: 100-continue")
        for _ in range(3):
            await client.send(whole[:-9])
            assert (await client.reply()).status == 100
            assert (await client.ask(whole[-9:])).status == 200


async def test_continue_waits_for_its_turn() -> None:
    async with running() as rig:
        rig.intake.manual = True
        client = await rig.client()
        await client.send(GOOD + post(b"LAX hello", "Expect: 100-continue")[:-9])
        await rig.until(lambda: rig.intake.waiting)
        rig.intake.commit()
        assert await _statuses(client, 2) == [200, 100]


async def test_continue_is_not_said_to_whom_sends_anyway() -> None:
    async with running() as rig:
        client = await rig.client()
        assert (await client.ask(post(b"LAX hello", "Expect: 100-continue"))).status == 200


async def test_no_continue_but_the_refusal() -> None:
    async with running(Limits(max_request_bytes=1000)) as rig:
        for body, status in ((b"x" * 1001, 413), (b"LAX a", 503)):
            client = await rig.client()
            reply = await client.ask(post(body, "Expect: 100-continue")[: -len(body)])
            assert (reply.status, reply.closes) == (status, True)
            rig.intake.refusal = Overloaded("full", "full")


# Time-outs and ages.


async def test_an_idle_connection_is_closed() -> None:
    async with running(Limits(keep_alive=10)) as rig:
        fresh, used = await rig.client(), await rig.client()
        await used.ask(GOOD)
        await rig.until(lambda: rig.server.stats.connections == 2)
        rig.pass_time(9.9)
        assert (await used.ask(GOOD)).status == 200
        rig.pass_time(0.2)
        assert await fresh.rest() == b""
        assert (await used.ask(GOOD)).status == 200
        assert rig.server.stats.timeouts == {"idle": 1}


async def test_an_old_connection_gets_its_last_reply() -> None:
    async with running(Limits(keep_alive=10)) as rig:
        client = await rig.client()
        for _ in range(3):
            assert not (await client.ask(GOOD)).closes
            rig.pass_time(3.3)
        assert not (await client.ask(GOOD)).closes
        rig.pass_time(0.2)
        assert (await client.ask(GOOD)).closes
        assert await client.rest() == b""


async def test_an_old_connection_with_requests_under_way() -> None:
    async with running(Limits(keep_alive=10)) as rig:
        rig.intake.manual = True
        client = await rig.client()
        await client.send(GOOD * 3)
        await rig.until(lambda: len(rig.intake.waiting) == 3)
        rig.pass_time(11)
        await client.send(GOOD)  # not looked at any more
        rig.intake.commit()
        assert [(await client.reply()).closes for _ in range(3)] == [False, False, True]
        assert await client.rest() == b""
        assert len(rig.intake.taken) == 3


@pytest.mark.parametrize("begun", [b"P", GOOD[:30], GOOD + GOOD[:30], b"\r"])
async def test_a_slow_head(begun: bytes) -> None:
    async with running(Limits(keep_alive=100, header_timeout=10)) as rig:
        client = await rig.client()
        rig.pass_time(50)
        await client.send(begun)
        if begun.startswith(GOOD):
            assert (await client.reply()).status == 200
        await rig.until(lambda: rig.server.bytes_in_flight == len(begun) % len(GOOD))
        rig.pass_time(9.9)
        rig.pass_time(0.2)
        reply = await client.reply()
        assert (reply.status, reply.closes) == (408, True)
        assert rig.server.stats.timeouts == {"head": 1}


async def test_a_head_that_trickles() -> None:
    async with running(Limits(keep_alive=100, header_timeout=10)) as rig:
        client = await rig.client()
        for place in range(11):
            await client.send(GOOD[place : place + 1])
            await rig.received(place + 1)
            rig.pass_time(1)
        assert (await client.reply()).status == 408


BODY = b"LAX " + b"x" * 100
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("begun", [post(BODY)[:-50], CHUNKED_HEAD, CHUNKED_HEAD + b"5\r\nLAX"])
async def test_a_body_that_stands_still(begun: bytes) -> None:
    async with running(Limits(keep_alive=1000, body_idle_timeout=30)) as rig:
        client = await rig.client()
        await client.send(begun)
        await rig.received(len(begun))
        rig.pass_time(29.9)
        rig.pass_time(0.2)
        reply = await client.reply()
        assert (reply.status, reply.closes) == (408, True)
        assert rig.server.stats.timeouts == {"body": 1}


@pytest.mark.parametrize(("rate", "status"), [(9.0, 200), (12.0, 408)])
async def test_a_body_that_trickles(rate: float, status: int) -> None:
    """Ten bytes a second: too slow once body_timeout is over, or not."""
    limits = Limits(keep_alive=1000, body_timeout=20, body_idle_timeout=5, min_body_rate=rate)
    async with running(limits) as rig:
        client = await rig.client()
        request = post(b"LAX " + b"x" * 300)
        head, body = request[:-304], request[-304:]
        await client.send(head)
        sent = len(head)
        for start in range(0, 300, 10):
            await client.send(body[start : start + 10])
            sent += 10
            await rig.received(sent)
            rig.pass_time(1)
            if rig.server.stats.timeouts:
                break
        else:
            await client.send(body[300:])
        assert (await client.reply()).status == status


async def test_waiting_for_the_commit_is_no_time_out() -> None:
    async with running(Limits(keep_alive=10)) as rig:
        rig.intake.manual = True
        client = await rig.client()
        await client.send(GOOD)
        await rig.until(lambda: rig.intake.waiting)
        rig.pass_time(1000)
        rig.intake.commit()
        assert (await client.reply()).status == 200


async def test_a_client_that_does_not_read_its_replies() -> None:
    patient = Limits(write_timeout=30, keep_alive=1e9, header_timeout=1e9)
    async with running(patient) as rig:
        with socket.create_connection(("127.0.0.1", rig.server.port)) as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            flood = asyncio.create_task(loop.sock_sendall(sock, BAD * 200_000))
            await rig.until(lambda: rig.server.stats.connections)

            def cut_off() -> bool:
                rig.pass_time(31)
                return not rig.server.stats.connections

            await rig.until(cut_off)
            assert rig.server.stats.timeouts == {"write": 1}
            assert 0 < rig.server.stats.refused[400] < 200_000
            with pytest.raises(OSError, match=r"."):
                await flood


async def test_a_client_that_reads_late_gets_all_its_replies() -> None:
    async with running() as rig:
        client = await rig.client()
        sending = asyncio.create_task(client.send((GOOD + BAD) * 5000))
        await asyncio.sleep(0.05)
        assert await _statuses(client, 10_000) == [200, 400] * 5000
        await sending


# Limits over all connections.


async def test_bytes_in_flight_are_bounded() -> None:
    limits = Limits(max_request_bytes=1000, max_bytes_in_flight=1500)
    async with running(limits) as rig:
        rig.intake.manual = True
        first, second = await rig.client(), await rig.client()
        await first.send(post(b"LAX " + b"x" * 900))
        await rig.until(lambda: rig.intake.waiting)
        reply = await second.ask(post(b"LAX " + b"x" * 900))
        assert (reply.status, reply.json["reason"], reply.closes) == (503, "backlog", False)
        rig.intake.commit()
        assert (await first.reply()).status == 200
        await second.send(post(b"LAX " + b"x" * 900))
        await rig.until(lambda: rig.intake.waiting)
        rig.intake.commit()
        assert (await second.reply()).status == 200


async def test_bodies_that_outgrow_the_bound_together() -> None:
    limits = Limits(max_request_bytes=1000, max_bytes_in_flight=1500)
    async with running(limits) as rig:
        clients = [await rig.client() for _ in range(2)]
        chunk = b"300\r\nLAX " + b"x" * 0x2FC + b"\r\n"
        for client in clients:
            await client.send(CHUNKED_HEAD + b"80\r\nLAX " + b"x" * 0x7C + b"\r\n")
        await rig.until(lambda: rig.server.bytes_in_flight == 256)
        for client in clients:
            await client.send(chunk)
        reply = await clients[1].reply()
        assert (reply.status, reply.json["reason"], reply.closes) == (503, "backlog", True)
        await clients[0].send(b"0\r\n\r\n")
        assert (await clients[0].reply()).status == 200


async def test_connections_are_bounded() -> None:
    async with running(Limits(max_connections=2, max_refused_connections=1)) as rig:
        for _ in range(2):
            assert (await (await rig.client()).ask(GOOD)).status == 200
        third = await rig.client()
        await third.send(GOOD)
        reply = await third.reply()
        assert (reply.status, reply.closes) == (503, True)
        await rig.until(lambda: rig.server.stats.connections == 3)
        fourth = await rig.client()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await fourth.ask(GOOD)
        assert rig.server.stats.connections_refused == 2
        assert rig.server.stats.connections_total == 4


def test_a_bound_that_no_request_could_keep() -> None:
    with pytest.raises(ValueError, match="max_bytes_in_flight"):
        Limits(max_request_bytes=10, max_bytes_in_flight=9)


# Ends.


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"LAX hello", "Connection: close"),
        GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        GOOD.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Host: h", b"Connection: keep-alive"),
        MISSING.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_the_client_wants_only_one_reply(request_bytes: bytes) -> None:
    async with running() as rig:
        for _ in range(3):
            client = await rig.client()
            assert (await client.ask(request_bytes)).closes
            await client.send(GOOD)
            assert await client.rest() == b""


async def test_a_client_that_closes_its_side_gets_its_replies() -> None:
    async with running(Limits(max_pipelined=4)) as rig:
        client = await rig.client()
        await client.send(GOOD * 20 + GOOD[:-1])
        client.writer.write_eof()
        replies = await client.rest()
        assert replies.count(b"HTTP/1.1 200 OK") == 20
        await rig.until(lambda: rig.server.stats.connections == 0)


async def test_a_client_that_lingers_is_cut_off() -> None:
    async with running(Limits(linger=2)) as rig:
        client = await rig.client()
        await client.ask(post(b"LAX hello", "Connection: close"))
        assert rig.server.stats.connections == 1
        rig.pass_time(2.1)
        await rig.until(lambda: rig.server.stats.connections == 0)


@pytest.mark.parametrize("sent", [GOOD, GOOD * 3 + BAD, post(b"LAX " + b"x" * 400 * KI), GOOD + GOOD[:-1]])
async def test_a_client_that_is_gone_before_the_commit(sent: bytes) -> None:
    async with running() as rig:
        rig.intake.manual = True
        client, other = await rig.client(), await rig.client()
        await client.send(sent)
        await rig.until(lambda: rig.intake.waiting)
        client.reset()
        await rig.until(lambda: rig.server.stats.aborted == 1)
        rig.intake.commit()
        rig.intake.manual = False
        assert (await other.ask(GOOD)).status == 200


async def test_drain_makes_every_reply_the_last() -> None:
    async with running() as rig:
        busy, idle = await rig.client(), await rig.client()
        await busy.ask(GOOD)
        await idle.ask(GOOD)
        rig.server.drain()
        late = await rig.client()
        for client in (busy, idle, late):
            assert (await client.ask(GOOD)).closes


async def test_stop_answers_what_is_in_flight() -> None:
    async with running() as rig:
        rig.intake.manual = True
        idle, waiting, sending = [await rig.client() for _ in range(3)]
        await idle.send(GOOD)
        await rig.until(lambda: rig.intake.waiting)
        rig.intake.commit()
        assert not (await idle.reply()).closes
        await waiting.send(GOOD)
        await sending.send(GOOD[:-3])
        await rig.until(lambda: rig.intake.waiting and rig.server.stats.bytes_received == 3 * len(GOOD) - 3)
        stopping = asyncio.create_task(rig.server.stop(5))
        assert await idle.rest() == b""
        with pytest.raises(OSError, match=r"."):
            await rig.client()
        await sending.send(GOOD[-3:])
        await rig.until(lambda: len(rig.intake.waiting) == 2)
        rig.intake.commit()
        for client in (waiting, sending):
            assert (await client.reply()).closes
            client.close()
        await stopping


async def test_stop_is_bounded() -> None:
    async with running() as rig:
        rig.intake.manual = True
        client = await rig.client()
        await client.send(GOOD)
        await rig.until(lambda: rig.intake.waiting)
        await rig.server.stop(0.05)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.reply()


async def test_servers_may_share_a_port() -> None:
    async with running(reuse_port=True) as rig:
        async with running(port=rig.server.port, reuse_port=True) as other:
            assert other.server.port == rig.server.port
        with pytest.raises(OSError, match="address already in use"):
            await rig.server.start("127.0.0.1", rig.server.port)
