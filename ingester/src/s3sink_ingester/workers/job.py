"""What a supervisor and a worker say to each other: a job down the worker's standard input, lines up its output."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, dataclass
from enum import Enum
from typing import IO

from s3sink_ingester.config import Settings
from s3sink_ingester.resizing import SettingsFile


class Role(Enum):
    SERVE = "serve"
    EMPTY = "empty"
    """Of a left-over volume: upload what is in it, then end."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that a worker knows. `grace`: seconds that it may take to end; `file`: where all workers' settings came
    from."""

    role: Role
    settings: Settings
    grace: float
    log_level: str
    log_format: str
    file: SettingsFile | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The worker listens on its admin port, and on the data port if it serves."""

    admin_port: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The worker ends, and starting it again wouldn't help: its settings, port or volume can't be used."""

    exit_code: int
    message: str


def send_job(job: Job) -> bytes:
    """As bytes. The other side is the same program, started by this one: pickle is safe here."""
    return pickle.dumps(job)


def receive_job(stream: IO[bytes]) -> Job:
    """Read it; the stream stays open."""
    job = pickle.load(stream)
    if not isinstance(job, Job):
        raise TypeError(f"expected a job, not {type(job).__name__}")
    return job


def report(message: Started | Refused) -> bytes:
    """One line."""
    return json.dumps({"kind": type(message).__name__, **asdict(message)}).encode() + b"\n"


def parse_report(line: bytes) -> Started | Refused | None:
    """None for anything else: a library may print to standard output."""
    try:
        match json.loads(line):
            case {"kind": "Started", "admin_port": int(port)}:
                return Started(port)
            case {"kind": "Refused", "exit_code": int(code), "message": str(message)}:
                return Refused(code, message)
    except ValueError:
        pass
    return None
