"""What a process says of itself goes on when its volume is recovered in place."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from s3sink_ingester.app import App
from s3sink_ingester.config import Settings, local_settings
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.errors import S3SinkError
from s3sink_ingester.metrics import UploadStats
from s3sink_ingester.objects.fake import FakeStore
from s3sink_ingester.records import Kind, Partition
from s3sink_ingester.serving import Process


class Waiter:
    """Of one request."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def committed(self) -> None:
        self.answered.set_result(True)

    def failed(self, error: S3SinkError) -> None:
        self.answered.set_result(False)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return local_settings(tmp_path, port=0, admin_port=0)


async def send(app: App) -> bool:
    """Whether a record was taken."""
    waiter = Waiter()
    assert app.store is not None
    app.store.submit([(Partition("LAX/", Kind.DATA), b"record\n", 1)], waiter)
    return await waiter.answered


async def until_open(app: App, recoveries: int) -> None:
    async with asyncio.timeout(60.0):  # instead of hanging
        while app.recoveries < recoveries or app.store is None:  # noqa: ASYNC110  # nothing tells when it is open
            await asyncio.sleep(0.001)


async def upload(app: App) -> None:
    """Everything there is, and take records again."""
    await app.drain("test")
    async with asyncio.timeout(60.0):  # instead of hanging
        while app.store is None or not app.store.is_drained:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.001)
    await app.resume()


async def counters(process: Process) -> dict[tuple[str, str], float]:
    """All that may only grow: counters and the counts of histograms."""
    families = text_string_to_metric_families((await process.metrics()).decode())
    return {
        (sample.name, str(sample.labels)): sample.value
        for family in families
        for sample in family.samples
        if family.type in ("counter", "histogram") and family.name.startswith("s3sink_")
    }


async def test_counters_and_the_latest_upload_outlive_a_recovery_in_place(settings: Settings) -> None:
    disk = FakeDisk()
    uploads = UploadStats()
    app = App(settings, disk, FakeStore(disk), observer=uploads)
    process = Process(app, uploads)
    stop = asyncio.Event()
    await app.start()
    running = asyncio.create_task(app.run(stop))
    await until_open(app, 1)
    assert await send(app)
    await upload(app)
    before, told = await counters(process), process.upload_facts
    assert told.last_success is not None

    def fail(operation: str, path: str) -> None:
        if operation == "sync" and path.startswith("journal/"):
            disk.before = lambda operation, path: None
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    disk.before = fail
    assert not await send(app)
    await until_open(app, 2)
    after = await counters(process)
    assert {name: value for name, value in before.items() if after.get(name, -1) < value} == {}
    assert process.upload_facts.last_success == told.last_success
    assert process.upload_facts.failures == told.failures
    assert await send(app)
    stop.set()
    await running
    await app.stop(5.0)
