"""Log lines: one JSON object each, or text; with the sink that they are about, whoever writes them."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal

Key = tuple[str, str]
"""Namespace and name of a sink."""

sink: Final[ContextVar[Key | None]] = ContextVar("sink", default=None)
"""The sink that is worked on here."""

_QUIETER: Final = {
    "kopf": logging.CRITICAL,  # it tells the same failure of its watch three times, at length; ``run`` tells it once
    "kubernetes": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
}


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "logger", "message"}`` and, where they apply, ``namespace``, ``name``, ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (key := about(record)) is not None:
            line["namespace"], line["name"] = key
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """For people at a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(sink)s%(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback if there is one."""
        key = about(record)
        record.sink = f"[{key[0]}/{key[1]}] " if key else ""
        return super().format(record)


def about(record: logging.LogRecord) -> Key | None:
    """The sink of a line: given as ``extra={"key": ...}``, else the one that is worked on."""
    key: Key | None = getattr(record, "key", None) or sink.get()
    return key


def configure(form: Literal["json", "text"], level: str) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level != "debug":
        for name, least in _QUIETER.items():
            logging.getLogger(name).setLevel(least)
