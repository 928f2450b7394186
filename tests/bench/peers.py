"""fluentd and Fluent Bit, where they are installed, with the story's settings (the templates in peers/)."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.loads import Form
from tests.bench.servers import BUCKET, DRAIN_TIMEOUT, Bench, Contestant, Server, Store
from tests.rig.processes import Process, free_port, listening
from tests.rig.s3servers import CREDENTIALS, REGION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

TEMPLATES = Path(__file__).with_name("peers")
# The story's configuration takes a body as one message, so that a batch has one key and is stored as it is.
FLUENTD = Form("/events", "text/plain", "text/plain", b"\n".join, mixes_keys=False)


def _json_records(lines: Sequence[bytes]) -> bytes:
    """Fluent Bit gets the key as a field of its own, which is far cheaper for it than to split a message."""
    pairs = (line.decode().split(" ", 1) for line in lines)
    return json.dumps([{"path": key, "content": content} for key, content in pairs]).encode()


FLUENT_BIT = Form("/events", "application/json", "application/json", _json_records, mixes_keys=True)


class Peer:
    """A server that is started as `command` with its filled-in template."""

    is_peer = True

    def __init__(self, name: str, command: list[str], template: Path, form: Form) -> None:
        self.name = name
        self.form = form
        self._command = command
        self._template = template

    def launch(self, bench: Bench, directory: Path, store: Store, stack: ExitStack) -> Server:
        port = free_port()
        config = directory / self._template.name
        values = {
            "PORT": str(port),
            "DIRECTORY": str(directory),
            "BUCKET": BUCKET,
            "REGION": REGION,
            "ENDPOINT": store.endpoint,
            "CHUNK_BYTES": str(bench.chunk_bytes),
            "ACCESS_KEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "SECRET_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        }
        filled = re.sub(r"@([A-Z_]+)@", lambda name: values[name[1]], self._template.read_text())
        config.write_text(filled)
        process = Process(
            [*self._command, str(config)],
            log=directory / f"{self.name}.log",
            env=CREDENTIALS,
            core=bench.server_core,
            cwd=directory,
        )
        stack.callback(process.stop)
        process.wait_until(lambda: listening(port), "listening")
        return RunningPeer(process, port)


class RunningPeer:
    """A peer that listens."""

    def __init__(self, process: Process, port: int) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def accepted(self) -> int | None:
        return None

    def finish(self) -> None:
        """Both upload what they hold when they are terminated."""
        self._process.stop(DRAIN_TIMEOUT)


def installed() -> list[Contestant]:
    """The peers that are on PATH."""
    found: list[Contestant] = []
    if fluentd := shutil.which("fluentd"):
        found.append(Peer("fluentd", [fluentd, "--config"], TEMPLATES / "fluentd.conf", FLUENTD))
    if fluent_bit := shutil.which("fluent-bit"):
        found.append(Peer("fluent-bit", [fluent_bit, "--config"], TEMPLATES / "fluent-bit.yaml", FLUENT_BIT))
    return found
