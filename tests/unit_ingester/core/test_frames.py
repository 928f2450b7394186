"""Frames: whole, torn, corrupt, imitated."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.journal.frame import (
    HEADER_BYTES,
    MAGIC,
    Damage,
    Frame,
    FrameType,
    Tail,
    encode,
    find_salt,
    scan,
)

SALT = 0x5EED5A17
bodies = st.lists(st.binary(max_size=60), min_size=1, max_size=8)
salts = st.integers(0, 2**32 - 1)


def found(data: bytes, salt: int = SALT) -> list[Frame | Damage | Tail]:
    return list(scan(memoryview(data), 0, salt))


def good(data: bytes, salt: int = SALT) -> list[bytes]:
    return [bytes(one.body) for one in found(data, salt) if isinstance(one, Frame)]


def written(parts: Sequence[bytes], salt: int = SALT, first: int = 1) -> list[bytes]:
    return [bytes(encode(FrameType.GROUP, first + n, [part], salt)) for n, part in enumerate(parts)]


@given(parts=bodies, salt=salts, behind=st.binary(max_size=40), sequence=st.integers(0, 2**63))
def test_what_was_written_is_read(parts: list[bytes], salt: int, behind: bytes, sequence: int) -> None:
    data = b"".join(written(parts, salt, sequence)) + behind
    *frames, tail = found(data, salt)
    assert [bytes(one.body) for one in frames if isinstance(one, Frame)] == parts
    assert [one.sequence for one in frames if isinstance(one, Frame)] == list(
        range(sequence, sequence + len(parts))
    )
    assert tail == Tail(len(data) - len(behind))


@given(parts=st.lists(st.binary(max_size=30), max_size=5), kind=st.sampled_from(FrameType))
def test_a_body_may_come_in_parts(parts: list[bytes], kind: FrameType) -> None:
    frame = bytes(encode(kind, 7, parts, SALT))
    assert frame == bytes(encode(kind, 7, [b"".join(parts)], SALT))
    (one, _) = found(frame)
    assert isinstance(one, Frame)
    assert (one.type, one.offset, one.end) == (kind, 0, len(frame))


def test_the_layout() -> None:
    frame = bytes(encode(FrameType.SNAPSHOT, 0x0102, [b"body"], SALT))
    head = struct.pack("<4sIIBxxxQ", b"S3fr", 4, zlib.crc32(b"body", SALT), 1, 0x0102)
    assert frame == head + struct.pack("<I", zlib.crc32(head, SALT)) + b"body"
    assert len(head) + 4 == HEADER_BYTES


PARTS = [b"first", b"second " * 9, b"", b"the last one"]


@pytest.mark.parametrize("behind", [b"", bytes(100), b"\xff" * 100], ids=["end of file", "zeros", "rubbish"])
def test_a_tail_torn_at_every_byte(behind: bytes) -> None:
    """The state is everything before the frame, and nothing is reported as damaged."""
    *before, last = written(PARTS)
    start = sum(map(len, before))
    for cut in range(len(last)):
        data = b"".join(before) + last[:cut] + behind
        assert good(data) == PARTS[:-1]
        assert not [one for one in found(data) if isinstance(one, Damage)]
        assert found(data)[-1] == Tail(start)


def test_a_tail_with_blocks_missing() -> None:
    """A power loss may leave later blocks of a write without earlier ones."""
    *before, last = written([*PARTS[:-1], bytes(range(256))])
    start = sum(map(len, before))
    for at in range(0, len(last), 16):
        data = b"".join(before) + last[:at] + bytes(min(16, len(last) - at)) + last[at + 16 :]
        if data != b"".join(before) + last:
            assert found(data)[-1] == Tail(start)
            assert len(good(data)) == len(before)


def test_a_flipped_byte_at_every_position_of_a_middle_frame() -> None:
    """The damage has the bounds of the frame, and everything behind it is still found."""
    frames = written(PARTS)
    start = len(frames[0])
    end = start + len(frames[1])
    for position in range(start, end):
        data = bytearray(b"".join(frames))
        data[position] ^= 0x41
        assert found(bytes(data))[1] == Damage(start, end), position
        assert good(bytes(data)) == [PARTS[0], *PARTS[2:]], position


@given(data=st.data())
def test_any_bytes_overwritten(data: st.DataObject) -> None:
    """Frames that weren't touched are found, and frames that were are not."""
    frames = written(PARTS)
    whole = bytearray(b"".join(frames))
    start = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.binary(min_size=1, max_size=len(whole) - start))
    before = bytes(whole)
    whole[start : start + len(other)] = other
    position, expected = 0, []
    for part, frame in zip(PARTS, frames, strict=True):
        if before[position : position + len(frame)] == whole[position : position + len(frame)]:
            expected.append(part)
        position += len(frame)
    assert good(bytes(whole)) == expected


@given(parts=bodies, noise=st.binary(max_size=30))
def test_payloads_that_imitate_frames(parts: list[bytes], noise: bytes) -> None:
    """A client that knows the format and not the salt."""
    imitation = noise + MAGIC + b"".join(written(parts, salt=SALT ^ 1, first=1_000_000))
    frames = written([imitation, b"behind it"])
    assert good(b"".join(frames)) == [imitation, b"behind it"]
    damaged = bytearray(b"".join(frames))
    damaged[5] ^= 1  # the length of the first: whatever is in it is looked at
    assert good(bytes(damaged)) == [b"behind it"]
    torn = frames[0][:-1]
    assert good(torn) == []


def test_an_older_frame_that_is_repeated_inside_a_corrupt_one() -> None:
    """Sequences only grow: a frame with the right salt that was seen before can't come twice."""
    first = written([b"one"])[0]
    second = bytearray(encode(FrameType.GROUP, 2, [first, b"rest"], SALT))
    second[4] ^= 1
    third = bytes(encode(FrameType.GROUP, 3, [b"three"], SALT))
    assert good(first + bytes(second) + third) == [b"one", b"three"]


def test_frames_of_another_salt_mean_nothing() -> None:
    old = b"".join(written([b"old"] * 5, salt=99))
    new = b"".join(written([b"new", b"newer"]))
    data = new + old[len(new) :]
    assert good(data) == [b"new", b"newer"]
    assert found(data)[-1] == Tail(len(new))


@pytest.mark.parametrize("field", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x80"])
def test_a_length_beyond_everything(field: bytes) -> None:
    frame = bytearray(written([b"x"])[0])
    frame[4:8] = field
    assert found(bytes(frame)) == [Tail(0)]


def test_magic_at_the_seam_of_two_blocks_of_the_search() -> None:
    frame = written([b"found"], first=5)[0]
    for shift in range(-3, 4):
        noise = b"\xff" * ((1 << 20) + shift)
        assert good(noise + frame) == [b"found"], shift
        assert found(noise + frame)[0] == Damage(0, len(noise))


@given(salt=salts, parts=bodies, noise=st.binary(max_size=50))
def test_the_salt_is_found_again(salt: int, parts: list[bytes], noise: bytes) -> None:
    frames = b"".join(written(parts, salt))
    assert find_salt(memoryview(frames), 0) == salt
    noise = noise.replace(MAGIC[:1], b"?")
    assert find_salt(memoryview(noise + frames), 0) == salt
    assert find_salt(memoryview(noise), 0) is None
    assert find_salt(memoryview(written([b"body"], salt)[0][:-1]), 0) is None
