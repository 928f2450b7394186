"""Requests into batches: nothing lost, everything in order, whatever is wrong named."""

from __future__ import annotations

import json
import random
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.errors import RequestError
from s3sink_ingester.records import Framing, Kind, Layout, Partitioning, Reason, Router
from s3sink_ingester.records.router import MAX_NAMED, MIN_CACHED_KEYS

STORY = r"^(?P<path>\S+) (?P<content>.+)$"
SINGLE, LINES, JSON = Framing.SINGLE, Framing.LINES, Framing.JSON
ERRORS = "errors/{reason}/"

Routed = list[tuple[str, Kind, bytes, int]]


def router(
    prefix: str = "{path}/",
    *,
    regex: str | None = None,
    pointers: dict[str, str] | None = None,
    header: str | None = None,
    url_path: bool = False,
    quarantine: bool = False,
    partitions: int = 1000,
    record_bytes: int = 1000,
) -> Router:
    if not (pointers or header or url_path):
        regex = regex or STORY
    partitioning = Partitioning(
        regex=regex,
        json_pointers=pointers,
        header=header,
        url_path=url_path,
        quarantine=quarantine,
        max_partitions=partitions,
    )
    return Router(partitioning, Layout(prefix, ERRORS), record_bytes)


def route(
    routes: Router, body: bytes, framing: Framing, key: str | None = None, opened: Collection[str] = ()
) -> Routed:
    batches = routes.route(body, framing, key, opened)
    return [(partition.name, partition.kind, payload, count) for partition, payload, count in batches]


def refused(routes: Router, body: bytes, framing: Framing, key: str | None = None) -> RequestError:
    with pytest.raises(RequestError) as caught:
        routes.route(body, framing, key, ())
    return caught.value


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (b"LAX hello", b"hello\n"),
        (b"LAX hello\n", b"hello\n"),
        (b"LAX two\nlines", b"two\nlines\n"),
        (b"LAX \n", b"\n"),
        (b"LAX hello\n\n", b"hello\n\n"),
    ],
)
def test_a_single_message(body: bytes, payload: bytes) -> None:
    routes = router()
    for _ in range(2):  # the second time from the cache
        assert route(routes, body, SINGLE) == [("LAX/", Kind.DATA, payload, 1)]


def test_lines() -> None:
    body = b"LAX a\nSFO b\r\n\nLAX c\nJFK d"
    expected = [
        ("LAX/", Kind.DATA, b"a\nc\n", 2),
        ("SFO/", Kind.DATA, b"b\n", 1),
        ("JFK/", Kind.DATA, b"d\n", 1),
    ]
    assert route(router(), body, LINES) == expected


def test_json() -> None:
    routes = router("c={c}/dt={time:%Y}/", pointers={"c": "/c"})
    body = b'[{"c": 7, "x": "a"}, {"c": "8"},\n{"c":\n"7"}]'
    assert route(routes, body, JSON) == [
        ("c=7/dt={time:%Y}/", Kind.DATA, b'{"c": 7, "x": "a"}\n{"c":"7"}\n', 2),
        ("c=8/dt={time:%Y}/", Kind.DATA, b'{"c": "8"}\n', 1),
    ]
    assert route(routes, b'{"c": 7}', JSON) == [("c=7/dt={time:%Y}/", Kind.DATA, b'{"c": 7}\n', 1)]


def test_tokens_that_mean_the_same_share_a_batch_in_order() -> None:
    body = b'{"c":7}\n{"c":"7"}\n{"c":7}\n{"c":"\\u0037"}\n{"c":8}'
    assert route(router("{c}/", pointers={"c": "/c"}), body, LINES) == [
        ("7/", Kind.DATA, b'{"c":7}\n{"c":"7"}\n{"c":7}\n{"c":"\\u0037"}\n', 4),
        ("8/", Kind.DATA, b'{"c":8}\n', 1),
    ]


@pytest.mark.parametrize("source", ["header", "url"])
@pytest.mark.parametrize("field", ["key", "path"])
def test_the_key_of_a_request(source: str, field: str) -> None:
    routes = router(
        f"{{{field}}}/", header="X-Shard-Key" if source == "header" else None, url_path=source == "url"
    )
    assert routes.needs_key
    assert route(routes, b"a b", SINGLE, "us/LAX") == [("us/LAX/", Kind.DATA, b"a b\n", 1)]
    assert route(routes, b"a\n\nb\n", LINES, "us/LAX") == [("us/LAX/", Kind.DATA, b"a\nb\n", 2)]
    assert route(routes, b"[1,2]", JSON, "café") == [("café/", Kind.DATA, b"1\n2\n", 2)]


