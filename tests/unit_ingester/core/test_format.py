"""The format of a volume, pinned: bytes that an earlier version wrote must be read by every later one.

``VOLUME`` is a small volume in hex. It is made here once more by hand, after docs/format.md and with nothing of ours,
and once by the code that writes volumes. When this test fails, the format has changed: that needs a new format
version, code that still reads the old one, and a second volume beside this one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import struct
import zlib
from pathlib import Path
from random import Random
from uuid import UUID

from s3sink_ingester import recovery
from s3sink_ingester.chunks import chunk_path
from s3sink_ingester.config import Compression
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.gate import Gate
from s3sink_ingester.journal import entries, frame, log, segment
from s3sink_ingester.journal.entries import Definition, Done, OpenChunk, Totals
from s3sink_ingester.journal.frame import FrameType
from s3sink_ingester.journal.segment import SegmentHeader
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.opening import open_store
from s3sink_ingester.policy import BatchLimits
from s3sink_ingester.records import Kind
from s3sink_ingester.sealer import Encoding

from tests.rig.volumes import Machine, ManualClock, settings

STORE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
SALT = 0x01020304
WINDOW = 1_800_000_000
OBJECT = b"a sealed object\n"

VOLUME = {
    "store.json": (
        "7b22666f726d6174223a20312c202273746f7265223a202236626137623831302d396461642d313164312d383062342d"
        "303063303466643433306338227d"
    ),
    "drain": "65706f63682039",
    "journal/0000000000000007.seg": (
        "533353494e4b4a0a01000000040302016ba7b8109dad11d180b400c04fd430c80700000000000000f496ca0700000000"
        "00000000000000000000000000000000533366724b01000070d8f4fc010000002900000000000000cefecb0805000000"
        "000000001400000000000000090000000000000001000000000000000100000002000000030000000000000000d2496b"
        "0000000001505c18a30100000004004a464b2f0c00000000000000020000000000000001000000000000000400000000"
        "000000010000000000000004000000000000005a3b5d18a3010000f4515c18a301000000283bb9deef02e6843abfb538"
        "efa1eca70801bd8a701c3f98191e12349633924727004c41582f706f642d302d36626137623831302d30303030303030"
        "3030303030303030312e747874020000000000000010000000000000000700000000000000bc020000000000005a3b5d"
        "18a3010000f4515c18a301000000937b74413e6dc6c6917e995dfc11a374eb8a8f01299c635a8f3b367a8c90668e2700"
        "4c41582f706f642d302d36626137623831302d303030303030303030303030303030322e747874533366728600000069"
        "d1370b020000002a000000000000003e08085a0000000001000000010000000200000001000000000000000005000000"
        "0000000000d2496b0000000002505c18a30100000114006572726f72732fc3bc2f7b74696d653a25597d2f0300000000"
        "0000000c000000000000000400000001000000050000000000000000000000000000000a000000020000007233200a62"
        "6164310a626164320a000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "00000000000000000000000000000000000000000000000000"
    ),
    "chunks/0000000000000003.raw": "72312031310a72322032320a7233",
    "objects/0000000000000002.obj": "61207365616c6564206f626a6563740a",
}


def by_hand() -> dict[str, bytes]:
    """The volume after docs/format.md."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value.encode())) + value.encode()

    def definition(chunk_id: int, name: str, kind: int, opened_at: int) -> bytes:
        return struct.pack("<QqqB", chunk_id, WINDOW, opened_at, kind) + text(name)

    def sealed(chunk_id: int, data: bytes, records: int, raw_bytes: int, key: str) -> bytes:
        times = struct.pack("<qq", WINDOW * 1000 + 60_250, WINDOW * 1000 + 500)
        digest = hashlib.sha256(data).digest()
        return (
            struct.pack("<QQQQ", chunk_id, len(data), records, raw_bytes) + times + b"\0" + digest + text(key)
        )

    def framed(kind: int, sequence: int, body: bytes) -> bytes:
        head = struct.pack("<4sIIBxxxQ", b"S3fr", len(body), zlib.crc32(body, SALT), kind, sequence)
        return head + struct.pack("<I", zlib.crc32(head, SALT)) + body

    head = struct.pack("<8sII16sQ", b"S3SINKJ\n", 1, SALT, STORE.bytes, 7)
    snapshot = struct.pack("<QQQQII", 5, 20, 9, 1, 1, 2)
    snapshot += definition(3, "JFK/", 0, WINDOW * 1000 + 1) + struct.pack("<QQ", 12, 2)
    snapshot += sealed(1, b"gone", 1, 4, "LAX/pod-0-6ba7b810-0000000000000001.txt")
    snapshot += sealed(2, OBJECT, 7, 700, "LAX/pod-0-6ba7b810-0000000000000002.txt")
    group = struct.pack("<IIII", 0, 1, 1, 2) + struct.pack("<QB", 1, 0)
    group += definition(5, "errors/ü/{time:%Y}/", 1, WINDOW * 1000 + 2)
    group += struct.pack("<QQII", 3, 12, 4, 1) + struct.pack("<QQII", 5, 0, 10, 2)
    group += b"r3 \n" + b"bad1\nbad2\n"
    return {
        "store.json": b'{"format": 1, "store": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}',
        "drain": b"epoch 9",
        "journal/0000000000000007.seg": head
        + struct.pack("<I", zlib.crc32(head))
        + bytes(20)
        + framed(1, 41, snapshot)
        + framed(2, 42, group)
        + bytes(64),
        "chunks/0000000000000003.raw": b"r1 11\nr2 22\nr3",  # and a write that was cut short
        "objects/0000000000000002.obj": OBJECT,
    }


