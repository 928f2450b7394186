"""What recovery makes of volumes that are damaged, foreign, half made, or recovered again and again.

Whatever happened: what was acknowledged is uploaded, buffered, or in the quarantine where a person finds it, the totals
balance, and no key is given twice.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from s3sink_ingester import recovery, volume
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.errors import FormatTooNew, VolumeError, VolumeLocked
from s3sink_ingester.gate import Gate
from s3sink_ingester.journal import segment
from s3sink_ingester.journal.frame import Frame
from s3sink_ingester.journal.log import FORMAT_VERSION
from s3sink_ingester.journal.segment import SegmentHeader
from s3sink_ingester.objects.s3.multipart import SIDECAR_SUFFIX
from s3sink_ingester.opening import open_store
from s3sink_ingester.policy import BatchLimits

from tests.rig.volumes import Machine, Request, put_aside

LONG = BatchLimits(window=3600, max_bytes=1 << 20, max_age=3600.0)


async def machine_with_everything(seed: int = 0, **changes: Any) -> Machine:
    """Uploaded records, sealed objects, chunks with files and without, and frames behind the base."""
    machine = Machine(seed, **{"block_bytes": 150, **changes})
    await machine.start()
    for turn in range(2):
        for _ in range(3):
            machine.send(partitions=4, records=30)
            await machine.settle()
        if turn == 1:
            machine.upload = False
        machine.clock.advance(64.0)
        machine.running.tick()
        await machine.settle()
    assert machine.ledger.bucket
    assert machine.running.table.sealed
    for _ in range(3):
        machine.send(partitions=4, records=12)
        await machine.settle()
    assert any(chunk.flushed for chunk in machine.running.table.unsealed.values())
    return machine


def segments(machine: Machine) -> list[str]:
    """Paths of the segments, oldest first."""
    return [segment.path_of(one) for one in segment.ids_of(machine.disk.listdir(segment.DIRECTORY))]


async def still_works(machine: Machine) -> Request:
    """New records are taken, also after another kill."""
    request = machine.send(partitions=4, records=5)
    await machine.settle()
    assert request.outcome is True
    await machine.kill()
    await machine.start()
    return request


async def finish_and_check(machine: Machine, lost: int = 0) -> set[str]:
    """Upload everything and check the ledger. Returns what was put aside."""
    await machine.finish()
    aside = put_aside(machine.disk)
    machine.ledger.check(aside, lost=lost)
    return aside


# ---- files


async def test_a_missing_chunk_file() -> None:
    machine = await machine_with_everything()
    await machine.kill()
    (path, *_) = [f"chunks/{name}" for name in machine.disk.listdir("chunks")]
    lines = machine.disk.read(path).count(b"\n")
    machine.disk.unlink(path)
    store = await machine.start()
    damage = store.status().damage
    if damage:
        assert path in damage[0]
    await still_works(machine)
    await finish_and_check(machine, lost=lines)


async def checkpointed_chunk() -> tuple[Machine, str]:
    """A machine with one chunk of 20 records whose bytes are only in its file."""
    machine = Machine(0, limits=LONG)
    store = await machine.start()
    machine.send_to(["a/"] * 20)
    await machine.settle()
    await machine.kill()
    store = await machine.start()  # its checkpoint lets the older segment go
    await machine.settle()
    assert store.log.segment_count == 1
    await machine.kill()
    (name,) = machine.disk.listdir("chunks")
    return machine, f"chunks/{name}"


@pytest.mark.parametrize("lines", [0, 7, 19])
@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize("again", [False, True])
async def test_a_short_chunk_file(lines: int, more: int, again: bool) -> None:
    machine, path = await checkpointed_chunk()
    data = machine.disk.read(path)
    size = sum(map(len, data.splitlines(keepends=True)[:lines])) + more
    machine.disk.open(path).truncate(size)
    machine.faults.clear()
    if again:  # no checkpoint ends before the next kill
        machine.fail("write", "create", paths="chunks/*", number=errno.ENOSPC, times=-1)
    store = await machine.start()
    assert store.status().damage == (f"{path}: {len(data) - (size - more)} of {len(data)} bytes are missing",)
    for _ in range(3):
        await still_works(machine)
    await finish_and_check(machine, lost=20 - lines)
    assert len([one for one in machine.ledger.found() if one in {f"r{n}" for n in range(1, 21)}]) == lines


async def test_a_chunk_file_that_is_longer_than_the_base() -> None:
    machine, path = await checkpointed_chunk()
    machine.disk.open(path).append(b"r9999 never acknowledged\n")
    store = await machine.start()
    assert store.status().damage == ()
    assert b"r9999" not in machine.disk.read(path), "what the file shows is what the object will hold"
    await still_works(machine)
    await finish_and_check(machine)


@pytest.mark.parametrize("how", ["missing", "short", "other bytes"])
async def test_a_damaged_object(how: str) -> None:
    machine = await machine_with_everything()
    obj = next(iter(machine.running.table.sealed.values()))
    await machine.kill()
    if how == "missing":
        machine.disk.unlink(obj.path)
    elif how == "short":
        machine.disk.open(obj.path).truncate(obj.size - 1)
    else:
        machine.fake.corrupt(obj.path, obj.size // 2, b"\xff\x00\xff")
    await machine.start()
    machine.upload = True
    await machine.settle()
    status = machine.running.status()
    assert len(status.damage) == 1
    assert obj.path in status.damage[0]
    await still_works(machine)
    before = set(machine.disk.listdir("quarantine"))
    assert bool(before) == (how != "missing")
    await machine.power_loss()
    assert set(machine.disk.listdir("quarantine")) == before, "it stays there"
    status = await machine.finish()
    assert status.quarantined_records == obj.records
    machine.ledger.check(lost=obj.records)
    assert not machine.disk.listdir("objects")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("found_by", ["recovery", "upload"])
async def test_what_was_moved_aside_stays_there_through_a_power_loss(found_by: str, seed: int) -> None:
    machine = await machine_with_everything(seed)
    obj = next(iter(machine.running.table.sealed.values()))
    name = obj.path.rpartition("/")[2]
    await machine.settle()
    if found_by == "upload":
        machine.fake.corrupt(obj.path, obj.size // 2, b"\xff\x00\xff")
        machine.upload = True
        await machine.settle()
        assert obj.chunk_id not in machine.running.table.sealed
    else:
        await machine.kill()
        machine.disk.open(obj.path).truncate(obj.size - 1)
        await machine.start()
        await machine.settle()
    assert name in machine.disk.listdir("quarantine")
    await machine.power_loss()
    assert name in machine.disk.listdir("quarantine")
    await machine.finish()
    machine.ledger.check(lost=obj.records)


@pytest.mark.parametrize("found_by", ["recovery", "upload", "journal"])
async def test_a_quarantine_is_told_of_for_ever(found_by: str) -> None:
    """Whoever asks a later process must not take the volume for one that holds nothing any more."""
    machine = await machine_with_everything()
    obj = next(iter(machine.running.table.sealed.values()))
    if found_by == "upload":
        machine.fake.corrupt(obj.path, obj.size // 2, b"\xff\x00\xff")
        machine.upload = True
        await machine.settle()
    else:
        await machine.kill()
        if found_by == "journal":
            path = segments(machine)[-1]
            machine.fake.corrupt(path, frames(machine, path)[1].offset + 30, b"\xff\xff\xff")
        else:
            machine.disk.open(obj.path).truncate(obj.size - 1)
        await machine.start()
    damage = machine.running.status().damage
    assert damage
    assert not any("earlier damage" in what for what in damage)
    for _ in range(3):
        await machine.finish()  # a checkpoint among others: the journal has forgotten it
        await machine.start()
        (what,) = machine.running.status().damage
        (name,) = machine.disk.listdir("quarantine")
        assert what == f"quarantine/: 1 file of earlier damage, such as {name}"
        status = await machine.drain()
        assert (status.drained, status.damage) == (True, (what,)), "all is uploaded, and that isn't all"
    machine.disk.unlink(f"quarantine/{name}")
    await machine.reopen()
    assert machine.running.status().damage == ()


async def test_a_corrupt_object_that_can_not_be_moved_is_kept() -> None:
    machine = await machine_with_everything()
    obj = next(iter(machine.running.table.sealed.values()))
    machine.fake.corrupt(obj.path, obj.size // 2, b"\xff\x00\xff")
    machine.fail("rename", paths="quarantine/*", times=3)
    machine.upload = True
    await machine.settle()
    assert machine.disk.size(obj.path) == obj.size
    assert obj.chunk_id in machine.running.table.sealed
    await machine.kill()
    await machine.start()
    await machine.finish()
    assert [name for name in machine.disk.listdir("quarantine") if name in obj.path]


async def test_files_that_belong_to_nothing() -> None:
    """What a crash leaves is removed; what is in the journal's directory and is none of ours is left alone."""
    machine = await machine_with_everything()
    await machine.kill()
    for path in (
        "chunks/00000000000000ff.raw",
        "chunks/notes.txt",
        "objects/00000000000000ff.obj",
        "objects/x.obj.tmp",
    ):
        machine.disk.create(path).append(b"whatever\n")
    for path in ("journal/README", "journal/zz.seg", "journal/1.seg", "journal/00.spare", "strange"):
        machine.disk.create(path).append(b"whatever\n")
    store = await machine.start()
    assert store.status().damage == ()
    await machine.settle()
    assert not {"00000000000000ff.raw", "notes.txt"} & set(machine.disk.listdir("chunks"))
    assert not {"00000000000000ff.obj", "x.obj.tmp"} & set(machine.disk.listdir("objects"))
    assert {"README", "zz.seg", "1.seg", "00.spare"} <= set(machine.disk.listdir("journal"))
    assert machine.disk.size("strange")
    await still_works(machine)
    await finish_and_check(machine)