def test_a_request_without_its_key() -> None:
    routes = router("{key}/", header="X-Shard-Key")
    for framing in Framing:
        error = refused(routes, b"[1, 2]", framing)
        assert (error.status, error.records) == (400, ())
        assert "send it in the header X-Shard-Key" in error.detail
    assert "send it in the URL" in refused(router(url_path=True), b"x", SINGLE, "").detail
    assert "too long" in refused(routes, b"x", SINGLE, "k" * 256).detail
    assert "not UTF-8" in refused(routes, b"x", SINGLE, "caf\udce9").detail
    quarantining = router("{key}/", header="X-Shard-Key", quarantine=True)
    assert route(quarantining, b"a\nb", LINES) == [("errors/no-key/", Kind.INVALID, b"a\nb\n", 2)]


def test_a_key_is_not_asked_for_when_records_have_theirs() -> None:
    routes = router()
    assert not routes.needs_key
    assert route(routes, b"LAX x", SINGLE, "SFO") == [("LAX/", Kind.DATA, b"x\n", 1)]


@pytest.mark.parametrize(
    ("body", "framing"), [(b"", SINGLE), (b"", LINES), (b"\n\r\n", LINES), (b"[]", JSON), (b" [ ] ", JSON)]
)
@pytest.mark.parametrize("quarantine", [False, True])
def test_a_request_without_records(body: bytes, framing: Framing, quarantine: bool) -> None:
    assert refused(router(quarantine=quarantine), body, framing).status == 400
    assert refused(router(header="X", quarantine=quarantine), body, framing, "k").status == 400


def test_broken_framing_is_never_quarantined() -> None:
    error = refused(router("{c}/", pointers={"c": "/c"}, quarantine=True), b'[{"c": 1}', JSON)
    assert (error.status, error.records) == (400, ())


def test_bad_records_are_named() -> None:
    error = refused(
        router(record_bytes=10), b"\nLAX a\nbad\n\nSFO b\n" + b"JFK " + b"x" * 7 + b"\nL\tAX x\n", LINES
    )
    assert error.status == 400
    assert (
        error.detail == "3 of 5 records are invalid; record 1 is invalid: it doesn't match partitioning.regex"
    )
    assert [(bad.index, bad.reason) for bad in error.records] == [
        (1, "it doesn't match partitioning.regex"),
        (3, "11 bytes, more than the 10 that a record may have"),
        (4, "it doesn't match partitioning.regex"),
    ]


def test_a_bad_message_is_named() -> None:
    error = refused(router(), b"bad", SINGLE)
    assert (error.status, error.detail) == (400, "record 0 is invalid: it doesn't match partitioning.regex")
    assert [bad.index for bad in error.records] == [0]


def test_bad_elements_are_named() -> None:
    error = refused(router("{c}/", pointers={"c": "/c"}), b'[{"c":1},{"c":null},{}, 7]', JSON)
    assert [(bad.index, bad.reason.partition(";")[0]) for bad in error.records] == [
        (1, "/c is null"),
        (2, "/c is missing"),
        (3, "/c is missing"),
    ]


def test_a_refusal_is_bounded() -> None:
    error = refused(router(), b"bad\n" * 500 + b"LAX x", LINES)
    assert error.detail.startswith("500 of 501 records are invalid; record 0 ")
    assert [bad.index for bad in error.records] == list(range(MAX_NAMED))


@pytest.mark.parametrize("framing", [SINGLE, LINES])
def test_a_large_record(framing: Framing) -> None:
    routes = router(record_bytes=10)
    assert route(routes, b"LAX " + b"x" * 6, framing)[0][3] == 1
    assert refused(routes, b"LAX " + b"x" * 7, framing).status == 413
    assert refused(router("{c}/", pointers={"c": "/c"}, record_bytes=10), b'{"c":12345}', JSON).status == 413
    # White space between lines and values is not the record's.
    assert route(routes, b"\n" * 20 + b"LAX x\r\n", LINES) == [("LAX/", Kind.DATA, b"x\n", 1)]


@pytest.mark.parametrize(
    ("routes", "body", "framing", "reason"),
    [
        (router(quarantine=True), b"bad", SINGLE, Reason.NO_MATCH),
        (router(quarantine=True), b"bad\n", SINGLE, Reason.NO_MATCH),
        (router(quarantine=True), b"two\nlines", SINGLE, Reason.NO_MATCH),
        (router(quarantine=True), b"bad", LINES, Reason.NO_MATCH),
        (router(quarantine=True), b"caf\xe9 x", LINES, Reason.KEY_NOT_TEXT),
        (router(quarantine=True), b"x" * 256 + b" y", SINGLE, Reason.KEY_TOO_LONG),
        (router(quarantine=True, record_bytes=5), b"LAX xx", SINGLE, Reason.TOO_LARGE),
        (router(quarantine=True, record_bytes=5), b"LAX xx", LINES, Reason.TOO_LARGE),
        (router("{c}/", pointers={"c": "/c"}, quarantine=True), b"{}", JSON, Reason.NO_KEY),
        (router("{c}/", pointers={"c": "/c"}, quarantine=True), b"{", LINES, Reason.INVALID_JSON),
    ],
)
def test_quarantine_keeps_the_raw_record(
    routes: Router, body: bytes, framing: Framing, reason: Reason
) -> None:
    payload = body.removesuffix(b"\n") + b"\n"
    assert route(routes, body, framing) == [(f"errors/{reason}/", Kind.INVALID, payload, 1)]


