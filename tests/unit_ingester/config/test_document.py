"""YAML as settings use it: plain values, duplicates kept in sight, errors with line and column."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.config.document import LONGEST_TEXT, parse
from s3sink_ingester.errors import ConfigError, Problem

VALUES = [
    ("", None),
    ("# only a comment\n", None),
    ("{}", {}),
    ("a: text", {"a": "text"}),
    ("a: '12'\nb: \"true\"", {"a": "12", "b": "true"}),
    ("a: 12\nb: -3\nc: 1.5", {"a": 12, "b": -3, "c": 1.5}),
    ("a: true\nb: False", {"a": True, "b": False}),
    ("a:\nb: ~\nc: null", {"a": None, "b": None, "c": None}),
    # what YAML 1.1 makes booleans, octal, sexagesimal and dates of
    (
        "a: yes\nb: on\nc: 010\nd: 1:30\ne: 2026-11-24",
        {"a": "yes", "b": "on", "c": "010", "d": "1:30", "e": "2026-11-24"},
    ),
    ("a: 1_000\nb: 0x10\nc: 1e3", {"a": "1_000", "b": "0x10", "c": "1e3"}),
    ("a: " + "9" * 5000, {"a": "9" * 5000}),
    ("1: a\ntrue: b", {"1": "a", "true": "b"}),
    ("a: [1, {b: c}]", {"a": [1, {"b": "c"}]}),
    ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
    ('{"a": {"b": "as JSON"}}', {"a": {"b": "as JSON"}}),
    ("--- \na: 1\n...\n", {"a": 1}),
]

ERRORS = [
    ("a: [1\n", "line 2, column 1: expected ',' or ']', but got '<stream end>'"),
    (
        "a: b: c",
        "line 1, column 5: mapping values are not allowed here; put text that holds ': ' in single quotes",
    ),
    (
        "object:\n  prefix: {path}/\n  level: 1",
        "line 2, column 17: expected <block end>, but found '<scalar>'; put the value in single quotes:"
        " prefix: '{path}/'",
    ),
    (
        "a:\n\tb: 1",
        r"line 2, column 1: found character '\t' that cannot start any token; indent with spaces, not tabs",
    ),
    (
        "a: @x",
        "line 1, column 4: found character '@' that cannot start any token; put the value in single quotes: a: '@x'",
    ),
    (
        "a: %H",
        "line 1, column 4: found character '%' that cannot start any token; put the value in single quotes: a: '%H'",
    ),
    ("a: 'x\n", "line 2, column 1: found unexpected end of stream"),
    ("a: 1\n---\nb: 2", "line 2: a second YAML document begins; settings are one document"),
    (
        "a: &x 1\nb: *x",
        "line 1, column 4: '&' and '*' begin YAML anchors and aliases, which settings can't use;"
        " put text that begins with them in quotes; put the value in single quotes: a: '&x 1'",
    ),
    (
        "a: !!python/object:os.system x",
        "line 1, column 4: '!' begins a YAML tag, which settings can't use; put text that begins with it in quotes;"
        " put the value in single quotes: a: '!!python/object:os.system x'",
    ),
    ("a: 1\nb: \x07", "line 2, column 4: a character that YAML doesn't allow"),
    (r'a: "\U00110000"', r"text in double quotes has a \U escape beyond \U0010ffff"),
    (r'a: "\UFFFFFFFF"', r"text in double quotes has a \U escape beyond \U0010ffff"),
    ("[" * 10_000, "nested too deeply to be a settings file"),
    ("a" * (LONGEST_TEXT + 1), f"longer than {LONGEST_TEXT} characters: not a settings file"),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_values(text: str, value: object) -> None:
    assert parse(text) == (value, [])


@pytest.mark.parametrize(("text", "message"), ERRORS)
def test_an_error_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.problems == (Problem("", message),)


def test_every_duplicate_is_told_and_the_first_one_counts() -> None:
    value, problems = parse("a: 1\nb: {c: 1, d: 2}\na: 2\nb:\n  c: 3\ne: [{f: 1,\n f: 2}]")
    assert value == {"a": 1, "b": {"c": 1, "d": 2}, "e": [{"f": 1}]}
    assert problems == [
        Problem("a", "written twice, on line 1 and line 3; keep one"),
        Problem("b", "written twice, on line 2 and line 4; keep one"),
        Problem("e[0].f", "written twice, on line 6 and line 7; keep one"),
    ]


def test_a_name_that_is_not_text_is_told() -> None:
    assert parse("a:\n  ? [x]\n  : 1") == ({"a": {}}, [Problem("a", "line 2: a field's name must be text")])


@given(st.text(max_size=200) | st.text(alphabet="{}[]:,-?&*!|>'\"%@` \n\tab1#", max_size=60))
def test_any_text_is_a_value_or_a_config_error(text: str) -> None:
    told = ""
    try:
        parse(text)
    except ConfigError as error:
        told = str(error)
    assert told.isprintable()