async def test_the_note_about_an_upload_that_was_begun_stays_as_long_as_its_object() -> None:
    assert recovery.NOTE_SUFFIX == SIDECAR_SUFFIX
    machine = await machine_with_everything()
    obj = next(iter(machine.running.table.sealed.values()))
    await machine.kill()
    for path in (obj.path + ".mpu", obj.path + ".mpu.tmp", "objects/00000000000000ff.obj.mpu"):
        machine.disk.create(path).append(b"id")
    await machine.start()
    notes = [name for name in machine.disk.listdir("objects") if ".mpu" in name]
    assert notes == [obj.path.rpartition("/")[2] + ".mpu"]
    await machine.finish()
    await machine.start()
    assert not machine.disk.listdir("objects")
    await machine.stop()


# ---- the journal


async def one_segment() -> tuple[Machine, str]:
    """A machine whose only segment is the base, with files that only it knows the meaning of, and frames behind it."""
    machine = await machine_with_everything()
    await machine.kill()
    await machine.start()
    await machine.settle()
    for _ in range(2):
        machine.send(partitions=4, records=3)
        await machine.settle()
    assert machine.running.log.segment_count == 1
    await machine.kill()
    (path,) = segments(machine)
    return machine, path


def frames(machine: Machine, path: str) -> list[Frame]:
    """Good frames of a segment."""
    content = segment.read(machine.disk, int(path[8:24], 16))
    return [one for one in content.items() if isinstance(one, Frame)]