def test_quarantine_among_good_records() -> None:
    assert route(
        router(quarantine=True), b"LAX a\nbad\nLAX b\n" + b"x" * 1001 + b"\nworse\nSFO c", LINES
    ) == [
        ("LAX/", Kind.DATA, b"a\nb\n", 2),
        ("errors/no-match/", Kind.INVALID, b"bad\nworse\n", 2),
        ("errors/too-large/", Kind.INVALID, b"x" * 1001 + b"\n", 1),
        ("SFO/", Kind.DATA, b"c\n", 1),
    ]


def test_overflow_keeps_the_raw_record() -> None:
    routes = router(partitions=2)
    overflow = ("errors/overflow/", Kind.OVERFLOW)
    opened = {"LAX/", "SFO/"}
    assert route(routes, b"JFK x", SINGLE, opened=opened) == [(*overflow, b"JFK x\n", 1)]
    assert route(routes, b"SFO x", SINGLE, opened=opened) == [("SFO/", Kind.DATA, b"x\n", 1)]
    assert route(routes, b"JFK x", SINGLE, opened={"LAX/"}) == [("JFK/", Kind.DATA, b"x\n", 1)]
    assert route(routes, b"JFK a\nSFO b\nJFK c", LINES, opened=opened) == [
        (*overflow, b"JFK a\nJFK c\n", 2),
        ("SFO/", Kind.DATA, b"b\n", 1),
    ]


def test_a_request_counts_the_partitions_that_it_opens() -> None:
    assert route(router(partitions=3), b"a 1\nb 2\nc 3\nd 4\na 5\nd 6\nz 7", LINES, opened={"z/"}) == [
        ("a/", Kind.DATA, b"1\n5\n", 2),
        ("b/", Kind.DATA, b"2\n", 1),
        ("errors/overflow/", Kind.OVERFLOW, b"c 3\nd 4\nd 6\n", 3),
        ("z/", Kind.DATA, b"7\n", 1),
    ]


def test_overflow_is_no_reason_to_refuse_but_a_bad_record_is() -> None:
    routes = router(partitions=1)
    assert route(routes, b"LAX a\nSFO b", LINES)[1][0] == "errors/overflow/"
    assert [bad.index for bad in refused(routes, b"LAX a\nSFO b\nbad", LINES).records] == [2]


def test_data_never_looks_like_an_error() -> None:
    for key in (b"errors", b"errors/overflow", b"errors/no-match"):
        ((name, kind, _, _),) = route(router(), key + b" x", SINGLE)
        assert kind is Kind.DATA
        assert name.startswith("%65rrors/")


def test_unchecked_settings() -> None:
    with pytest.raises(ValueError, match="is not a field of the key"):
        router("{customer}/")


def test_the_cache_is_bounded_and_forgets_nothing_that_matters() -> None:
    routes = router(partitions=1)
    opened = {f"key{number}/" for number in range(MIN_CACHED_KEYS * 2)}
    for start in range(0, MIN_CACHED_KEYS * 2, 1000):
        numbers = range(start, min(start + 1000, MIN_CACHED_KEYS * 2))
        body = b"\n".join(b"key%d x" % number for number in numbers)
        assert [name for name, *_ in route(routes, body, LINES, opened=opened)] == [
            f"key{n}/" for n in numbers
        ]
    assert len(routes._cache) <= MIN_CACHED_KEYS


def test_bad_keys_do_not_fill_the_cache() -> None:
    routes = router(quarantine=True)
    route(routes, b"\n".join(b"%d\tkey x" % number for number in range(100)), LINES)
    route(routes, b"x" * 900 + b" y", SINGLE)
    assert len(routes._cache) == 0


def test_threads_share_a_router() -> None:
    routes = router(partitions=10_000)
    bodies = [
        b"\n".join(b"key%d %d" % (n % 3000, n) for n in range(start, start + 2000))
        for start in range(0, 40_000, 2000)
    ]
    expected = [route(router(partitions=10_000), body, LINES) for body in bodies]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda body: route(routes, body, LINES), bodies)) == expected


