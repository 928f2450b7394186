"""Where keys come from, and the settings that say so."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from s3sink_ingester.records import (
    Partitioning,
    check_header,
    check_json_pointers,
    check_regex,
    key_fields,
)
from s3sink_ingester.records.keys import Extractor, RequestKey
from s3sink_ingester.records.partition import Invalid, Reason
from s3sink_ingester.records.partitioning import make_extractor
from s3sink_ingester.records.patterns import FirstSpace, Regex, compile_pattern
from s3sink_ingester.records.pointers import Pointers

STORY = r"^(?P<path>\S+) (?P<content>.+)$"


def extract(extractor: Extractor, record: bytes) -> tuple[dict[str, bytes], bytes] | Reason:
    """The key's fields and the content of a record, or why there is none."""
    try:
        token, content = extractor.one(record)
        return dict(extractor.values(token)), content
    except Invalid as invalid:
        return invalid.reason


def by_regex(pattern: str, *used: str) -> Extractor:
    assert check_regex(pattern) == []
    extractor = make_extractor(Partitioning(regex=pattern), used)
    assert extractor
    return extractor


@pytest.mark.parametrize(
    ("record", "path", "content"),
    [
        (b"LAX {}", b"LAX", b"{}"),
        (b"a/b  two spaces ", b"a/b", b" two spaces "),
        (b"LAX line one\nline two\n", b"LAX", b"line one\nline two\n"),
        (b"LAX \n", b"LAX", b"\n"),
        (b"\xff\xfe \xff", b"\xff\xfe", b"\xff"),
    ],
)
def test_the_storys_pattern(record: bytes, path: bytes, content: bytes) -> None:
    assert extract(by_regex(STORY, "path"), record) == ({"path": path}, content)


@pytest.mark.parametrize("record", [b"", b" ", b"LAX", b"LAX ", b" LAX x", b"LAX\tx", b"L\tAX x", b"LAX\n x"])
def test_what_the_storys_pattern_does_not_match(record: bytes) -> None:
    assert extract(by_regex(STORY, "path"), record) is Reason.NO_MATCH


RECOGNISED = st.sampled_from(
    [STORY, r"^(?P<path>[^\s]+) (?P<content>.+)$", r"^(?P<path>[^ ]+) (?P<content>.+)$"]
)
RECORDS = st.lists(
    st.sampled_from(
        [b" ", b"\n", b"\t", b"\r", b"\x0b", b"\x1c", b"\x85", b"\xc2\xa0", b"a", b"LAX", b"\0", b"{}"]
    )
    | st.binary(max_size=2),
    max_size=7,
).map(b"".join)


@given(RECOGNISED, RECORDS)
@example(STORY, b"LAX \n")
@example(STORY, b"LAX\n x")
def test_the_short_cut_is_the_regex(pattern: str, record: bytes) -> None:
    short_cut = FirstSpace.recognise(pattern, ("path",))
    assert short_cut
    assert extract(short_cut, record) == extract(Regex(compile_pattern(pattern), ("path",)), record)
    match = re.search(pattern.encode(), record, re.DOTALL)
    expected = ({"path": match["path"]}, match["content"]) if match else Reason.NO_MATCH
    assert extract(short_cut, record) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?P<path>\S+) (?P<content>.+)$",
        r"^(?P<path>\S*) (?P<content>.+)$",
        r"^(?P<path>\S+) (?P<content>.*)$",
        r"^(?P<path>\S+)  (?P<content>.+)$",
        r"^(?P<path>\w+) (?P<content>.+)$",
        r"^(?P<path>\S+) (?P<rest>.+)$",
        r"^(?P<path>\S+) (?P<content>.+)",
    ],
)
def test_other_patterns_take_the_long_way(pattern: str) -> None:
    assert FirstSpace.recognise(pattern, ("path",)) is None


def test_a_key_that_the_prefix_does_not_use_never_becomes_a_token() -> None:
    assert by_regex(STORY).one(b"x" * 1000 + b" content") == (b"", b"content")


