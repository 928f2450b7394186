"""The installed command in real processes on ports of its own choice, and what it left in its directories."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from tests.rig.processes import Process, ProcessError

PATIENCE = 60.0
"""Seconds after which something that must come is taken to be stuck."""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "s3sink_ingester", *map(str, arguments)]


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str


def run(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Ended:
    """Run a command to its end."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=PATIENCE, env=env)
    return Ended(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """GET, or POST with a body. An HTTP error is an answer; OSError when there is none."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=10.0) as response:
            return Answer(response.status, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read())


class Serving:
    """`serve`, whose ports are read from the line that announces them. A context manager."""

    def __init__(self, log: Path, *arguments: str | Path) -> None:
        self._log = log
        self._seen = len(self.lines())
        self.process = Process(command("serve", *arguments, "--log-format", "json"), log=log)
        try:
            self.process.wait_until(lambda: self._announced() is not None, "serving", PATIENCE)
        except ProcessError:
            self.process.kill()
            raise
        announced = self._announced() or {}
        self.data_port: int = announced["data_port"]
        self.admin_port: int = announced["admin_port"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop(timeout=20.0)

    @property
    def data(self) -> str:
        return f"http://127.0.0.1:{self.data_port}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    def lines(self) -> list[dict[str, Any]]:
        """Log lines, also those of earlier processes with the same log."""
        if not self._log.exists():
            return []
        text = self._log.read_text()
        return [
            json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.startswith("{")
        ]

    def send(self, *records: str) -> Answer:
        """One request."""
        body = "\n".join(records).encode()
        return ask(self.data, body, {"Content-Type": "application/x-ndjson"})

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = ask(f"{self.admin}/status").json()
        return document

    def wait(self, met: Callable[[], bool], what: str) -> None:
        self.process.wait_until(met, what, PATIENCE)

    def wait_until_ready(self) -> None:
        self.wait(lambda: ask(f"{self.admin}/readyz").status == 200, "ready")

    def drain(self) -> dict[str, Any]:
        """Drain it; the status when nothing is left."""
        ask(f"{self.admin}/drain", b"")
        self.wait(lambda: bool(self.status()["drained"]), "drained")
        return self.status()

    def _announced(self) -> dict[str, Any] | None:
        fresh = self.lines()[self._seen :]
        return next((line for line in fresh if str(line["message"]).startswith("serving:")), None)


def settings_file(directory: Path, **changes: Any) -> Path:
    """Settings on free ports, with the objects and a small buffer in `directory`."""
    settings: dict[str, Any] = {
        "name": "pod-0",
        "destination": {"path": str(directory / "objects")},
        "source": {"host": "127.0.0.1", "port": 0, "maxRequestBytes": "64Ki"},
        "admin": {"host": "127.0.0.1", "port": 0},
        "partitioning": {"regex": r"^(?P<path>\S+) (?P<content>.+)$"},
        "batch": {"maxBytes": "1Mi"},
        "buffer": {"path": str(directory / "buffer"), "size": "256Mi", "segmentBytes": "1Mi"},
    }
    for name, change in changes.items():
        settings[name] = {**settings[name], **change} if isinstance(change, dict) else change
    path = directory / "settings.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def records_in(objects: Path) -> Counter[str]:
    """Every line of every object, and how often it is there."""
    found: Counter[str] = Counter()
    for path in objects.rglob("*.gz"):
        found.update(gzip.decompress(path.read_bytes()).decode().splitlines())
    return found


def eventually(met: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not met():
        if time.monotonic() > deadline:
            raise ProcessError(f"never {what}")
        time.sleep(0.02)


def words(lines: Sequence[str]) -> str:
    """Text without its line breaks and repeated blanks, to look for sentences in it."""
    return " ".join(" ".join(lines).split())
