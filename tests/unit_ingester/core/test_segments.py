"""Segment files: headers, creation with and without a spare, and what is found in them."""

from __future__ import annotations

import errno
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.journal import segment
from s3sink_ingester.journal.frame import Damage, Frame, FrameType, Tail, encode
from s3sink_ingester.journal.segment import NotCreated, SegmentHeader, Spare

STORE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
headers = st.builds(
    SegmentHeader, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.uuids(), st.integers(0, 2**64 - 1)
)


def header(segment_id: int = 1, salt: int = 77) -> SegmentHeader:
    return SegmentHeader(1, salt, STORE, segment_id)


def disk_with_journal(capacity: int = 1 << 30) -> FakeDisk:
    disk = FakeDisk(capacity)
    disk.mkdir(segment.DIRECTORY)
    return disk


@given(headers)
def test_a_header_is_read_back(one: SegmentHeader) -> None:
    data = one.encode()
    assert len(data) == segment.HEADER_BYTES
    assert segment.decode_header(data) == one
    assert segment.decode_header(memoryview(data + b"more")) == one


@given(headers, st.integers(0, 43), st.integers(1, 255))
def test_a_corrupt_header_is_none(one: SegmentHeader, position: int, change: int) -> None:
    data = bytearray(one.encode())
    data[position] ^= change
    assert segment.decode_header(bytes(data)) is None


def test_a_short_header_is_none() -> None:
    data = header().encode()
    assert all(segment.decode_header(data[:size]) is None for size in range(len(data)))


def test_names() -> None:
    assert segment.path_of(255) == "journal/00000000000000ff.seg"
    assert segment.spare_path(255) == "journal/00000000000000ff.spare"
    names = [
        "00000000000000ff.seg",
        "0000000000000001.seg",
        "8000000000000000.spare",
        "1.seg",
        "zz.seg",
        "x",
        ".seg",
    ]
    assert segment.ids_of(names) == [1, 255]
    assert segment.ids_of(names, segment.SPARE_SUFFIX) == [1 << 63]


def test_a_new_segment() -> None:
    disk = disk_with_journal()
    made = segment.create(disk, header(), 5, [b"snap", b"shot"], None, size=1000, room=10)
    assert made.size == 1000
    assert made.room == 1000 - segment.HEADER_BYTES - 28 - 8
    made.write(encode(FrameType.GROUP, 6, [b"group"], made.header.salt))
    content = segment.read(disk, 1)
    assert content.header == header()
    assert [(type(one), getattr(one, "sequence", None)) for one in content.items()] == [
        (Frame, 5),
        (Frame, 6),
        (Tail, None),
    ]


def test_a_segment_is_durable_when_it_is_made() -> None:
    import random

    for seed in range(20):
        disk = disk_with_journal()
        segment.create(disk, header(), 5, [b"snapshot"], None, size=1000, room=10)
        found = segment.read(disk.after_power_loss(random.Random(seed)), 1)
        assert found.header == header()
        assert isinstance(next(iter(found.items())), Frame)


def test_a_large_snapshot_gets_its_room() -> None:
    made = segment.create(disk_with_journal(), header(), 5, [bytes(5000)], None, size=1000, room=300)
    assert made.room == 300


def test_a_spare_is_used_again_and_what_it_held_means_nothing() -> None:
    disk = disk_with_journal()
    old = segment.create(disk, header(1, salt=1), 1, [b"old snapshot"], None, size=2000, room=10)
    for sequence in range(2, 20):
        old.write(encode(FrameType.GROUP, sequence, [b"old" * 10], 1))
    disk.rename(segment.path_of(1), segment.spare_path(1))
    made = segment.create(disk, header(2, salt=2), 20, [b"new snapshot"], Spare(1, 2000), size=1500, room=10)
    assert made.size == 2000
    assert disk.listdir(segment.DIRECTORY) == {"0000000000000002.seg": 2000}
    items = list(segment.read(disk, 2).items())
    assert [one.sequence for one in items if isinstance(one, Frame)] == [20]
    assert not [one for one in items if isinstance(one, Damage)]


def test_a_spare_that_is_too_small_is_removed() -> None:
    disk = disk_with_journal()
    segment.make_spare(disk, Spare(9, 500))
    segment.create(disk, header(), 1, [b"s"], Spare(9, 500), size=1000, room=10)
    assert disk.listdir(segment.DIRECTORY) == {"0000000000000001.seg": 1000}


def test_a_spare_is_written_whole_before_it_has_its_name() -> None:
    disk = disk_with_journal()
    size = (2 << 20) + 17
    segment.make_spare(disk, Spare(9, size))
    assert disk.listdir(segment.DIRECTORY) == {"0000000000000009.spare": size}
    assert disk.read(segment.spare_path(9)) == bytes(size)


def test_a_spare_without_room_leaves_nothing() -> None:
    disk = disk_with_journal(1000)
    with pytest.raises(OSError, match="No space"):
        segment.make_spare(disk, Spare(9, 2000))
    assert not disk.listdir(segment.DIRECTORY)
    calls = []

    def fail(operation: str, path: str) -> None:
        calls.append(operation)
        if operation == "sync":
            raise OSError(errno.EIO, "x")

    disk.before = fail
    with pytest.raises(OSError, match="x"):
        segment.make_spare(disk, Spare(9, 200))
    assert not disk.listdir(segment.DIRECTORY)
    assert "rename" not in calls


@pytest.mark.parametrize("spare", [None, Spare(9, 5000)])
def test_no_room(spare: Spare | None) -> None:
    disk = disk_with_journal(1000)
    with pytest.raises(NotCreated):
        segment.create(disk, header(), 1, [b"s"], spare, size=5001, room=10)
    assert not disk.listdir(segment.DIRECTORY)


@pytest.mark.parametrize("operation", ["create", "write", "sync", "sync_dir", "unlink"])
def test_other_failures_are_not_taken_for_a_full_disk(operation: str) -> None:
    disk = disk_with_journal()

    def fail(done: str, path: str) -> None:
        if done == operation:
            raise OSError(errno.EIO, "broken")

    disk.before = fail
    with pytest.raises(OSError, match="broken"):
        segment.create(disk, header(), 1, [b"s"], None, size=500, room=10)
    disk.before = lambda done, path: None
    assert segment.create(disk, header(salt=5), 1, [b"s"], None, size=500, room=10).header.salt == 5


def test_frames_are_found_without_a_header() -> None:
    disk = disk_with_journal()
    segment.create(disk, header(), 5, [b"snapshot"], None, size=1000, room=10)
    disk.corrupt(segment.path_of(1), 0, bytes(segment.HEADER_BYTES))
    content = segment.read(disk, 1)
    assert content.header is None
    assert [type(one) for one in content.items()] == [Frame, Tail]
    disk.create(segment.path_of(2), 1000)
    assert list(segment.read(disk, 2).items()) == []
    disk.create(segment.path_of(3))
    assert list(segment.read(disk, 3).items()) == []