# -- properties

KEYS = st.sampled_from(
    [b"LAX", b"SFO", b"us/LAX", b"x" * 256, b"errors", b"\xff", "é".encode(), b"L\tX", b""]
)
CONTENTS = st.sampled_from([b"a", b"bb b", b"", b" ", b"x" * 30, b"{}", b"\xff", b"\r"])
STORY_RECORDS = st.builds(
    lambda key, space, content: key + space + content, KEYS, st.sampled_from([b" ", b""]), CONTENTS
)
JSON_RECORDS = st.sampled_from(
    [
        b'{"c":1}',
        b'{"c":"1"}',
        b'{"c":"x/y"}',
        b'{"c":null}',
        b"{}",
        b"7",
        b'{"c":',
        b'{"c":2,"d":{"e":[1]}}',
        b'{"c":1.0}',
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[Router, list[bytes]]:
    quarantine = draw(st.booleans())
    partitions = draw(st.integers(1, 4))
    record_bytes = draw(st.sampled_from([20, 1000]))
    prefix, regex, pointers = draw(
        st.sampled_from(
            [
                ("{path}/", STORY, None),
                ("all/", STORY, None),
                ("p={path}/", r"^(?P<path>[^,]+?) (?P<content>.*)$", None),
                ("{c}/", None, {"c": "/c"}),
            ]
        )
    )
    routes = router(
        prefix,
        regex=regex,
        pointers=pointers,
        quarantine=quarantine,
        partitions=partitions,
        record_bytes=record_bytes,
    )
    # Of one CR alone no line is left.
    records = JSON_RECORDS if pointers else STORY_RECORDS.filter(lambda record: record.strip(b"\r"))
    return routes, draw(st.lists(records, min_size=1, max_size=8))


def one_by_one(routes: Router, records: list[bytes], opened: set[str]) -> tuple[Routed, list[int]]:
    """Batches merged from single messages, and the indexes of those refused."""
    merged: dict[str, tuple[str, Kind, bytes, int]] = {}
    opened = set(opened)
    bad = []
    for index, record in enumerate(records):
        try:
            ((name, kind, payload, count),) = route(routes, record, SINGLE, opened=opened)
        except RequestError:
            bad.append(index)
            continue
        if kind is Kind.DATA:
            opened.add(name)
        _, _, before, counted = merged.get(name, (name, kind, b"", 0))
        merged[name] = (name, kind, before + payload, counted + count)
    return list(merged.values()), bad


@given(requests(), st.sets(st.sampled_from(["LAX/", "p=LAX/", "1/", "other/"])))
def test_a_batch_is_its_messages_one_by_one(request_: tuple[Router, list[bytes]], opened: set[str]) -> None:
    routes, records = request_
    expected, bad = one_by_one(routes, records, opened)
    # A line loses one CR before its LF, which is not part of the record.
    body = b"\r\n".join(records) + b"\r\n"
    if bad:
        with pytest.raises(RequestError) as caught:
            route(routes, body, LINES, opened=opened)
        assert [record.index for record in caught.value.records] == bad
        return
    assert sorted(route(routes, body, LINES, opened=opened)) == sorted(expected)


@given(requests())
def test_nothing_is_lost(request_: tuple[Router, list[bytes]]) -> None:
    routes, records = request_
    try:
        routed = route(routes, b"\n".join(records) + b"\n", LINES)
    except RequestError:
        return  # nothing of it is stored; what is refused is asserted above
    assert sum(count for *_, count in routed) == len(records)
    assert len({name for name, *_ in routed}) == len(routed)
    for _, _, payload, count in routed:
        assert payload.endswith(b"\n")
        assert payload.count(b"\n") == count


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.sampled_from([None, 1]))
def test_json_elements_keep_their_order(customers: list[int], indent: int | None) -> None:
    documents = [{"c": customer, "n": number} for number, customer in enumerate(customers)]
    routed = route(router("{c}/", pointers={"c": "/c"}), json.dumps(documents, indent=indent).encode(), JSON)
    for name, _, payload, count in routed:
        lines = [json.loads(line) for line in payload.splitlines()]
        assert lines == [document for document in documents if f"{document['c']}/" == name]
        assert len(lines) == count
    assert sum(count for *_, count in routed) == len(documents)


def test_many_keys_in_order() -> None:
    chosen = random.Random(7)
    records = [(chosen.randrange(500), number) for number in range(5000)]
    body = b"\n".join(b"k%d %d" % record for record in records)
    routed = route(router(), body, LINES)
    for name, _, payload, _ in routed:
        assert payload == b"".join(b"%d\n" % number for key, number in records if f"k{key}/" == name)
    assert sum(count for *_, count in routed) == len(records)
