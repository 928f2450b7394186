"""Prefix templates: what is refused, what is rendered, and that no two keys meet."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from s3sink_ingester.records import check_error_prefix, check_prefix, render_prefix, unescape
from s3sink_ingester.records.partition import Invalid, Reason
from s3sink_ingester.records.templates import TemplateError, parse

NOVEMBER = 1795514400.0  # 2026-11-24T10:00:00Z


@pytest.mark.parametrize(
    ("template", "values", "name"),
    [
        ("{path}/", {"path": b"us/LAX"}, "us/LAX/"),
        ("all/", {}, "all/"),
        (
            "customer={customer}/dt={time:%Y-%m-%d}/",
            {"customer": b"a/b"},
            "customer=a%2Fb/dt={time:%Y-%m-%d}/",
        ),
        ("{a}/{b}/", {"a": b"x/y", "b": b"z"}, "x%2Fy/z/"),
        ("r={a}/{b}/", {"a": b"x/y", "b": b"z/w"}, "r=x%2Fy/z/w/"),
        ("{a}/{a}/", {"a": b"x/y"}, "x%2Fy/x%2Fy/"),
        ("{time:%Y/}{a}/", {"a": b"x/y"}, "{time:%Y/}x/y/"),
        ("{time:%Y}{a}/", {"a": b"x/y"}, "{time:%Y}x%2Fy/"),
        (".{a}/", {"a": b"."}, ".%2E/"),
        ("café {a}/", {"a": b"_x"}, "café _x/"),
    ],
)
def test_rendering(template: str, values: dict[str, bytes], name: str) -> None:
    assert parse(template).render(values) == name


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("LAX/", "LAX/"),
        ("dt={time:%Y-%m-%d}/", "dt=2026-11-24/"),
        ("errors/overflow/{time:%Y/%m/%d/%H}/", "errors/overflow/2026/11/24/10/"),
        ("{time:%y%j}/{time:%G-W%V-%u%w}/{time:%H%M%S}/", "26328/2026-W48-22/100000/"),
        ("{time:%Y é %m}/", "2026 é 11/"),
    ],
)
def test_time(name: str, prefix: str) -> None:
    assert render_prefix(name, NOVEMBER) == prefix


def test_time_is_utc_and_takes_fractions() -> None:
    assert render_prefix("{time:%Y-%m-%dT%H:%M:%S}/", 0.9) == "1970-01-01T00:00:00/"
    assert render_prefix("{time:%Y-%m-%d}/", 1709164800.0) == "2024-02-29/"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("", "is empty"),
        ("{path}", "must end in '/'"),
        ("/{path}/", "must not begin with '/'"),
        ("a//{path}/", "empty segment"),
        ("a/../", "'.' and '..'"),
        ("{path/", "a brace has no partner"),
        ("path}/", "a brace has no partner"),
        ("{{path}}/", "a brace has no partner"),
        ("{}/", "{} is not a field"),
        ("{pa th}/", "{pa th} is not a field"),
        ("{7}/", "{7} is not a field"),
        ("{date:%Y}/", "{date:%Y} is not a field"),
        ("{time}/", "{time} needs a format"),
        ("{time:}/", "{time} needs a format"),
        ("{time:%B}/", "%B can't be used"),
        ("{time:%-d}/", "%- can't be used"),
        ("{time:%%}/", "%% can't be used"),
        ("{time:%Y%}/", "% can't be used"),
        ("{time:%Y?}/", "'?' can't be used in {time:...}"),
        ("100%/", "'%' can't be used"),
        ("a\n/", "'\\n' can't be used"),
        ("\ud800/", "can't be used"),
        ("{a}-{b}/", "two fields in one segment"),
        ("{a}{time:%Y}{b}/", "two fields in one segment"),
        ("x" * 128 + "/", "is too long"),
        ("abc/" * 104, "is too long"),
    ],
)
def test_templates_that_are_refused(template: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(problem)):
        parse(template)


def test_every_problem_is_said_at_once() -> None:
    assert len(check_prefix("/a//{b}", ["b"])) == 3
    assert len(check_prefix("{time:%B}/{}/?", [])) == 3


@pytest.mark.parametrize(
    ("prefix", "fields", "problems"),
    [
        ("{path}/", ["path"], []),
        ("all/", ["path"], []),
        ("{customer}/", ["path", "host"], ["{customer} is not a field of the key, which has {path}, {host}"]),
        ("{customer}/", [], ["{customer} is not a field of the key, which has no field"]),
    ],
)
def test_fields_of_a_prefix(prefix: str, fields: list[str], problems: list[str]) -> None:
    assert check_prefix(prefix, fields) == problems


@pytest.mark.parametrize(
    ("error_prefix", "prefix", "problem"),
    [
        ("errors/{time:%Y}/", "{path}/", "needs {reason}"),
        ("errors/{reason}/{path}/", "{path}/", "{path} is not known here"),
        ("{reason}/", "{path}/", "must begin with text"),
        ("errors/{reason}/", "errors/data/", "object.prefix begins with 'errors/' too"),
        ("e{reason}/", "events/{path}/", "object.prefix begins with 'e' too"),
        ("errors/{reason}", "{path}/", "must end in '/'"),
    ],
)
def test_error_prefixes_that_are_refused(error_prefix: str, prefix: str, problem: str) -> None:
    assert problem in "; ".join(check_error_prefix(error_prefix, prefix))


def test_error_prefixes_that_are_fine() -> None:
    assert check_error_prefix("errors/{reason}/{time:%Y/%m/%d/%H}/", "{path}/") == []
    assert check_error_prefix("errors/{reason}/", "errors{path}/") == []
    assert check_error_prefix("bad-{reason}/", "{time:%Y}/{path}/") == []


@pytest.mark.parametrize(
    ("template", "reserved", "value", "name"),
    [
        ("{path}/", "errors/", b"errors", "%65rrors/"),
        ("{path}/", "errors/", b"errors/no-key/2026", "%65rrors/no-key/2026/"),
        ("{path}/", "errors/", b"errors2", "errors2/"),
        ("{path}/", "errors/", b"error/s", "error/s/"),
        ("{path}/", "é/", "é".encode(), "%C3%A9/"),
        ("err{path}/", "errors/", b"ors", "err%6Frs/"),
        ("{path}rs/", "errors/", b"erro", "%65rrors/"),
        ("{time:%Y}/{path}/", "errors/", b"errors", "{time:%Y}/errors/"),
    ],
)
def test_data_stays_out_of_the_errors(template: str, reserved: str, value: bytes, name: str) -> None:
    rendered = parse(template, reserved).render({"path": value})
    assert rendered == name
    assert value.decode() in unescape(rendered)


@pytest.mark.parametrize(
    ("template", "value", "fits"),
    [
        ("{path}/", b"x" * 255, True),
        ("{path}/", b"x" * 256, False),
        ("{path}/", b"/".join([b"x" * 205] * 4), True),
        ("{path}/", b"/".join([b"x" * 204] * 3 + [b"x" * 208]), True),
        ("{path}/", b"/".join([b"x" * 204] * 3 + [b"x" * 209]), False),
        ("{path}/", "é".encode() * 127, True),
        ("{path}/", "é".encode() * 128, False),
        ("{path}/", b":" * 255, True),
        ("x={path}/", b":" * 84, True),
        ("x={path}/", b":" * 85, False),
        ("{time:%Y}{path}/", b"x" * 251, True),
        ("{time:%Y}{path}/", b"x" * 252, False),
    ],
)
def test_length(template: str, value: bytes, fits: bool) -> None:
    if fits:
        prefix = render_prefix(parse(template).render({"path": value}), NOVEMBER).encode()
        assert len(prefix) + 200 <= 1024
        assert max(map(len, prefix.split(b"/"))) <= 255
    else:
        with pytest.raises(Invalid, match="too long") as caught:
            parse(template).render({"path": value})
        assert caught.value.reason is Reason.KEY_TOO_LONG


def test_a_key_that_is_not_text() -> None:
    for value in (b"caf\xe9", b"\xed\xa0\x80", b"\xc0\xaf"):
        with pytest.raises(Invalid, match="not UTF-8") as caught:
            parse("{path}/").render({"path": value})
        assert caught.value.reason is Reason.KEY_NOT_TEXT


PIECES = st.sampled_from(
    [
        b"/",
        b"//",
        b".",
        b"..",
        b"_",
        b"%",
        b"%2F",
        b"=",
        b"{",
        b"x",
        b"y",
        b"e",
        b"errors/",
        "é".encode(),
    ]
)
VALUES = st.lists(PIECES, min_size=1, max_size=5).map(b"".join)
KEYS = st.tuples(VALUES, VALUES)
TEMPLATES = st.sampled_from(
    [
        "{a}/{b}/",
        "{b}/{a}/",
        "a={a}/b={b}/",
        "a={a}/{b}/",
        "{a}/b={b}/",
        "{a}x/{b}/",
        ".{a}/{b}./",
        "{time:%Y/}{a}/{b}{time:%m}/",
        "{a}/{b}/{a}/",
        "{b}/x/{a}y/",
    ]
)


@given(TEMPLATES, KEYS, KEYS)
@example("{a}/{b}/", (b"x/y", b"z"), (b"x", b"y/z"))
@example("{a}/b={b}/", (b"x/b=y", b"z"), (b"x", b"y/b=z"))
def test_different_keys_have_different_prefixes(
    template: str, one: tuple[bytes, bytes], other: tuple[bytes, bytes]
) -> None:
    parsed = parse(template, "errors/")
    names = [parsed.render({"a": a, "b": b}) for a, b in (one, other)]
    assert (names[0] == names[1]) == (one == other)
    prefixes = [render_prefix(name, NOVEMBER) for name in names]
    assert (prefixes[0] == prefixes[1]) == (one == other)


@given(TEMPLATES, KEYS)
def test_prefixes_are_safe(template: str, key: tuple[bytes, bytes]) -> None:
    name = parse(template, "errors/").render({"a": key[0], "b": key[1]})
    assert not re.search("[{}]", re.sub(r"\{time:%[Ym]/?\}", "", name))
    prefix = render_prefix(name, NOVEMBER)
    assert not prefix.startswith("errors/")
    *segments, last = prefix.split("/")
    assert last == ""
    assert not {"", ".", ".."} & set(segments)