def definition(chunk_id: int, name: str, kind: Kind, opened_at: int) -> Definition:
    return Definition(chunk_id, name, kind, WINDOW, opened_at)


def sealed(chunk_id: int, data: bytes, records: int, raw_bytes: int) -> SealedObject:
    return SealedObject(
        chunk_id=chunk_id,
        key=f"LAX/pod-0-6ba7b810-{chunk_id:016x}.txt",
        path=entries.object_path(chunk_id),
        size=len(data),
        sha256=hashlib.sha256(data).digest(),
        records=records,
        raw_bytes=raw_bytes,
        kind=Kind.DATA,
        sealed_at=WINDOW + 60.25,
        oldest_at=WINDOW + 0.5,
    )


FIRST = OpenChunk(definition(3, "JFK/", Kind.DATA, WINDOW * 1000 + 1), 12, 2)
SECOND = definition(5, "errors/ü/{time:%Y}/", Kind.INVALID, WINDOW * 1000 + 2)
GONE, WAITING = sealed(1, b"gone", 1, 4), sealed(2, OBJECT, 7, 700)


def by_the_code() -> bytes:
    """The segment as the code writes it."""
    snapshot = entries.encode_snapshot(
        5,
        Totals(20, 9, 1),
        [entries.encode_open(FIRST.definition.encode(), FIRST.length, FIRST.records)],
        [entries.encode_sealed(GONE), entries.encode_sealed(WAITING)],
    )
    group = entries.encode_group(
        [],
        [entries.encode_done(Done(1))],
        [SECOND.encode()],
        entries.encode_appends([3, 12, 1 << 32 | 4, 5, 0, 2 << 32 | 10]),
        [b"r3 \n", b"bad1\n", b"bad2\n"],
    )
    return b"".join(
        (
            SegmentHeader(log.FORMAT_VERSION, SALT, STORE, 7).encode(),
            frame.encode(FrameType.SNAPSHOT, 41, snapshot, SALT),
            frame.encode(FrameType.GROUP, 42, group, SALT),
            bytes(64),
        )
    )


def pinned() -> dict[str, bytes]:
    return {path: bytes.fromhex(content) for path, content in VOLUME.items()}


def pinned_disk() -> FakeDisk:
    disk = FakeDisk()
    for directory in ("journal", "chunks", "objects", "quarantine"):
        disk.mkdir(directory)
    for path, content in pinned().items():
        disk.create(path).append(content)
    disk.sync_fs()
    return disk


def test_the_document_says_what_is_pinned() -> None:
    assert by_hand() == pinned()


def test_the_code_writes_what_is_pinned() -> None:
    assert by_the_code() == pinned()["journal/0000000000000007.seg"]
    assert segment.path_of(7) in VOLUME
    assert chunk_path(3) in VOLUME
    assert entries.object_path(2) in VOLUME


async def test_the_code_writes_the_identity_that_is_pinned() -> None:
    machine = Machine(0)
    store = await machine.start()
    data = machine.disk.read("store.json")
    assert data.replace(str(store.store_id).encode(), str(STORE).encode()) == pinned()["store.json"]
    await machine.stop()


def test_the_code_reads_what_is_pinned() -> None:
    state = recovery.read_state(pinned_disk())
    assert state.damage == []
    assert (state.next_chunk_id, state.next_segment_id, state.next_sequence) == (6, 8, 43)
    assert (state.accepted, state.uploaded, state.quarantined) == (23, 10, 1)
    assert state.sealed == {2: WAITING}
    assert [one.definition for one in state.chunks.values()] == [FIRST.definition, SECOND]
    assert [(one.length, one.records) for one in state.chunks.values()] == [(16, 3), (10, 2)]


async def test_a_store_goes_on_with_what_is_pinned() -> None:
    disk = pinned_disk()
    uploaded: dict[str, bytes] = {}
    waiting: list[SealedObject] = []
    limits = BatchLimits(3600, 1 << 20, 3600.0)
    store = await open_store(
        disk,
        settings(encoding=Encoding(Compression.NONE, 0), limits=limits),
        ManualClock(),
        Random(0),
        gate=Gate(),
        on_sealed=waiting.append,
    )
    assert store.store_id == STORE
    assert store.status().drain_epoch == "epoch 9"
    while not store.is_drained:
        await asyncio.sleep(0)
        for obj in waiting:
            uploaded[obj.key] = disk.read(obj.path)
            store.uploaded(obj)
        waiting.clear()
    status = store.status()
    assert (status.accepted_records, status.uploaded_records, status.quarantined_records) == (23, 22, 1)
    assert status.damage == ()
    assert uploaded == {
        "JFK/pod-0-6ba7b810-0000000000000003-ed4ac24e.txt": b"r1 11\nr2 22\nr3 \n",
        "errors/ü/2027/pod-0-6ba7b810-0000000000000005-7459798a.txt": b"bad1\nbad2\n",
        "LAX/pod-0-6ba7b810-0000000000000002.txt": OBJECT,
    }
    await store.close()


def test_the_document_names_the_version() -> None:
    text = (Path(__file__).parents[3] / "docs" / "format.md").read_text()
    assert f"Format version {log.FORMAT_VERSION}." in text
    assert json.loads(pinned()["store.json"])["format"] == log.FORMAT_VERSION
    sizes = {"header": segment.HEADER_BYTES}
    assert re.search(rf"header \({sizes['header']} bytes\)", text)
