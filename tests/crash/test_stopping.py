"""SIGTERM under load, and a drain that is killed in the middle."""

from __future__ import annotations

import asyncio
import signal
from random import Random
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.crash.conftest import MakeSink, Tell
from tests.crash.load import Load, Shape
from tests.crash.sink import PATIENCE
from tests.rig.processes import free_port

SHAPE = Shape(size=800)


@pytest.mark.parametrize("seed", range(8))
async def test_sigterm_under_load(make_sink: MakeSink, tell: Tell, seed: int) -> None:
    """Whoever was answered 200 finds the records in the bucket when the process has ended: it had the time."""
    rng = Random(seed)
    sink = make_sink(batch={"window": "24h", "maxBytes": "60Ki"})
    sink.start(grace=30.0)
    load = Load(sink.ledger, rng, SHAPE)
    load.start(await sink.port())
    await asyncio.sleep(rng.uniform(0.1, 0.4))
    sink.signal(signal.SIGTERM)
    assert await sink.exited() == 0, sink.log_tail()
    await load.stop()
    assert load.answers.hung == 0
    assert load.answers.retry_after
    tell("SIGTERM under load", sink.verdict())


async def test_sigterm_while_the_store_is_away(make_sink: MakeSink, tell: Tell) -> None:
    """The process ends though it can't upload; the next one finds everything."""
    sink = make_sink()
    sink.block_uploads()
    sink.start(grace=4.0)
    load = Load(sink.ledger, Random(9), SHAPE)
    load.start(await sink.port())
    await asyncio.sleep(0.4)
    sink.signal(signal.SIGTERM)
    assert await sink.exited() == 0, sink.log_tail()
    await load.stop()
    sink.unblock_uploads()
    sink.inspected()
    tell("SIGTERM while the store is away", await sink.drained_verdict())


async def test_the_drain_command_is_killed_again_and_again(make_sink: MakeSink, tell: Tell) -> None:
    rng = Random(10)
    sink = make_sink(batch={"window": "24h", "maxBytes": "8Ki"})
    sink.block_uploads()
    sink.start()
    await Load(sink.ledger, rng, SHAPE).send_until_acked(await sink.port(), 300)
    sink.kill()
    sink.unblock_uploads()
    uploaded = 0
    for _ in range(12):
        sink.start_command("drain")
        await asyncio.sleep(rng.uniform(0.03, 0.15))
        sink.kill()
        report = sink.inspected()
        assert report is not None
        assert report.uploaded_records >= uploaded
        uploaded = report.uploaded_records
    sink.start_command("drain")
    assert await sink.exited() == 0, sink.log_tail()
    report = sink.inspected()
    assert report is not None
    assert report.buffered_records == 0
    tell("12 kills of the drain command", sink.verdict())


async def test_a_drain_that_was_asked_for_goes_on_after_a_kill(make_sink: MakeSink, tell: Tell) -> None:
    """Killed while it drains, ``serve`` drains on when it is back, and takes records again only when told."""
    port, admin = free_port(), free_port()
    sink = make_sink(source={"port": port}, admin={"port": admin}, batch={"window": "24h", "maxBytes": "8Ki"})
    sink.block_uploads()
    sink.start_command("serve")
    load = Load(sink.ledger, Random(11), SHAPE)
    await load.send_until_acked(port, 200)
    assert await ask(admin, "POST", "/drain") == 202
    sink.kill()
    sink.inspected()
    sink.unblock_uploads()
    sink.start_command("serve")
    async with asyncio.timeout(PATIENCE):
        while await ask(admin, "POST", "/drain") != 200:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.05)
    acked = load.answers.acked
    await load.send(port, 20)
    assert load.answers.acked == acked
    assert await ask(admin, "GET", "/readyz") == 503
    assert await ask(admin, "POST", "/resume") == 200
    await load.send_until_acked(port, 20)
    sink.signal(signal.SIGTERM)
    assert await sink.exited() == 0, sink.log_tail()
    assert sink.left_over() == []
    tell("serve killed while it drains", sink.verdict())


async def ask(port: int, method: str, path: str) -> int | None:
    """The status of an answer of the admin port; None when there is none."""

    def request() -> int | None:
        try:
            with urlopen(Request(f"http://127.0.0.1:{port}{path}", method=method), timeout=10.0) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code
        except OSError:
            return None

    return await asyncio.to_thread(request)
