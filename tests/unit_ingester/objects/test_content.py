"""The body that a client sends, and what is said about it."""

from __future__ import annotations

import errno
import hashlib
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.disk import SHORTAGES
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.errors import ObjectUnreadable, StoreUnavailable
from s3sink_ingester.objects.content import body, checked_parts, content_type, metadata

from tests.rig.object_store_contract import noise, seal


@given(
    size=st.integers(0, 3000),
    part_size=st.integers(1, 4000),
)
def test_parts_make_up_the_file(size: int, part_size: int) -> None:
    disk = FakeDisk()
    obj = seal(disk, "a/x.gz", noise(size))
    parts = checked_parts(disk, obj, part_size)
    contents = [body(disk, obj.path, part.offset, part.size).read() for part in parts]
    assert b"".join(contents) == noise(size)
    assert [part.sha256 for part in parts] == [hashlib.sha256(content).digest() for content in contents]
    assert all(part.size == part_size for part in parts[:-1])


reads = st.integers(0, 700)
seeks = st.tuples(st.integers(0, 600), st.sampled_from([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END]))


@given(st.lists(reads | seeks))
def test_a_body_behaves_like_a_file_of_its_bytes(steps: list[int | tuple[int, int]]) -> None:
    disk = FakeDisk()
    obj = seal(disk, "k", noise(1000))
    ours, model = body(disk, obj.path, 300, 500), io.BytesIO(noise(1000)[300:800])
    for step in steps:
        if isinstance(step, int):
            assert ours.read(step) == model.read(step)
        else:
            distance, whence = step
            # Backwards where that is possible, and never to before the first byte: files differ about that.
            limit = {io.SEEK_SET: 0, io.SEEK_CUR: model.tell(), io.SEEK_END: 500}[whence]
            offset = distance if whence == io.SEEK_SET else -min(distance, limit)
            assert ours.seek(offset, whence) == model.seek(offset, whence)
        assert ours.tell() == model.tell()


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.EIO, ObjectUnreadable), (errno.ESTALE, ObjectUnreadable)]
    + [(number, StoreUnavailable) for number in SHORTAGES],
)
def test_whether_it_is_the_file_that_cannot_be_read(number: int, expected: type[Exception]) -> None:
    """Neither says anything about the bytes."""
    disk = FakeDisk()
    obj = seal(disk, "a/x.gz", b"content")

    def fail(operation: str, path: str) -> None:
        if operation == "read":
            raise OSError(number, os.strerror(number), path)

    disk.before = fail
    with pytest.raises(expected, match=r"can't be read"):
        checked_parts(disk, obj, 100)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/x.gz", "application/gzip"),
        ("a/x.zst", "application/zstd"),
        ("a/x.txt", "text/plain"),
        ("a/x.parquet", "application/vnd.apache.parquet"),
        ("a.gz/x", "application/octet-stream"),
        ("x", "application/octet-stream"),
    ],
)
def test_content_type(key: str, expected: str) -> None:
    assert content_type(key) == expected


def test_metadata_counts_the_records() -> None:
    obj = seal(FakeDisk(), "a/x.gz", b"one\ntwo\n")
    assert metadata(obj) == {
        "records": "2",
        "raw-bytes": "24",
        "sha256": hashlib.sha256(b"one\ntwo\n").hexdigest(),
    }
