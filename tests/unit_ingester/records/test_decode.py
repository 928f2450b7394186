"""Content codings with their bounds, and framing."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.errors import RequestError
from s3sink_ingester.records import decode_body
from s3sink_ingester.records.decode import MAX_MEMBERS, MAX_RECORDS, split_json, split_lines

MIB = 1024 * 1024


def zstd(data: bytes, *, sized: bool = True, window_log: int = 0) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, window_log=window_log, write_content_size=sized, write_checksum=True
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    if sized:
        return compressor.compress(data)
    stream = compressor.compressobj()
    return stream.compress(data) + stream.flush()


def zstd_unsized(data: bytes) -> bytes:
    return zstd(data, sized=False)


def bare_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd,
    "zstd unsized": zstd_unsized,
    "deflate": zlib.compress,
    "deflate bare": bare_deflate,
    "identity": bytes,
}
CODINGS = sorted(ENCODERS)


def coding(name: str) -> str:
    return name.partition(" ")[0]


def refused(body: bytes, encodings: str, limit: int = MIB) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode_body(body, encodings, limit)
    return caught.value


@given(st.sampled_from(CODINGS), st.binary(max_size=3000))
def test_what_was_encoded_comes_back(name: str, data: bytes) -> None:
    assert decode_body(ENCODERS[name](data), coding(name), 3000) == data


@given(
    st.sampled_from(["gzip", "zstd", "zstd unsized"]),
    st.lists(st.binary(max_size=200), min_size=1, max_size=8),
)
def test_members_are_joined(name: str, parts: list[bytes]) -> None:
    body = b"".join(ENCODERS[name](part) for part in parts)
    assert decode_body(body, coding(name), 2000) == b"".join(parts)


@pytest.mark.parametrize("name", ["gzip", "zstd", "zstd unsized", "deflate", "deflate bare"])
def test_large_bodies(name: str) -> None:
    data = bytes(range(256)) * 40 + b"".join(b"%d," % number for number in range(200_000))
    assert decode_body(ENCODERS[name](data), coding(name), MIB * 8) == data


def test_a_list_is_undone_from_its_end() -> None:
    assert decode_body(zstd(gzip.compress(b"data")), "gzip, zstd", 100) == b"data"
    assert decode_body(gzip.compress(zstd(b"data")), " Zstd,identity , X-GZIP,", 100) == b"data"
    assert decode_body(b"data", "", 100) == b"data"


@pytest.mark.parametrize("encodings", ["br", "gzip, br", "compress", "*", "gzip;q=1"])
def test_other_codings(encodings: str) -> None:
    error = refused(gzip.compress(b"data"), encodings)
    assert error.status == 415
    assert "use gzip, zstd or deflate" in error.detail


def test_too_many_codings() -> None:
    assert refused(b"", "gzip, gzip, gzip").status == 415


@pytest.mark.parametrize("name", CODINGS)
def test_the_limit_is_exact(name: str) -> None:
    body = ENCODERS[name](b"x" * 1000)
    assert decode_body(body, coding(name), 1000) == b"x" * 1000
    assert refused(body, coding(name), 999).status == 413


@pytest.mark.parametrize("name", ["gzip", "zstd", "zstd unsized", "deflate", "deflate bare"])
def test_the_limit_spans_members_and_steps(name: str) -> None:
    body = ENCODERS[name](b"x" * 600)
    if not name.startswith("deflate"):
        assert refused(body * 2, coding(name), 1000).status == 413
    twice = ENCODERS[name](gzip.compress(b"x" * 5000))
    assert refused(twice, f"gzip, {coding(name)}", 1000).status == 413


@pytest.mark.parametrize("name", ["gzip", "zstd", "zstd unsized", "deflate", "deflate bare"])
def test_a_bomb_takes_no_memory(name: str) -> None:
    bomb = ENCODERS[name](bytes(100 * MIB))
    tracemalloc.start()
    try:
        assert refused(bomb, coding(name), MIB).status == 413
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB


@pytest.mark.parametrize("name", ["gzip", "zstd", "zstd unsized", "deflate", "deflate bare"])
def test_every_truncation_is_noticed(name: str) -> None:
    body = ENCODERS[name](b"The quick brown fox jumps over the lazy dog. " * 3)
    for length in range(len(body)):
        error = refused(body[:length], coding(name))
        assert error.status == 400, length
        assert "can't be decoded" in error.detail
    if not name.startswith("deflate"):
        for length in range(1, len(body)):
            assert refused(body + body[:length], coding(name)).status == 400, length


@pytest.mark.parametrize("name", ["gzip", "zstd", "zstd unsized", "deflate"])
def test_flipped_bits_are_noticed(name: str) -> None:
    data = b"The quick brown fox jumps over the lazy dog. " * 3
    body = bytearray(ENCODERS[name](data))
    for position in range(len(body)):
        body[position] ^= 0x10
        try:
            # gzip's time stamp and the like may be anything.
            assert decode_body(bytes(body), coding(name), MIB) == data
        except RequestError as error:
            assert error.status in (400, 413)  # noqa: PT017 - either outcome is right
        body[position] ^= 0x10


@pytest.mark.parametrize("name", ["gzip", "zstd", "zstd unsized", "deflate", "deflate bare"])
def test_what_follows_the_end(name: str) -> None:
    body = ENCODERS[name](b"data")
    assert refused(body + b"more", coding(name)).status == 400
    assert refused(b"plain text", coding(name)).status == 400


def test_gzip_padding() -> None:
    body = gzip.compress(b"data")
    assert decode_body(body + bytes(1000), "gzip", 100) == b"data"
    assert refused(body + bytes(10) + b"x", "gzip").status == 400


def test_gzip_with_name_and_comment() -> None:
    buffer = io.BytesIO()
    with gzip.GzipFile("name.log", "wb", fileobj=buffer) as file:
        file.write(b"data")
    assert decode_body(buffer.getvalue(), "gzip", 100) == b"data"


def test_zstd_skippable_frame() -> None:
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    assert decode_body(skippable + zstd(b"data") + skippable, "zstd", 100) == b"data"


def test_zstd_windows_are_bounded() -> None:
    data = b"x" * 100
    assert decode_body(zstd(data, sized=False, window_log=23), "zstd", 1000) == data
    error = refused(zstd(data, sized=False, window_log=24), "zstd")
    assert error.status == 400


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_members_are_counted(name: str) -> None:
    empty = ENCODERS[name](b"")
    assert decode_body(empty * MAX_MEMBERS, name, 100) == b""
    assert "members" in refused(empty * (MAX_MEMBERS + 1), name).detail


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", []),
        (b"\n", []),
        (b"\r\n\r\n", []),
        (b"\r", []),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"a\r\nb\r", [b"a", b"b"]),
        (b"a\r\r\nb", [b"a\r", b"b"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"\n\na\n\n\nb\n\n", [b"a", b"b"]),
        (b" \n", [b" "]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", [b"a", b"\xef\xbb\xbfb"]),
        (b"\xef\xbb\xbf", []),
    ],
)
def test_lines(body: bytes, lines: list[bytes]) -> None:
    assert split_lines(body) == lines


def test_lines_are_counted() -> None:
    assert len(split_lines(b"a\n" * (MAX_RECORDS - 1))) == MAX_RECORDS - 1
    with pytest.raises(RequestError) as caught:
        split_lines(b"a\n" * (MAX_RECORDS + 1))
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b"[]", []),
        (b' [ 1 , "x" , {"a": 2 } , null, [3] ] ', [b"1", b'"x"', b'{"a": 2 }', b"null", b"[3]"]),
        (b'{"a": [1, 2]}', [b'{"a": [1, 2]}']),
        (b' \r\n{"a": 1}\n', [b'{"a": 1}']),
        (b'[{"a":\n1},\r\n{"b": "x\\ny"}]', [b'{"a":1}', b'{"b": "x\\ny"}']),
        (b'{"a" :\r 1}', [b'{"a":1}']),
        (b'\xef\xbb\xbf["\xc3\xa9"]', [b'"\xc3\xa9"']),
        (b"7", [b"7"]),
    ],
)
def test_json(body: bytes, records: list[bytes]) -> None:
    assert split_json(body) == records


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "is not JSON"),
        (b"\xef\xbb\xbf ", "is not JSON"),
        (b"LAX {}", "(byte 0)"),
        (b'[{"a":1},]', "(byte 9)"),
        (b'{"a":1} {"a":2}', "trailing characters"),
        (b'[1] "x', "trailing characters"),
        (b'["a\nb"]', "is not JSON"),
        (b'["\xff"]', "position 2"),
        (b"[01]", "is not JSON"),
        # Since Python 3.14 the depth is bounded by the size of the stack alone.
        (b"[" * 1_000_000, "nested too deeply"),
        (b"[" * 1_000_000 + b"]" * 1_000_000, "nested too deeply"),
        (b'{"a":\n' * 1_000_000 + b"1" + b"}" * 1_000_000, "nested too deeply"),
    ],
)
def test_what_is_not_json(body: bytes, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        split_json(body)
    assert caught.value.status == 400
    assert problem in caught.value.detail


@pytest.mark.parametrize("body", [b"[" + b"1," * MAX_RECORDS + b"1]", b"[" + b"," * (4 * MAX_RECORDS + 1)])
def test_elements_are_counted(body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        split_json(body)
    assert caught.value.status == 413


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(JSON, max_size=5), st.sampled_from([None, 0, 2]), st.booleans())
def test_elements_keep_their_meaning_on_one_line(
    values: list[object], indent: int | None, ascii_only: bool
) -> None:
    body = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    try:
        encoded = body.encode()
    except UnicodeEncodeError:
        return  # a lone surrogate has no UTF-8
    records = split_json(encoded)
    assert [json.loads(record) for record in records] == values
    assert not any(b"\n" in record or b"\r" in record for record in records)