async def test_an_unreadable_header_costs_nothing() -> None:
    machine, path = await one_segment()
    machine.fake.corrupt(path, 12, b"\x00\xff\x00")
    store = await machine.start()
    assert store.status().damage == (f"{path}: the header is unreadable; the frames are read without it",)
    assert path.rpartition("/")[2] in machine.disk.listdir("quarantine")
    await still_works(machine)
    assert not put_aside(machine.disk) - machine.ledger.sent
    await machine.finish()
    machine.ledger.check()


async def test_a_header_and_a_snapshot_that_are_gone() -> None:
    machine, path = await one_segment()
    (first, *_) = frames(machine, path)
    machine.fake.corrupt(path, 0, bytes(first.end))
    used = set(machine.ledger.bucket)
    store = await machine.start()
    assert len(store.status().damage) >= 2
    await still_works(machine)
    await finish_and_check(machine)
    assert used < set(machine.ledger.bucket)


async def test_frames_that_the_file_had_before_are_not_taken_for_its_own() -> None:
    """All is uploaded and the segment's own frames are gone: what is left behind them is the file's earlier life."""
    machine = Machine(3)
    store = await machine.start()
    while store.log.current_id < 4 or store.log.segment_count > 1:
        machine.send(partitions=4, records=8)
        await machine.settle()
    store.seal_all()
    await machine.settle()
    await machine.kill()
    (path,) = segments(machine)
    machine.fake.corrupt(path, 0, bytes(frames(machine, path)[-1].end))
    assert frames(machine, path), "of the segment that the file was"
    store = await machine.start()
    assert (
        store.status().damage[0] == f"{path}: the header is unreadable, and no frame is known to be its own"
    )
    assert path.rpartition("/")[2] in machine.disk.listdir("quarantine")
    await still_works(machine)
    await machine.finish()
    machine.ledger.check()


