"""A real ingester process, driven as an operator would: a settings file, signals and the admin port."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.rig.processes import Process, ProcessError, free_port
from tests.rig.s3servers import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Settings = dict[str, Any]


@dataclass(frozen=True)
class Status:
    """What GET /status says, as far as the tests need it. Sizes in bytes."""

    accepted_records: int
    uploaded_records: int
    buffer_bytes: int
    open_partitions: int
    drained: bool
    raw: Mapping[str, Any]


def story_settings(directory: Path, destination: Settings) -> Settings:
    """The settings of the 2018 story: key and content by a regex, objects of an hour or 25 MiB, gzip.

    The buffer lies under `directory`; ports are free ones.
    """
    return {
        "name": "ingester-0",
        "destination": destination,
        "source": {"port": free_port()},
        "admin": {"port": free_port()},
        "partitioning": {"regex": r"^(?P<path>\S+) (?P<content>.+)$"},
        "batch": {"window": "1h", "maxBytes": "25Mi"},
        "object": {"prefix": "{path}/", "compression": "gzip"},
        "buffer": {"path": str(directory / "buffer")},
    }


def s3_destination(endpoint: str, bucket: str) -> Settings:
    return {"bucket": bucket, "region": "us-east-1", "endpoint": endpoint, "addressingStyle": "Path"}


class Ingester:
    """`s3sink-ingester serve` with a settings file; may be killed and started again on the same volume."""

    def __init__(
        self,
        directory: Path,
        settings: Settings,
        *,
        core: int | None = None,
        source: Path | None = None,
        credentials: Mapping[str, str] = CREDENTIALS,
    ) -> None:
        """Write the settings file into `directory`. `source`: run the package found there instead. `credentials`: in
        its environment."""
        self.settings_file = directory / "settings.yaml"
        self.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))
        self.data_url = f"http://127.0.0.1:{settings['source']['port']}"
        self.admin_url = f"http://127.0.0.1:{settings['admin']['port']}"
        self.log = directory / "ingester.log"
        self._core = core
        self._env = {**credentials, **({"PYTHONPATH": str(source)} if source else {})}
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        if self._process is None:
            raise ProcessError("the ingester was not started")
        return self._process

    def start(self, timeout: float = 120.0) -> float:
        """Start it and wait until it is ready (recovery included); returns the seconds that took."""
        started = time.monotonic()
        command = [sys.executable, "-m", "s3sink_ingester", "serve", "--config", str(self.settings_file)]
        self._process = Process(command, log=self.log, env=self._env, core=self._core)
        self._process.wait_until(self.ready, "ready", timeout)
        return time.monotonic() - started

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.admin_url}/readyz", timeout=5.0) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def status(self) -> Status:
        with urllib.request.urlopen(f"{self.admin_url}/status", timeout=30.0) as response:
            raw: Mapping[str, Any] = json.load(response)
        return Status(
            accepted_records=raw["acceptedRecords"],
            uploaded_records=raw["uploadedRecords"],
            buffer_bytes=raw["bufferBytes"],
            open_partitions=raw["openPartitions"],
            drained=raw["drained"],
            raw=raw,
        )

    def drain(self, timeout: float = 300.0, progress: Callable[[Status], None] = lambda _: None) -> Status:
        """Ask it to upload everything and wait until it says that nothing is left. Raises ProcessError."""
        request = urllib.request.Request(f"{self.admin_url}/drain", method="POST")
        urllib.request.urlopen(request, timeout=30.0).close()
        deadline = time.monotonic() + timeout
        while not (status := self.status()).drained:
            progress(status)
            if time.monotonic() > deadline:
                raise ProcessError(f"the ingester has not drained in {timeout:.0f} s: {dict(status.raw)}")
            time.sleep(0.05)
        progress(status)
        return status

    def stop(self) -> int:
        """SIGTERM, then wait; returns the exit code."""
        return self.process.stop()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    def stop_if_running(self) -> None:
        if self._process is not None:
            self._process.stop(timeout=5.0)

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)
