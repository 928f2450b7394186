"""Log lines name the sink that they are about."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from s3sink_operator.runtime import logs


def record(message: str, *arguments: Any, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("s3sink_operator.x", logging.WARNING, "x.py", 1, message, arguments, None)
    made.created = 1.5
    for key, value in extra.items():
        setattr(made, key, value)
    return made


def line(made: logging.LogRecord) -> dict[str, Any]:
    text = logs.JsonFormatter().format(made)
    assert "\n" not in text
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def test_a_line_is_one_json_object() -> None:
    assert line(record("no %s: %d", "space\nleft", 3)) == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "warning",
        "logger": "s3sink_operator.x",
        "message": "no space\nleft: 3",
    }


def test_whoever_writes_it_the_sink_that_is_worked_on_is_named() -> None:
    token = logs.sink.set(("team", "events"))
    try:
        made = line(record("m"))
        text = logs.TextFormatter().format(record("m"))
        other = line(record("m", key=("other", "one")))
    finally:
        logs.sink.reset(token)
    assert (made["namespace"], made["name"]) == ("team", "events")
    assert "[team/events] m" in text
    assert (other["namespace"], other["name"]) == ("other", "one")


def test_an_error_has_its_traceback_in_the_line() -> None:
    made = record("failed")
    try:
        raise ValueError("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    assert "ValueError: why" in line(made)["error"]
