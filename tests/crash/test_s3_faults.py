"""A real S3 server that refuses, hangs, says no, resets or lacks the bucket: ingest goes on, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.crash.conftest import MakeSink, Tell
from tests.crash.load import Load, Shape
from tests.crash.points import Fault as FaultAt
from tests.crash.sink import Sink
from tests.crash.test_random_kills import Lane, kill_rounds
from tests.rig.flaky_proxy import Fault, FlakyProxy, Request, flaky_proxy
from tests.rig.ingester import s3_destination
from tests.rig.s3servers import S3Server, find_versitygw, moto, versitygw

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "crash"
OUTAGE_SECONDS = 0.8
OK_WHILE_UP = ("the buffer is being recovered", "the disk is slower", "too many bytes are on their way")
"""Refusals that have nothing to do with the store."""


@pytest.fixture(scope="module", params=["versitygw", "moto"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server for all tests of this file."""
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "moto":
        with moto(directory) as running:
            yield running
        return
    binary = find_versitygw()
    if binary is None:
        if os.environ.get("S3SINK_TOOLS"):
            pytest.fail("S3SINK_TOOLS holds no versitygw")
        pytest.skip("needs versitygw: run make tools, or use make test")
    with versitygw(binary, directory) as running:
        yield running


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FlakyProxy]:
    """Between the ingester and the server."""
    with flaky_proxy(server.endpoint) as running:
        yield running


@pytest.fixture
def client(server: S3Server) -> Iterator[S3Client]:
    """The test's own way to the server, to a new bucket."""
    found = server.client()
    _remove(found)
    found.create_bucket(Bucket=BUCKET)
    yield found
    found.close()


def _remove(client: S3Client) -> None:
    if BUCKET in [one["Name"] for one in client.list_buckets()["Buckets"]]:
        for key, _ in bucket_content(client):
            client.delete_object(Bucket=BUCKET, Key=key)
        for key, upload_id, _ in unfinished_uploads(client):
            client.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload_id)
        client.delete_bucket(Bucket=BUCKET)


def bucket_content(client: S3Client) -> Iterator[tuple[str, bytes]]:
    """Every object."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for item in page.get("Contents", []):
            yield item["Key"], client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()


def unfinished_uploads(client: S3Client) -> Iterator[tuple[str, str, int]]:
    """Every multipart upload that is neither completed nor aborted: its key, its id, and how many parts are kept."""
    for one in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        key, upload_id = one["Key"], one["UploadId"]
        yield (
            key,
            upload_id,
            len(client.list_parts(Bucket=BUCKET, Key=key, UploadId=upload_id).get("Parts", [])),
        )


def make(make_sink: MakeSink, proxy: FlakyProxy, client: S3Client) -> Sink:
    """A volume whose objects go through the proxy."""
    sink = make_sink(
        destination=s3_destination(proxy.endpoint, BUCKET), batch={"window": "1s", "maxBytes": "60Ki"}
    )
    sink.reader = lambda: bucket_content(client)
    return sink


def always(fault: Fault) -> Callable[[FlakyProxy], Callable[[], None]]:
    """Every request meets the fault."""

    def begin(proxy: FlakyProxy) -> Callable[[], None]:
        proxy.decide = lambda _: fault

        def end() -> None:
            proxy.decide = lambda _: None

        return end

    return begin


def refusing(proxy: FlakyProxy) -> Callable[[], None]:
    """Nobody listens, and connections that are open are reset."""
    proxy.stop()
    return proxy.start


OUTAGES = {
    "refusing": refusing,
    "hanging": always(Fault.HANG),
    "slow down": always(Fault.SLOW_DOWN),
    "forbidden": always(Fault.FORBIDDEN),
    "conflict": always(Fault.CONFLICT),
    "a web page": always(Fault.NOT_S3),
    "reset in the middle": always(Fault.CUT_BEFORE),
    "reset after it was stored": always(Fault.CUT_AFTER),
}


async def status_with(sink: Sink, is_so: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The status once its destination is so: on a busy machine the first upload takes a while to fail."""
    deadline = asyncio.get_running_loop().time() + 60.0
    while not is_so((status := await sink.status())["destination"]):
        assert asyncio.get_running_loop().time() < deadline, status["destination"]
        await asyncio.sleep(0.1)
    return status


