"""Escaping: readable, safe, and reversible for any bytes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.records import escape, unescape


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("LAX", "LAX"),
        ("a b+c,d;e@f&g~h!(i)$j", "a b+c,d;e@f&g~h!(i)$j"),
        ("Zürich 東京 🛩", "Zürich 東京 🛩"),
        ("50%", "50%25"),
        ("%2F", "%252F"),
        ("a/b", "a%2Fb"),
        ("a=b:c", "a%3Db%3Ac"),
        ("{time:%Y}", "%7Btime%3A%25Y%7D"),
        ("\"#'*?\\[]^", "%22%23%27%2A%3F%5C%5B%5D%5E"),
        ("\0\t\n\r\x1f\x7f", "%00%09%0A%0D%1F%7F"),
        ("\x80\u2028\uffff", "%C2%80%E2%80%A8%EF%BF%BF"),
        (".", "%2E"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("_hidden", "%5Fhidden"),
        ("v1.2_3", "v1.2_3"),
    ],
)
def test_a_value_in_a_segment(value: str, text: str) -> None:
    assert escape(value) == text
    assert unescape(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (".", "%2E"),
        ("..", "%2E%2E"),
        (".5", ".5"),
        ("_x", "_x"),
        ("a/b", "a%2Fb"),
    ],
)
def test_a_value_behind_literal_text(value: str, text: str) -> None:
    assert escape(value, leading=False) == text
    assert unescape(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("us/west/LAX", "us/west/LAX"),
        ("customer=7/dt=2026-11-24T10:00", "customer=7/dt=2026-11-24T10:00"),
        ("/", "%2F"),
        ("//", "%2F%2F"),
        ("/a", "%2Fa"),
        ("a/", "a%2F"),
        ("a//b", "a/%2Fb"),
        ("a///b/", "a/%2F%2Fb%2F"),
        ("../../etc", "%2E./%2E./etc"),
        ("a/./b", "a/%2E/b"),
        ("a/_tmp", "a/%5Ftmp"),
        ("a/b%2Fc", "a/b%252Fc"),
    ],
)
def test_a_path(value: str, text: str) -> None:
    assert escape(value, path=True) == text
    assert unescape(text) == value


PIECES = st.sampled_from(["/", "//", ".", "..", "_", "%", "=", "{", "é", "%2F"]) | st.text(
    min_size=1, max_size=3
)
VALUES = st.lists(PIECES, min_size=1, max_size=6).map("".join)


@given(VALUES, st.booleans(), st.booleans())
def test_any_value_comes_back(value: str, path: bool, leading: bool) -> None:
    assert unescape(escape(value, path=path, leading=leading)) == value


@given(VALUES, st.booleans())
def test_no_unsafe_text(value: str, path: bool) -> None:
    text = escape(value, path=path)
    for segment in text.split("/") if path else [text]:
        assert segment
        assert segment[0] not in "._/"
        assert not re.search(r"""[\x00-\x1f\x7f-\x9f\u2028\u2029"#'*/?\\{}\[\]^]""", segment)
        assert all(re.match("[0-9A-F]{2}", part) for part in segment.split("%")[1:])
