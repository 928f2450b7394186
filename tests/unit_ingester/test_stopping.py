"""How a process ends that can't upload: it leaves the records on the volume, and doesn't wait for a miracle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from s3sink_ingester.app import App
from s3sink_ingester.chunks import Now
from s3sink_ingester.config import Settings, local_settings
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.errors import S3SinkError, StoreRefused
from s3sink_ingester.objects.fake import FakeStore, forbidden
from s3sink_ingester.policy import PATIENCE_SECONDS
from s3sink_ingester.records import Kind, Partition
from s3sink_ingester.uploader import Hope, Uploader

FOR_EVER = 1e9
"""Seconds of grace."""


def hurried() -> Now:
    """Both clocks; the one that waits are measured with goes faster."""
    return Now(time.time(), time.monotonic() * 200)


class Waiter:
    """Of one request."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def committed(self) -> None:
        self.answered.set_result(None)

    def failed(self, error: S3SinkError) -> None:
        self.answered.set_exception(error)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return local_settings(tmp_path, port=0, admin_port=0)


async def until(condition: Callable[[], object]) -> None:
    """Look again and again: it is a fact of which nothing tells."""
    while not condition():  # noqa: ASYNC110  # see above
        await asyncio.sleep(0.001)


@asynccontextmanager
async def with_a_record(app: App) -> AsyncIterator[None]:
    """Runs meanwhile, and has taken one record; afterwards it is to be stopped."""
    stop = asyncio.Event()
    await app.start()
    running = asyncio.create_task(app.run(stop))
    await until(lambda: app.store)
    assert app.store is not None
    waiter = Waiter()
    app.store.submit([(Partition("LAX/", Kind.DATA), b"record\n", 1)], waiter)
    await waiter.answered
    yield
    stop.set()
    await running


async def life(app: App) -> None:
    """Start, take one record, and end with all the time in the world."""
    async with with_a_record(app):
        pass
    async with asyncio.timeout(60.0):  # instead of hanging
        await app.stop(FOR_EVER)


async def test_a_destination_that_refuses_is_given_up_and_the_next_process_uploads(
    settings: Settings,
) -> None:
    disk = FakeDisk()
    objects = FakeStore(disk)
    objects.check_error = StoreRefused("access_denied", "Access Denied")
    objects.decide = lambda _: forbidden()
    await life(App(settings, disk, objects, clock=hurried))
    assert not objects.objects
    assert objects.attempts or objects.checks > 1, "it was tried once more"
    mended = FakeStore(disk)
    await life(App(replace(settings, name="pod-1"), disk, mended, clock=hurried))
    assert len(mended.objects) == 2, "that of the first life, and its own"


async def test_a_client_that_is_slow_with_its_body_does_not_hold_up_the_uploads(settings: Settings) -> None:
    disk = FakeDisk()
    objects = FakeStore(disk)
    app = App(settings, disk, objects)
    async with with_a_record(app):
        reader, writer = await asyncio.open_connection("127.0.0.1", app.data.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nJFK r")
        await until(lambda: app.data.bytes_in_flight)
    stopping = asyncio.create_task(app.stop(FOR_EVER))
    async with asyncio.timeout(60.0):  # instead of hanging
        await until(lambda: objects.objects)
        writer.write(b"ecor")
        assert (await reader.readline()).split()[1] == b"200", "and it is answered"
        writer.close()
        await stopping
    assert len(objects.objects) == 2, "its record, too"


async def test_hope_begins_anew_with_each_upload() -> None:
    disk = FakeDisk()
    uploader = Uploader(FakeStore(disk), lambda obj, outcome: None, lambda obj, error: None)
    uploader.failures, uploader.destination_ok = 7, False  # of before
    hope = Hope(uploader, now=100.0)
    assert not hope.is_lost(100.0 + 10 * PATIENCE_SECONDS), "nothing was tried since"
    uploader.failures += 1
    assert hope.is_lost(100.0 + 10 * PATIENCE_SECONDS)
    uploader.last_success, uploader.destination_ok = 1.8e9, True
    assert not hope.is_lost(1000.0)
    uploader.failures, uploader.destination_ok = 9, False
    assert not hope.is_lost(1000.0 + PATIENCE_SECONDS - 0.1)
    assert hope.is_lost(1000.0 + PATIENCE_SECONDS)