@pytest.mark.parametrize("outage", OUTAGES)
async def test_an_outage(
    make_sink: MakeSink, proxy: FlakyProxy, client: S3Client, tell: Tell, outage: str, server: S3Server
) -> None:
    sink = make(make_sink, proxy, client)
    sink.start()
    load = Load(sink.ledger, Random(outage), Shape(size=1500, batch=8), pause=0.01)
    load.start(await sink.port(), 4)
    await asyncio.sleep(OUTAGE_SECONDS / 2)
    end = OUTAGES[outage](proxy)
    await asyncio.sleep(OUTAGE_SECONDS)
    if outage != "hanging":  # nobody knows of that yet
        await status_with(sink, lambda destination: destination["ok"] is False)
    before = load.answers.acked
    status = await sink.status()
    await asyncio.sleep(0.2)
    await load.stop()
    assert status["not_ready"] is None
    assert load.answers.acked > before, "ingest stood still"
    assert not [why for _, why in load.answers.refusals if not why.startswith(OK_WHILE_UP)]
    end()
    await sink.all_found()
    sink.kill()
    tell(f"{server.name}: {outage}", await sink.drained_verdict())


async def test_a_bucket_that_is_not_there(
    make_sink: MakeSink, proxy: FlakyProxy, client: S3Client, tell: Tell, server: S3Server
) -> None:
    client.delete_bucket(Bucket=BUCKET)
    sink = make(make_sink, proxy, client)
    sink.start()
    load = Load(sink.ledger, Random(1), Shape(size=1500))
    await load.send_until_acked(await sink.port(), 200)
    status = await status_with(sink, lambda destination: destination["last_error"])
    assert status["not_ready"] is None
    assert "bucket" in status["destination"]["last_error"].lower()
    client.create_bucket(Bucket=BUCKET)
    await sink.all_found()
    sink.kill()
    tell(f"{server.name}: no such bucket at first", await sink.drained_verdict())


async def test_killed_at_random_while_the_store_fails_at_random(
    make_sink: MakeSink, proxy: FlakyProxy, client: S3Client, tell: Tell, server: S3Server
) -> None:
    """Answers get lost and the process is killed: an object that is there already isn't stored twice."""
    rng = Random(2)
    faults = (Fault.CUT_AFTER, Fault.CUT_AFTER, Fault.CUT_BEFORE, Fault.SLOW_DOWN, Fault.INTERNAL_ERROR)

    def decide(request: Request) -> Fault | None:
        return rng.choice(faults) if rng.random() < 0.3 else None

    sink = make(make_sink, proxy, client)
    proxy.decide = decide
    lane = Lane("s3", 20, Shape(size=1500), {})
    tell(f"{server.name}: 20 random kills, 30% of requests fail", await kill_rounds(sink, lane, Random(3)))


async def test_killed_in_the_middle_of_multipart_uploads(
    make_sink: MakeSink, proxy: FlakyProxy, client: S3Client, tell: Tell, server: S3Server
) -> None:
    """What a kill leaves of an upload in parts is found by its note on the volume, and ended.

    A kill between the store's answer to CreateMultipartUpload and that note leaves an upload that nobody knows of. It
    holds no parts, so it costs nothing; there may be one for each upload that was being begun.
    """
    rng, kills, concurrency = Random(4), 8, 4
    sink = make_sink(
        destination=s3_destination(proxy.endpoint, BUCKET),
        source={"maxRequestBytes": "4Mi"},
        batch={"window": "24h", "maxBytes": "11Mi"},
        object={"compression": "none"},
        buffer={"size": "1Gi", "segmentBytes": "8Mi", "memoryBytes": "1Mi"},
        uploads={"multipartThreshold": "5Mi", "partSize": "5Mi", "concurrency": concurrency},
    )
    sink.reader = lambda: bucket_content(client)
    large = Shape(partitions=1, size=10_000, batch=400, singles=0.0, pipelined=1)
    began = ("CreateMultipartUpload", "POST")  # nobody knows the id of an upload whose first answer is lost

    def decide(request: Request) -> Fault | None:
        return Fault.CUT_AFTER if rng.random() < 0.2 and request.operation not in began else None

    for _ in range(kills):
        proxy.decide = decide
        sink.start(FaultAt("live/before read object", rng.randint(2, 80)))
        load = Load(sink.ledger, rng, large)
        port = await sink.port()
        while sink.process.alive:
            await load.send(port, 4)
            sink.signal(signal.SIGHUP)
    operations = set(proxy.operations)
    proxy.decide = lambda _: None
    tell(f"{server.name}: {kills} kills during multipart uploads", await sink.drained_verdict())
    assert "UploadPart" in operations
    left = [(key, parts) for key, _, parts in unfinished_uploads(client) if key != ".s3sink-probe"]
    assert not [(key, parts) for key, parts in left if parts]
    assert len(left) <= kills * concurrency
