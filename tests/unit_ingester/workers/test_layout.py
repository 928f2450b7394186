"""Where volumes lie, and what becomes of them when the number of workers changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from s3sink_ingester.config import Settings, local_settings
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.errors import S3SinkError, VolumeLocked
from s3sink_ingester.gate import Gate
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.opening import open_store
from s3sink_ingester.records import Kind, Partition
from s3sink_ingester.workers import layout

from tests.rig.volumes import ManualClock, settings


def several(tmp_path: Path, workers: int) -> Settings:
    return replace(local_settings(tmp_path), workers=workers)


def make_volume(path: Path) -> Path:
    path.mkdir(parents=True)
    identity = {"format": 1, "store": "0b3c3c2e-0000-4000-8000-000000000000"}
    (path / "store.json").write_text(json.dumps(identity))
    return path


def test_each_worker_has_a_directory_and_a_share(tmp_path: Path) -> None:
    whole = several(tmp_path, 4)
    shares = [layout.for_worker(whole, index) for index in range(4)]
    assert [Path(one.buffer.path).name for one in shares] == ["worker-0", "worker-1", "worker-2", "worker-3"]
    assert {Path(one.buffer.path).parent for one in shares} == {Path(whole.buffer.path)}
    assert {one.buffer.size for one in shares} == {whole.buffer.size // 4}
    assert Path(layout.for_worker(several(tmp_path, 1), 0).buffer.path).name == "worker-0"


@pytest.mark.parametrize(
    ("made", "workers", "expected"),
    [
        ([], 1, []),
        (["worker-0"], 1, []),
        (["worker-0", "worker-1", "worker-10", "worker-2"], 2, ["worker-2", "worker-10"]),
        (["worker-0", "worker-1"], 3, []),
        (["worker-00", "worker-x", "lost+found", "worker-"], 1, []),
        (["."], 1, ["buffer"]),
    ],
)
def test_left_over_is_what_no_worker_has(
    tmp_path: Path, made: list[str], workers: int, expected: list[str]
) -> None:
    buffer = tmp_path / "buffer"
    buffer.mkdir()
    for name in made:
        if name == ".":
            (buffer / "store.json").write_text("{}")
        else:
            make_volume(buffer / name)
    assert [one.name for one in layout.left_over(several(tmp_path, workers))] == expected


def test_a_removal_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    make_volume(tmp_path / "buffer" / "worker-1.removed")
    assert layout.left_over(several(tmp_path, 1)) == []
    assert list((tmp_path / "buffer").iterdir()) == []


class Answer:
    """Who waits for a commit."""

    committed_records = False

    def committed(self) -> None:
        self.committed_records = True

    def failed(self, error: S3SinkError) -> None:
        raise AssertionError(str(error))


async def make_store(path: Path, records: int, *, upload: bool) -> None:
    disk = RealDisk(str(path))
    sealed: list[SealedObject] = []
    clock = ManualClock()
    store = await open_store(disk, settings(), clock, Random(1), gate=Gate(), on_sealed=sealed.append)
    answer = Answer()
    if records:
        store.submit([(Partition("p/", Kind.DATA), b"a\n" * records, records)], answer)
        await until(lambda: answer.committed_records)
    if upload:
        store.seal_all()
        await until(lambda: bool(sealed))
        for obj in sealed:
            store.uploaded(obj)
        await until(lambda: store.is_drained)
    await store.close()


async def until(met: Callable[[], bool]) -> None:
    for _ in range(5000):
        if met():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never")


async def test_only_an_empty_volume_is_removed(tmp_path: Path) -> None:
    full, emptied, damaged = (tmp_path / f"worker-{n}" for n in range(3))
    await make_store(full, 3, upload=False)
    await make_store(emptied, 3, upload=True)
    await make_store(damaged, 3, upload=True)
    (damaged / "quarantine" / "some.obj").write_bytes(b"what a person has to look at")
    assert not layout.remove_if_empty(full)
    assert not layout.remove_if_empty(damaged)
    assert layout.remove_if_empty(emptied)
    assert [one.exists() for one in (full, emptied, damaged)] == [True, False, True]  # a test's loop may wait
    assert [layout.files_aside(one) for one in (full, emptied, damaged)] == [[], [], ["some.obj"]]


async def test_a_volume_in_use_is_not_removed(tmp_path: Path) -> None:
    volume = tmp_path / "worker-0"
    await make_store(volume, 0, upload=False)
    lock = RealDisk(str(volume)).lock("lock")
    with pytest.raises(VolumeLocked):
        layout.remove_if_empty(volume)
    lock.close()
    assert layout.remove_if_empty(volume)


async def test_only_a_workers_directory_is_removed(tmp_path: Path) -> None:
    await make_store(tmp_path / "buffer", 0, upload=False)
    assert not layout.remove_if_empty(tmp_path / "buffer")
    assert (tmp_path / "buffer" / "store.json").exists()