async def test_a_snapshot_that_is_gone_with_nothing_behind_it() -> None:
    machine = await machine_with_everything()
    await machine.kill()
    await machine.start()
    await machine.settle()
    await machine.kill()
    (path,) = segments(machine)
    (only,) = frames(machine, path)
    machine.fake.corrupt(path, only.offset + 40, b"\xff\xff")
    buffered = {*machine.disk.listdir("chunks"), *machine.disk.listdir("objects")}
    store = await machine.start()
    assert store.status().damage[0].startswith("journal: no snapshot can be read")
    kept = machine.disk.listdir("quarantine")
    assert all(any(name.endswith(one) for name in kept) for one in buffered), "nothing is wiped"
    await still_works(machine)
    await finish_and_check(machine)


async def test_all_segments_are_gone() -> None:
    machine, path = await one_segment()
    machine.disk.unlink(path)
    for name in machine.disk.listdir("journal"):
        machine.disk.unlink(f"journal/{name}")
    behind_the_base = (
        machine.ledger.acked - put_aside_in(machine, "chunks", "objects") - set(machine.ledger.found())
    )
    store = await machine.start()
    assert store.status().damage[0].startswith("journal: no snapshot can be read")
    await still_works(machine)
    await finish_and_check(machine, lost=len(behind_the_base))


def put_aside_in(machine: Machine, *directories: str) -> set[str]:
    """Ids that stand in the files of some directories."""
    copy = FakeDisk()
    copy.mkdir("quarantine")
    for directory in directories:
        for name in machine.disk.listdir(directory):
            copy.create(f"quarantine/{directory}-{name}").append(machine.disk.read(f"{directory}/{name}"))
    return put_aside(copy)


async def several_segments(count: int = 3) -> Machine:
    """A machine whose checkpoints didn't end: ``count`` segments with records in each."""
    machine = Machine(1, limits=LONG)
    await machine.start()
    machine.fail("write", "create", paths="chunks/*", number=errno.ENOSPC, times=-1)
    for _ in range(count):
        machine.send(partitions=4, records=5)
        await machine.settle()
        machine.send(partitions=4, records=5)
        await machine.settle()
        await machine.kill()
        await machine.start()
    await machine.kill()
    assert len(segments(machine)) == count + 1 + 0
    return machine


async def test_restarts_in_a_row_without_a_checkpoint() -> None:
    machine = await several_segments(6)
    store = await machine.start()
    assert store.status().damage == ()
    status = await machine.finish()
    machine.ledger.check()
    assert len(machine.ledger.acked) == 60
    assert status.uploaded_records == 60


FRAMES = ("a", "ab", "abc", "bcd", "abcd")
"""To which partitions the requests of a journal's frames go; each frame defines those that it is the first to name."""


