"""Raw chunk → object file, read back by other implementations."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import random
import shutil
import subprocess
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.config import Compression
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.errors import ChunkUnreadable
from s3sink_ingester.seal import encode

from tests.rig.object_store_contract import noise

EVERY = list(Compression)
LEVELS = [(Compression.GZIP, n) for n in range(4)] + [(Compression.ZSTD, n) for n in (1, 3, 9, 19)]


def decode(data: bytes, compression: Compression) -> bytes:
    """By zlib and zstd themselves, refusing anything after the first member or frame."""
    if compression is Compression.NONE:
        return data
    if compression is Compression.GZIP:
        member = zlib.decompressobj(31)
        content = member.decompress(data) + member.flush()
        assert member.eof
        assert member.unused_data == b""
        return content
    frame = zstandard.ZstdDecompressor().decompressobj()
    content = frame.decompress(data)
    assert frame.eof
    assert frame.unused_data == b""
    return content


def raw_file(disk: FakeDisk | RealDisk, content: bytes, path: str = "1.raw") -> str:
    file = disk.create(path)
    file.append(content)
    file.close()
    return path


def lines(count: int, seed: int = 1) -> bytes:
    rng = random.Random(seed)
    return b"".join(b'{"n":%d,"user":%d,"event":"view"}\n' % (n, rng.randrange(10**6)) for n in range(count))


@given(
    raw=st.binary(max_size=3000),
    beyond=st.binary(max_size=50),
    tail=st.lists(st.binary(max_size=400), max_size=5),
    compression=st.sampled_from(EVERY),
)
def test_the_file_holds_the_raw_bytes_and_then_the_tail(
    raw: bytes, beyond: bytes, tail: list[bytes], compression: Compression
) -> None:
    disk = FakeDisk()
    path = raw_file(disk, raw + beyond)  # what is beyond the length was never acknowledged
    encoded = encode(disk, path, len(raw), tail, "1.obj", compression)
    stored = disk.read("1.obj")
    assert decode(stored, compression) == raw + b"".join(tail)
    assert encoded.size == len(stored)
    assert encoded.sha256 == hashlib.sha256(stored).digest()


@pytest.mark.parametrize("compression", EVERY)
def test_blocks_and_small_parts_are_joined_right(compression: Compression) -> None:
    disk = FakeDisk()
    raw, tail = lines(70_000), [lines(3, n) for n in range(30_000)]
    assert len(raw) > 2 << 20
    encode(disk, raw_file(disk, raw), len(raw), tail, "1.obj", compression)
    assert decode(disk.read("1.obj"), compression) == raw + b"".join(tail)


@pytest.mark.parametrize("compression", EVERY)
def test_without_a_raw_file(compression: Compression) -> None:
    disk = FakeDisk()
    encode(disk, None, 0, [b"only ", b"this\n"], "1.obj", compression)
    assert decode(disk.read("1.obj"), compression) == b"only this\n"


@pytest.mark.parametrize(("compression", "level"), LEVELS)
def test_every_level(compression: Compression, level: int) -> None:
    disk = FakeDisk()
    content = lines(2000)
    encode(disk, None, 0, [content], "1.obj", compression, level)
    stored = disk.read("1.obj")
    assert decode(stored, compression) == content
    assert len(stored) < len(content) / 2


def test_a_gzip_member_says_neither_when_nor_what() -> None:
    disk = FakeDisk()
    encode(disk, None, 0, [b"x\n"], "1.obj", Compression.GZIP)
    header = disk.read("1.obj")[:10]
    assert header[:3] == b"\x1f\x8b\x08"
    assert header[3] == 0, "flags: no name, no comment, no extra field"
    assert header[4:8] == b"\0\0\0\0", "mtime"


def test_a_zstd_frame_knows_its_size_and_has_a_checksum() -> None:
    disk = FakeDisk()
    encode(disk, raw_file(disk, b"0123456789"), 10, [b"x\n"], "1.obj", Compression.ZSTD)
    parameters = zstandard.get_frame_parameters(disk.read("1.obj"))
    assert parameters.content_size == 12
    assert parameters.has_checksum


@pytest.mark.skipif(shutil.which("gzip") is None, reason="needs the gzip command")
def test_the_gzip_command_reads_it(tmp_path: Path) -> None:
    disk = RealDisk(str(tmp_path))
    content = lines(50_000)
    encode(disk, raw_file(disk, content), len(content), [], "1.gz", Compression.GZIP)
    listed = subprocess.run(["gzip", "-l", tmp_path / "1.gz"], capture_output=True, text=True, check=True)
    assert listed.stdout.split()[4:6] == [str(os.path.getsize(tmp_path / "1.gz")), str(len(content))]
    assert (
        subprocess.run(["gzip", "-dc", tmp_path / "1.gz"], capture_output=True, check=True).stdout == content
    )


@pytest.mark.parametrize(
    ("compression", "extension"),
    [(Compression.GZIP, "gz"), (Compression.ZSTD, "zst"), (Compression.NONE, "txt")],
)
def test_duckdb_counts_every_record(tmp_path: Path, compression: Compression, extension: str) -> None:
    disk = RealDisk(str(tmp_path))
    content = lines(100_000)
    encode(disk, raw_file(disk, content), len(content), [b'{"n":-1}\n'], f"1.{extension}", compression)
    query = f"SELECT count(*), min(n) FROM read_json('{tmp_path}/1.{extension}', format='newline_delimited')"
    assert duckdb.execute(query).fetchall() == [(100_001, -1)]


def test_python_reads_it(tmp_path: Path) -> None:
    disk = RealDisk(str(tmp_path))
    encode(disk, None, 0, [b"x\n"], "1.gz", Compression.GZIP)
    with gzip.open(tmp_path / "1.gz") as file:
        assert file.read() == b"x\n"


def test_the_same_input_gives_the_same_file() -> None:
    disk = FakeDisk()
    content = lines(50_000)
    path = raw_file(disk, content)
    first = encode(disk, path, len(content), [b"x\n"], "1.obj", Compression.GZIP)
    assert encode(disk, path, len(content), [b"x\n"], "2.obj", Compression.GZIP) == first


@pytest.mark.parametrize("compression", EVERY)
def test_memory_does_not_grow_with_the_chunk(tmp_path: Path, compression: Compression) -> None:
    disk = RealDisk(str(tmp_path))
    size = 48 << 20
    file = disk.create("1.raw")
    for n in range(size >> 20):
        file.append(noise(1 << 19, n) + bytes(1 << 19))
    file.close()
    tracemalloc.start()
    try:
        encode(disk, "1.raw", size, [], "1.obj", compression)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_raw_file_that_is_too_short_is_an_error_and_leaves_nothing() -> None:
    disk = FakeDisk()
    path = raw_file(disk, b"12345")
    with pytest.raises(ChunkUnreadable, match="ends after 5 bytes of 6"):
        encode(disk, path, 6, [], "1.obj", Compression.GZIP)
    assert disk.listdir("") == {"1.raw": 5}


@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename"])
def test_a_failure_leaves_no_object_file(operation: str) -> None:
    disk = FakeDisk()
    path = raw_file(disk, b"12345")

    def fail(done: str, where: str) -> None:
        if done == operation and "obj" in where:
            raise OSError(errno.ENOSPC, "No space left on device", where)

    disk.before = fail
    with pytest.raises(OSError, match="No space left"):
        encode(disk, path, 5, [], "1.obj", Compression.GZIP)
    disk.before = lambda done, where: None
    assert disk.listdir("") == {"1.raw": 5}


def test_what_a_crash_left_is_replaced() -> None:
    disk = FakeDisk()
    raw_file(disk, b"half of a ", "1.obj.tmp")
    raw_file(disk, b"sealed, but not journalled", "1.obj")
    encode(disk, None, 0, [b"x\n"], "1.obj", Compression.GZIP)
    assert gzip.decompress(disk.read("1.obj")) == b"x\n"
    assert list(disk.listdir("")) == ["1.obj"]


@given(st.randoms(use_true_random=False))
def test_it_survives_a_power_loss(rng: random.Random) -> None:
    disk = FakeDisk()
    encoded = encode(disk, None, 0, [lines(100)], "1.obj", Compression.GZIP)
    found = disk.after_power_loss(rng).read("1.obj")
    assert hashlib.sha256(found).digest() == encoded.sha256


@given(st.integers(0, 12), st.randoms(use_true_random=False))
def test_a_power_loss_on_the_way_leaves_all_of_it_or_none(operations: int, rng: random.Random) -> None:
    disk = FakeDisk()
    left = operations

    def fail(done: str, where: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.EIO, "the power is gone", where)

    disk.before = fail
    with suppress(OSError):
        encode(disk, None, 0, [lines(100)], "1.obj", Compression.GZIP)
    found = disk.after_power_loss(rng)
    if found.size("1.obj") is not None:
        assert gzip.decompress(found.read("1.obj")) == lines(100)
