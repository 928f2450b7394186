"""Structured logs on standard error: JSON lines for machines, short lines for people.

Fields come from ``extra={...}`` of the standard library's calls. What must not get out is stopped here, whatever
the caller does: bytes are shown as their length (they may be payload), fields that are called like a secret as
``[hidden]``, and the loggers that print requests with their signatures stay at INFO at any level.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("auto", "json", "text")

LONGEST_TEXT: Final = 2000  # characters of one field
_WIRE_LOGGERS: Final = ("aiohttp", "asyncio", "boto3", "botocore", "s3transfer", "urllib3")
_SECRET: Final = re.compile(
    r"secret|password|token|credential|authorization|access_?key|api_?key", re.IGNORECASE
)
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str = "info", log_format: str = "auto", stream: TextIO | None = None) -> None:
    """Sends every logger of this process to ``stream`` (default: standard error), replacing what was set before.

    ``level``: one of LEVELS. ``log_format``: one of FORMATS; ``auto`` is text on a terminal, else JSON.
    Warnings of Python's are logged too.
    """
    out = sys.stderr if stream is None else stream
    for_people = out.isatty() if log_format == "auto" else log_format == "text"
    handler = logging.StreamHandler(out)
    handler.setFormatter(TextFormatter() if for_people else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _WIRE_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, the extra fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        for name, value in _extra(record).items():
            line[f"extra_{name}" if name in line else name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, ensure_ascii=False, default=_shown)


class TextFormatter(logging.Formatter):
    """``05:30:00.123 WARNING store: message name=value``; control characters are escaped, tracebacks follow."""

    def format(self, record: logging.LogRecord) -> str:
        time = _time(record)[11:-1]
        logger = record.name.removeprefix("s3sink_ingester.")
        fields = "".join(f" {name}={_word(value)}" for name, value in _extra(record).items())
        line = f"{time} {record.levelname:7} {logger}: {_printable(_message(record))}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _message(record: logging.LogRecord) -> str:
    """The message with its arguments shown as extra fields are."""
    args = record.args
    if not args:
        return _short(record.getMessage())
    shown = _plain(args) if isinstance(args, Mapping) else tuple(_plain(value) for value in args)
    return _short(logging.makeLogRecord({**vars(record), "args": shown}).getMessage())


def _extra(record: logging.LogRecord) -> dict[str, object]:
    given = ((name, value) for name, value in vars(record).items() if name not in _STANDARD)
    return {name: "[hidden]" if _SECRET.search(name) else _plain(value) for name, value in given}


def _plain(value: object) -> object:
    """What may be shown of a value, as JSON has it."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[{len(value)} bytes]"
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {
            str(name): "[hidden]" if _SECRET.search(str(name)) else _plain(v) for name, v in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value


def _shown(value: object) -> str:
    return _short(str(value))


def _word(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_shown)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text.isprintable() or not text else text


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… [{len(text)} characters]"


def _time(record: logging.LogRecord) -> str:
    return (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