@pytest.mark.parametrize(
    ("pattern", "used", "record", "expected"),
    [
        (r"^(?P<path>\S+) (?P<content>.*)$", ("path",), b"LAX ", ({"path": b"LAX"}, b"")),
        (r"id=(?P<id>\d+)", ("id",), b"a id=7 b", ({"id": b"7"}, b"a id=7 b")),
        (r"id=(?P<id>\d+)", ("id",), b"a id= b", Reason.NO_MATCH),
        (r"(?P<a>\w+),(?P<b>\w+)", ("b", "a"), b"x,y", ({"b": b"y", "a": b"x"}, b"x,y")),
        (r"(?P<a>\w+),(?P<b>\w+)", ("b",), b"x,y", ({"b": b"y"}, b"x,y")),
        (r"(?P<a>\w+),(?P<b>\w+)", (), b"x,y", ({}, b"x,y")),
        (r"(?P<a>x)?(?P<b>y)", ("a", "b"), b"y", Reason.NO_KEY),
        (r"(?P<a>x)?(?P<b>y)", ("a",), b"y", Reason.NO_KEY),
        (r"(?P<a>x*)y", ("a",), b"y", Reason.NO_KEY),
        (r"(?P<a>x)(?P<content>y)?", ("a",), b"x", Reason.NO_MATCH),
        (r"(?P<content>\{.*)", (), b"junk {}", ({}, b"{}")),
        (r"(?P<a>.+)", ("a",), b"x\ny", ({"a": b"x\ny"}, b"x\ny")),
    ],
)
def test_other_patterns(pattern: str, used: tuple[str, ...], record: bytes, expected: object) -> None:
    assert extract(by_regex(pattern, *used), record) == expected


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        (r"^(?<path>\S+) (?<content>.+)$", "named groups are written (?P<name>...)"),
        (r"^(?P<path>\S+", "is not a regular expression of Python: missing )"),
        (r"^\S+ .+$", "has no named group"),
        ("(?P<path>[^é]+)", "only ASCII"),
        (r"(?P<a>x{99999999999999999999})", "is not a regular expression"),
    ],
)
def test_patterns_that_are_refused(pattern: str, problem: str) -> None:
    assert problem in check_regex(pattern)[0]


def by_pointer(pointers: Mapping[str, str]) -> Pointers:
    assert check_json_pointers(pointers) == []
    return Pointers(pointers)


@pytest.mark.parametrize(
    ("pointer", "record", "value"),
    [
        ("/a", b'{"a": "LAX"}', b"LAX"),
        ("/a", b' {"b": [1, {}], "a" : "L\\u0041X\\n\\"" } ', b'LAX\n"'),
        ("/a", '{"a": "é🛩"}'.encode(), "é🛩".encode()),
        ("/a", b'{"a": "\\ud83d\\ude00"}', "😀".encode()),
        ("/a", b'{"\\u0061": 1}', b"1"),
        ("/a", b'{"a": 1, "a": 2}', b"2"),
        ("/a", b'{"a": 1.50}', b"1.50"),
        ("/a", b'{"a": -1e5}', b"-1e5"),
        ("/a", b'{"a": 123456789012345678901234567890}', b"123456789012345678901234567890"),
        ("/a", b'{"a": true}', b"true"),
        ("/a", b'{"a": false }', b"false"),
        ("/a/b", b'{"a": {"b": "x"}}', b"x"),
        ("/a/b", b'{"a": [], "a": {"c": 1, "b": 2}}', b"2"),
        ("/", b'{"": "x"}', b"x"),
        ("/a/", b'{"a": {"": "x"}}', b"x"),
        ("/a~1b", b'{"a/b": "x"}', b"x"),
        ("/a~0b", b'{"a~b": "x"}', b"x"),
        ("/a~01", b'{"a~1": "x"}', b"x"),
        ("/a b", b'{"a b": "x"}', b"x"),
        ("/é", '{"é": "x"}'.encode(), b"x"),
        ('/"\\', b'{"\\"\\\\": "x"}', b"x"),
        ("/0", b'["x"]', b"x"),
        ("/0", b'{"0": "x"}', b"x"),
        ("/a/1/b", b'{"a": [0, {"b": "x"}]}', b"x"),
        ("/a/1/b", b'{"a": {"1": {"b": "x"}}}', b"x"),
    ],
)
def test_pointers(pointer: str, record: bytes, value: bytes) -> None:
    assert extract(by_pointer({"f": pointer}), record) == ({"f": value}, record)