@pytest.mark.parametrize(
    ("lost", "repeated"),
    [*((number, True) for number in range(5)), *((number, False) for number in range(4))],
)
async def test_where_records_end_when_a_frame_is_lost(lost: int, repeated: bool) -> None:
    """A later segment's snapshot repeats the definitions; without one, nobody knows the partition.

    The newest frame of all isn't among them: it is taken for torn.
    """
    machine = Machine(0, limits=LONG)
    await machine.start()
    requests = []
    for partitions in FRAMES:
        requests.append(machine.send_to([f"{name}/" for name in partitions]))
        await machine.settle()
    await machine.kill()
    if repeated:
        machine.fail("write", "create", paths="chunks/*", number=errno.ENOSPC, times=-1)
        await machine.start()
        await machine.kill()
        machine.faults.clear()
    path = segments(machine)[0]
    _, *groups = frames(machine, path)
    assert len(groups) == len(FRAMES)
    machine.fake.corrupt(path, groups[lost].end - 3, b"\xff\xff")
    unknown = set() if repeated else set(FRAMES[lost]).difference(*FRAMES[:lost])
    expected = {
        one
        for number, (partitions, request) in enumerate(zip(FRAMES, requests, strict=True))
        for name, one in zip(partitions, request.ids, strict=True)
        if number != lost and not (number > lost and name in unknown)
    }
    store = await machine.start()
    assert store.status().damage
    await machine.finish()
    assert set(machine.ledger.found()) == expected
    orphans = [name for name in machine.disk.listdir("quarantine") if name.startswith("orphans-")]
    assert bool(orphans) == bool(unknown)
    machine.ledger.check(put_aside(machine.disk))


@pytest.mark.parametrize("which", [0, 1, 2, 3])
async def test_an_unreadable_header_of_one_of_several(which: int) -> None:
    machine = await several_segments()
    path = segments(machine)[which]
    machine.fake.corrupt(path, 0, b"\xff" * 64)
    store = await machine.start()
    if which < 3:
        assert store.status().damage == (f"{path}: the header is unreadable; the frames are read without it",)
    await still_works(machine)
    await machine.finish()
    machine.ledger.check()


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("what", ["header and snapshot", "snapshot", "group", "everything"])
@pytest.mark.parametrize("then", ["kills", "checkpoint"])
async def test_a_damaged_segment_of_several(which: int, what: str, then: str) -> None:
    machine = await several_segments()
    path = segments(machine)[which]
    snapshot, group, *_ = frames(machine, path)
    start, end = {
        "header and snapshot": (0, snapshot.end),
        "snapshot": (snapshot.offset + 30, snapshot.offset + 33),
        "group": (group.offset + 30, group.offset + 33),
        "everything": (0, machine.disk.size(path) or 0),
    }[what]
    flipped = bytes(byte ^ 0xFF for byte in machine.disk.read(path, start, end - start))
    machine.fake.corrupt(path, start, flipped)
    if then == "checkpoint":
        machine.faults.clear()
    store = await machine.start()
    assert store.status().damage
    for _ in range(4):
        await still_works(machine)
    await finish_and_check(machine, lost=10 if what == "everything" else 0)


async def test_a_damaged_segment_on_a_full_disk_is_moved_by_the_checkpoint() -> None:
    machine = await several_segments()
    path = segments(machine)[1]
    group = frames(machine, path)[1]
    machine.fake.corrupt(path, group.offset + 30, b"\xff\xff\xff")
    machine.fail("create", paths="quarantine/*", number=errno.ENOSPC, times=-1)
    store = await machine.start()
    assert store.status().damage
    assert not machine.disk.listdir("quarantine")
    machine.faults = [one for one in machine.faults if one.paths == "quarantine/*"]
    store.tick()
    await machine.settle()
    assert store.log.segment_count == 1
    assert list(machine.disk.listdir("quarantine")) == [path.rpartition("/")[2]]
    await machine.power_loss()
    assert list(machine.disk.listdir("quarantine")) == [path.rpartition("/")[2]]
    await finish_and_check(machine)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("what", ["header", "snapshot", "group", "behind the last frame", "everything"])
@pytest.mark.parametrize("then", ["kills", "checkpoint"])
async def test_a_segment_that_the_disk_can_not_read(which: int, what: str, then: str) -> None:
    """The rest of it is read, and it is kept as it is: whoever gets it read later finds every record."""
    machine = await several_segments()
    path = segments(machine)[which]
    snapshot, group, *_ = frames(machine, path)
    size = machine.disk.size(path) or 0
    start, end = {
        "header": (0, 1),
        "snapshot": (snapshot.offset, snapshot.end),
        "group": (group.end - 1, group.end),
        "behind the last frame": (size - 1, size),
        "everything": (0, size),
    }[what]
    machine.fake.make_unreadable(path, start, end - start)
    if then == "checkpoint":
        machine.faults.clear()
    store = await machine.start()
    assert path in store.status().damage[0]
    assert "the disk can't read" in store.status().damage[0]
    for _ in range(4):
        await still_works(machine)
    await machine.finish()
    (kept,) = [name for name in machine.disk.listdir("quarantine") if path.endswith(name)]
    machine.fake.mend(f"quarantine/{kept}")
    machine.ledger.check(put_aside(machine.disk))


