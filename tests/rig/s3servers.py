"""Real S3 servers on loopback: moto (in memory, written in Python) and versitygw (on a directory, fast)."""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from tests.rig.processes import Process, free_port, listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "loopback", "AWS_SECRET_ACCESS_KEY": "loopback-secret"}


@dataclass(frozen=True)
class S3Server:
    """A running server, reachable at `endpoint` with CREDENTIALS."""

    name: str
    endpoint: str
    process: Process

    def client(self) -> S3Client:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )


@contextmanager
def moto(directory: Path, core: int | None = None) -> Iterator[S3Server]:
    """moto's server on a port of its own choice; its log goes to `directory`."""
    log = directory / "moto.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with Process(command, log=log, core=core) as process:
        process.wait_until(lambda: _moto_address(process) is not None, "listening")
        yield S3Server("moto", _moto_address(process) or "", process)


@contextmanager
def versitygw(
    binary: Path, directory: Path, core: int | None = None, host: str = "127.0.0.1"
) -> Iterator[S3Server]:
    """versitygw over `directory`/s3; metadata beside it, as not every filesystem has extended attributes."""
    data, metadata = directory / "s3", directory / "metadata"
    data.mkdir(exist_ok=True)
    metadata.mkdir(exist_ok=True)
    port = free_port()
    address = f"{host}:{port}"
    env = {
        "ROOT_ACCESS_KEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "ROOT_SECRET_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }
    command = [str(binary), "--port", address, "--quiet", "posix", "--sidecar", str(metadata), str(data)]
    with Process(command, log=directory / "versitygw.log", env=env, core=core) as process:
        process.wait_until(lambda: listening(port, host), "listening")
        yield S3Server("versitygw", f"http://{address}", process)


def find_versitygw() -> Path | None:
    """The binary in the folder of test tools that the Makefile names, or on PATH."""
    tools = os.environ.get("S3SINK_TOOLS")
    if tools and (binary := Path(tools, "versitygw")).is_file():
        return binary
    found = shutil.which("versitygw")
    return Path(found) if found else None


def _moto_address(process: Process) -> str | None:
    found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", process.output())
    return found[1] if found else None