@pytest.mark.parametrize(
    ("pointer", "record", "reason", "detail"),
    [
        ("/a", b"{}", Reason.NO_KEY, "/a is missing"),
        ("/a/b", b"{}", Reason.NO_KEY, "/a/b is missing"),
        ("/a/b", b'{"a": null}', Reason.NO_KEY, "/a/b is missing"),
        ("/a/b", b'{"a": "b"}', Reason.NO_KEY, "/a/b is missing"),
        ("/a/b", b'{"a": [1]}', Reason.NO_KEY, "/a/b is missing"),
        ("/a", b"[1]", Reason.NO_KEY, "/a is missing"),
        ("/a", b"null", Reason.NO_KEY, "/a is missing"),
        ("/1", b"[1]", Reason.NO_KEY, "/1 is missing"),
        ("/01", b"[1, 2]", Reason.NO_KEY, "/01 is missing"),
        ("/-", b"[1]", Reason.NO_KEY, "/- is missing"),
        ("/" + "9" * 5000, b"[1]", Reason.NO_KEY, "is missing"),
        ("/a", b'{"a": null}', Reason.NO_KEY, "/a is null"),
        ("/a", b'{"a": {"b": 1}}', Reason.NO_KEY, "/a is an object"),
        ("/a", b'{"a": [1]}', Reason.NO_KEY, "/a is an array"),
        ("/a", b'{"a": ""}', Reason.NO_KEY, "/a is empty"),
        ("/a", b'{"a": 1', Reason.INVALID_JSON, "it is not JSON"),
        ("/a", b'{"a": 01}', Reason.INVALID_JSON, "it is not JSON"),
        ("/a", b'{"a": 1} {"a": 1}', Reason.INVALID_JSON, "trailing characters"),
        ("/a", b"LAX {}", Reason.INVALID_JSON, "(byte 0)"),
        ("/a", b"", Reason.INVALID_JSON, "it is not JSON"),
        ("/0", b"LAX {}", Reason.INVALID_JSON, "(byte 0)"),
        ("/a", b'{"a": "\xff"}', Reason.INVALID_JSON, "/a is not a valid string"),
        ("/a", b'{"a": "\\udc00"}', Reason.INVALID_JSON, "surrogate"),
        ("/0", b'{"\xff": 1}', Reason.INVALID_JSON, "it is not JSON"),
        (
            "/a",
            b'{"b": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
            Reason.INVALID_JSON,
            "nested too deeply",
        ),
    ],
)
def test_records_without_a_value(pointer: str, record: bytes, reason: Reason, detail: str) -> None:
    extractor = by_pointer({"f": pointer})
    with pytest.raises(Invalid) as caught:
        extractor.values(extractor.one(record)[0])
    assert caught.value.reason is reason
    assert detail in caught.value.detail


@pytest.mark.parametrize(
    ("pointers", "record", "values"),
    [
        ({"x": "/a", "y": "/b"}, b'{"b": 1, "a": "A"}', {"x": b"A", "y": b"1"}),
        (
            {"x": "/m/a", "y": "/m/b", "z": "/c"},
            b'{"c":3,"m":{"b":2,"a":1}}',
            {"x": b"1", "y": b"2", "z": b"3"},
        ),
        ({"x": "/a", "y": "/a"}, b'{"a": 1}', {"x": b"1", "y": b"1"}),
        ({"x": "/a/0", "y": "/b"}, b'{"a": [1], "b": 2}', {"x": b"1", "y": b"2"}),
        ({}, b'{"a": 1}', {}),
    ],
)
def test_several_pointers(pointers: Mapping[str, str], record: bytes, values: dict[str, bytes]) -> None:
    assert extract(Pointers(pointers), record) == (values, record)


def test_a_pointer_through_another_ones_value() -> None:
    for pointers in ({"x": "/a", "y": "/a/b"}, {"y": "/a/b", "x": "/a"}):
        assert extract(Pointers(pointers), b'{"a": {"b": 1}}') is Reason.NO_KEY
        assert extract(Pointers(pointers), b'{"a": 1}') is Reason.NO_KEY