async def test_a_read_of_the_journal_that_fails_once_costs_nothing() -> None:
    machine = await several_segments()
    machine.faults.clear()
    machine.fail("read", paths="journal/*.seg")
    store = await machine.start()
    assert store.status().damage == ()
    machine.send(partitions=4, records=5)
    machine.fail("read", paths="journal/*.seg")
    store.tick()
    await machine.settle()
    assert not store.failed.is_set()
    await machine.finish()
    machine.ledger.check()


@pytest.mark.parametrize("read_by", ["checkpoint", "sealer"])
async def test_pending_records_that_the_disk_can_not_read(read_by: str) -> None:
    """The store fails as it does when the journal can't be written, and recovery says what is lost."""
    machine = await several_segments()
    store = await machine.start()
    path = segments(machine)[1]
    group = frames(machine, path)[1]
    machine.fake.make_unreadable(path, group.end - 1, 1)
    if read_by == "checkpoint":
        machine.faults.clear()
        store.tick()
    else:
        store.seal_all()
    await machine.settle()
    assert isinstance(store.failure, OSError)
    assert machine.send(partitions=1, records=1).refused_for == "failed"
    store = await machine.reopen()
    assert f"{path}: the disk can't read" in store.status().damage[0]
    await still_works(machine)
    await machine.finish()
    machine.fake.mend(f"quarantine/{path.rpartition('/')[2]}")
    machine.ledger.check(put_aside(machine.disk))


@pytest.mark.parametrize("size", [0, 1, 63, 64, 70, 92, 93])
async def test_a_rotation_that_was_cut_short(size: int) -> None:
    machine = await several_segments()
    path = segments(machine)[-1]
    machine.disk.open(path).truncate(size)
    store = await machine.start()
    assert store.status().damage == ()
    await still_works(machine)
    await machine.finish()
    machine.ledger.check()


async def test_a_first_start_that_was_cut_short_anywhere() -> None:
    for operations in range(40):
        machine = Machine(operations)
        machine.cut_power_after(operations)
        try:
            await machine.start()
            machine.send(partitions=2, records=3)
            await machine.settle()
        except BaseException as cut:
            if type(cut).__name__ != "PowerCut":
                raise
        await machine.power_loss()
        store = await machine.start()
        assert store.status().damage == ()
        await machine.finish()
        machine.ledger.check()


# ---- whose volume it is


async def test_a_newer_format_is_refused() -> None:
    machine, _ = await one_segment()
    identity = json.loads(machine.disk.read("store.json"))
    rewrite(machine, json.dumps({**identity, "format": FORMAT_VERSION + 1}).encode())
    with pytest.raises(FormatTooNew, match=f"knows formats up to {FORMAT_VERSION}"):
        await machine.start()
    rewrite(machine, json.dumps(identity).encode())
    await machine.start()
    await finish_and_check(machine)


async def test_a_newer_segment_is_refused() -> None:
    machine, path = await one_segment()
    await with_header(machine, path, lambda old: SegmentHeader(2, old.salt, old.store_id, old.segment_id))
    with pytest.raises(FormatTooNew, match="written in format 2"):
        await machine.start()


async def test_another_stores_segment_is_refused() -> None:
    machine, path = await one_segment()
    other = uuid4()
    await with_header(machine, path, lambda old: SegmentHeader(1, old.salt, other, old.segment_id))
    with pytest.raises(VolumeError, match=f"belongs to store {other}"):
        await machine.start()


async def with_header(machine: Machine, path: str, change: Callable[[SegmentHeader], SegmentHeader]) -> None:
    """Change a segment's header; its checksum is right."""
    header = segment.decode_header(machine.disk.read(path, 0, segment.HEADER_BYTES))
    assert header is not None
    machine.fake.corrupt(path, 0, change(header).encode())


def rewrite(machine: Machine, data: bytes) -> None:
    """Another store.json."""
    machine.disk.unlink("store.json")
    machine.disk.create("store.json").append(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'"x"',
        b"{}",
        b'{"format": 1}',
        b'{"format": 1, "store": 5}',
        b'{"format": 1, "store": "x"}',
        b'{"format": "x", "store": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}',
        b'{"format": null, "store": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}',
    ],
)
async def test_a_damaged_identity_is_named_and_nothing_is_touched(data: bytes) -> None:
    machine, _ = await one_segment()
    good = machine.disk.read("store.json")
    rewrite(machine, data)
    machine.operations.clear()
    with pytest.raises(VolumeError, match=r"store\.json is damaged"):
        await machine.start()
    assert {operation for operation, _ in machine.operations} <= {"read"}
    rewrite(machine, good)
    await machine.start()
    await finish_and_check(machine)


@pytest.mark.parametrize("directory", volume.DIRECTORIES)
async def test_records_without_an_identity_are_not_overwritten(directory: str) -> None:
    disk = FakeDisk()
    disk.mkdir(directory)
    disk.create(f"{directory}/some").append(b"records")
    machine = Machine(0, disk=disk)
    with pytest.raises(VolumeError, match=r"no store\.json"):
        await machine.start()
    assert disk.read(f"{directory}/some") == b"records"
    assert disk.size("store.json") is None


async def test_a_volume_that_was_set_back_loses_nothing(tmp_path: Path) -> None:
    """Restored from a snapshot, it gives ids again, and fills a chunk anew, whose objects are in the bucket."""
    machine = Machine(0, disk=RealDisk(str(tmp_path / "volume")))
    await machine.start()
    machine.send(partitions=1, records=3)
    await machine.settle()
    await machine.stop()
    open_then = set(machine.ledger.acked)
    shutil.copytree(tmp_path / "volume", tmp_path / "snapshot")
    for directory in ("volume", "snapshot"):
        machine.disk = RealDisk(str(tmp_path / directory))
        await machine.start()
        for partitions in (1, 3):
            machine.send(partitions=partitions, records=5)
        await machine.settle()
        await machine.drain()
        await machine.stop()
    found = machine.ledger.found()
    assert len(machine.ledger.acked) == 23
    assert set(found) == machine.ledger.acked
    assert {one for one, count in found.items() if count > 1} == open_then


async def test_two_processes_on_one_volume() -> None:
    machine = Machine(0)
    store = await machine.start()
    with pytest.raises(VolumeLocked):
        await open_store(
            machine.disk,
            machine.settings,
            machine.clock,
            machine.rng,
            gate=Gate(),
            on_sealed=lambda obj: None,
        )
    request = machine.send(partitions=1, records=1)
    await machine.settle()
    assert request.outcome is True, "the first one never noticed"
    await store.close()
    await machine.start()
    await finish_and_check(machine)


async def test_a_start_that_fails_lets_go_of_the_volume() -> None:
    machine, path = await one_segment()
    machine.fail("read", paths=path, number=errno.ENOMEM)
    with pytest.raises(OSError, match="Cannot allocate"):
        await machine.start()
    await machine.start()
    await finish_and_check(machine)


# ---- relaxed durability


@pytest.mark.parametrize("seed", range(20))
async def test_relaxed_a_kill_loses_nothing(seed: int) -> None:
    machine = Machine(seed, durable=False)
    for _ in range(4):
        await machine.start()
        machine.cut_power_after(machine.rng.randrange(20, 200))
        await some_traffic(machine)
        await machine.kill()
    status = await machine.finish()
    machine.ledger.check()
    assert status.damage == ()


@pytest.mark.parametrize("seed", range(40))
async def test_relaxed_a_power_loss_costs_the_last_moments_only(seed: int) -> None:
    """What was sealed before stays, nothing comes twice, and the volume opens without a person."""
    machine = Machine(seed, durable=False)
    sealed: set[str] = set()
    for _ in range(4):
        await machine.start()
        before = set(machine.ledger.acked)
        await some_traffic(machine)
        if machine.rng.random() < 0.5:
            machine.running.seal_all()
            await machine.settle()
            sealed |= machine.ledger.acked - before
            machine.upload = not machine.upload
        await some_traffic(machine)
        machine.cut_power_after(machine.rng.randrange(20))
        await some_traffic(machine)
        await machine.power_loss()
    await machine.finish()
    found = machine.ledger.found()
    assert sealed <= set(found)
    assert set(found.values()) <= {1}
    assert not put_aside(machine.disk) - set(found) & sealed