NAMES = st.sampled_from(["a", "b", "", "c/d", "~", "é", "0", "a\\b"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=2), DOCUMENTS)
def test_pointers_as_in_the_rfc(paths: list[list[str]], document: object) -> None:
    try:
        record = msgspec.json.encode(document)
    except UnicodeEncodeError:
        return  # a lone surrogate has no UTF-8
    pointers = {
        f"f{number}": "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in path)
        for number, path in enumerate(paths)
    }
    values: dict[str, bytes] = {}
    for field, path in zip(pointers, paths, strict=True):
        node = document
        for name in path:
            if isinstance(node, dict):
                node = node.get(name)
            elif isinstance(node, list) and re.fullmatch("0|[1-9][0-9]*", name) and int(name) < len(node):
                node = node[int(name)]
            else:
                node = None
        if isinstance(node, dict | list) or node in (None, ""):
            values.clear()
            break
        values[field] = node.encode() if isinstance(node, str) else msgspec.json.encode(node)
    assert extract(by_pointer(pointers), record) == ((values, record) if values else Reason.NO_KEY)


@pytest.mark.parametrize(
    ("pointers", "problem"),
    [
        ({}, "is empty"),
        ({"a": "customer_id"}, "a: 'customer_id' is not a JSON pointer: it begins with '/'"),
        ({"a": ""}, "is not a JSON pointer"),
        ({"a": "/x~2"}, "'~' is written ~0"),
        ({"a": "/x~"}, "'~' is written ~0"),
        ({"time": "/t"}, "'time' can't be a field"),
        ({"a-b": "/t"}, "'a-b' can't be a field"),
    ],
)
def test_pointers_that_are_refused(pointers: Mapping[str, str], problem: str) -> None:
    assert problem in "; ".join(check_json_pointers(pointers))


@pytest.mark.parametrize(
    ("name", "fine"), [("X-Shard-Key", True), ("x", True), ("", False), ("X Key", False), ("X:", False)]
)
def test_header_names(name: str, fine: bool) -> None:
    assert (check_header(name) == []) == fine


@pytest.mark.parametrize(
    ("partitioning", "fields"),
    [
        (Partitioning(regex=STORY), ("path",)),
        (Partitioning(regex=r"(?P<b>x)(?P<a>y)(z)"), ("b", "a")),
        (Partitioning(json_pointers={"x": "/a", "y": "/b"}), ("x", "y")),
        (Partitioning(header="X-Shard-Key"), ("key", "path")),
        (Partitioning(url_path=True), ("key", "path")),
    ],
)
def test_key_fields(partitioning: Partitioning, fields: tuple[str, ...]) -> None:
    assert key_fields(partitioning) == fields


def test_the_key_of_a_request() -> None:
    extractor = RequestKey("us/caf\udce9", "the header X")
    assert extract(extractor, b"r") == ({"key": b"us/caf\xe9", "path": b"us/caf\xe9"}, b"r")
    for missing in (None, ""):
        assert extract(RequestKey(missing, "the header X"), b"r") is Reason.NO_KEY
    assert extract(RequestKey("\ud800", "the header X"), b"r") is Reason.KEY_NOT_TEXT


@pytest.mark.parametrize(
    "extractor",
    [
        by_regex(STORY, "path"),
        by_regex(r"^(?P<path>\w+),(?P<content>.+)$", "path"),
        by_pointer({"f": "/a"}),
        by_pointer({"f": "/a", "g": "/b/c"}),
        by_pointer({"f": "/0"}),
        RequestKey("k", "the URL"),
    ],
    ids=["first space", "regex", "struct", "structs", "walk", "request"],
)
def test_filling_groups_is_one_by_one(extractor: Extractor) -> None:
    records = [
        b"x y",
        b"z,y",
        b"x z",
        b'{"a":1,"b":{"c":2}}',
        b'{"a":1,"b":{"c":2},"d":3}',
        b"[1]",
        b"[1, 2]",
    ]
    good: list[bytes] = []
    expected = defaultdict(list)
    for record in records:
        try:
            token, content = extractor.one(record)
            extractor.values(token)
        except Invalid:
            continue
        good.append(record)
        expected[token].append(content)
    groups: defaultdict[object, list[bytes]] = defaultdict(list)
    extractor.fill(good, groups)
    assert groups == expected
    assert good