@pytest.mark.parametrize("seed", range(12))
async def test_relaxed_what_comes_before_a_rotation_is_durable_with_it(seed: int) -> None:
    """The new segment's snapshot counts on it."""
    machine = Machine(seed, durable=False, limits=LONG)
    store = await machine.start()
    await machine.settle()
    machine.lanes.held.add("chunk-files")
    before: set[str] = set()
    while store.log.segment_count < 2:
        before = set(machine.ledger.acked)
        machine.send(partitions=3, records=6)
        await machine.settle()
    await machine.power_loss()
    store = await machine.start()
    assert store.status().damage == ()
    await machine.finish()
    assert before <= set(machine.ledger.found())


async def test_relaxed_a_stop_in_order_syncs() -> None:
    machine = Machine(0, durable=False, limits=LONG)
    await machine.start()
    machine.send(partitions=2, records=10)
    await machine.settle()
    await machine.stop()
    await machine.power_loss()
    status = await machine.finish()
    machine.ledger.check()
    assert status.damage == ()


async def some_traffic(machine: Machine) -> None:
    """Until the power goes, or not."""
    for _ in range(machine.rng.randrange(3, 12)):
        if not machine.on:
            return
        machine.send(partitions=4, records=machine.rng.randrange(1, 6))
        await machine.turns(machine.rng.randrange(40))
        if machine.rng.random() < 0.3:
            machine.clock.advance(machine.rng.choice([1.0, 30.0]))
            try:
                machine.running.tick()
            except BaseException as cut:
                if type(cut).__name__ != "PowerCut":
                    raise


# ---- by chance


@pytest.mark.parametrize("seed", range(60))
async def test_a_random_byte_anywhere(seed: int) -> None:
    """Acknowledged records are in the bucket or in the quarantine, but for the one whose id the byte was in."""
    machine = Machine(seed)
    await machine.start()
    for _ in range(3):
        await some_traffic(machine)
        machine.upload = machine.rng.random() < 0.7
        if machine.rng.random() < 0.5:
            machine.fail("write", "create", paths="chunks/*", number=errno.ENOSPC, times=3)
        await machine.kill()
        await machine.start()
    await some_traffic(machine)
    await machine.settle()
    await machine.kill()
    paths = [*segments(machine), *(f"objects/{name}" for name in machine.disk.listdir("objects"))]
    path = machine.rng.choice(paths)
    size = len(machine.disk.read(path).rstrip(b"\0"))
    offset = machine.rng.randrange(size)
    machine.fake.corrupt(
        path, offset, bytes([machine.disk.read(path)[offset] ^ machine.rng.randrange(1, 256)])
    )
    last_frame_hit = path == segments(machine)[-1]
    await machine.start()
    for _ in range(machine.rng.randrange(3)):
        await still_works(machine)
    await finish_and_check(machine, lost=60 if last_frame_hit or path.startswith("objects") else 1)


@pytest.mark.parametrize("seed", range(12))
async def test_names_of_spares_that_are_lost_are_no_damage(seed: int) -> None:
    """Two segments became spares and one of them a segment again; then the power goes before a name is durable."""
    machine = Machine(seed)
    store = await machine.start()
    await machine.settle()
    store.flusher.release_spares()
    machine.lanes.held.add("chunk-files")
    while store.log.segment_count < 3:
        machine.send(partitions=4, records=8)
        await machine.settle()
    machine.lanes.held.clear()
    await machine.settle()
    assert store.log.spares_wanted == 0
    before = machine.fake.before

    def cut_power(operation: str, path: str) -> None:
        if (operation, path) == ("sync_dir", "journal"):
            machine.cut_power_after(0)
        before(operation, path)

    machine.fake.before = cut_power
    while machine.on:
        machine.send(partitions=4, records=8)
        await machine.turns(20)
    await machine.power_loss()
    status = await machine.finish()
    machine.ledger.check()
    assert status.damage == ()
