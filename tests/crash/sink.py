"""One volume on a real disk, one ingester process at a time, an object store, and the ledger that judges them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml
from s3sink_ingester import cli, volume
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.inspection import Report, look
from s3sink_ingester.workers import layout

from tests.crash import entry
from tests.crash.entry import OFFSET, Plan
from tests.crash.ledger import Fate, Ledger, Verdict
from tests.crash.points import Fault
from tests.rig.forks import Fork, preload
from tests.rig.processes import Process, ProcessError
from tests.rig.s3servers import CREDENTIALS

Settings = dict[str, Any]
ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 60.0
"""Seconds after which something that must come is taken to be stuck."""


preload("tests.crash.entry", "s3sink_ingester.cli", "s3sink_ingester.serving", "s3sink_ingester.objects.s3")


def tiny_settings(directory: Path, **groups: Settings) -> Settings:
    """Limits so small that rotation, checkpoint, seal and upload happen all the time; ``groups`` add to them."""
    settings: Settings = {
        "name": "pod-0",
        "destination": {"path": str(directory / "bucket")},
        "source": {"host": "127.0.0.1", "port": 0, "maxRequestBytes": "32Ki", "maxRecordBytes": "16Ki"},
        "admin": {"host": "127.0.0.1", "port": 0},
        "partitioning": {"regex": r"^(?P<path>\S+) (?P<content>.+)$"},
        "batch": {"window": "2s", "maxBytes": "4Ki"},
        "object": {"prefix": "{path}/", "compression": "gzip"},
        "buffer": {
            "path": str(directory / "buffer"),
            "size": "256Mi",
            "segmentBytes": "64Ki",
            "memoryBytes": "64Ki",
        },
    }
    for name, group in groups.items():
        settings[name] = group if name == "destination" else {**settings.get(name, {}), **group}
    return settings


class Sink:
    """See the module. The process may end itself, be killed, stopped and started again."""

    def __init__(
        self, directory: Path, settings: Settings | None = None, ledger: Ledger | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.settings = settings or tiny_settings(directory)
        self.ledger = ledger or Ledger()
        self.plan = Plan(str(directory / "settings.yaml"))
        self.reader: Callable[[], Iterable[tuple[str, bytes]]] = self._files
        """Lists the bucket, where it isn't a directory."""
        self._process: Fork | Process | None = None
        Path(self.plan.settings).write_text(yaml.safe_dump(self.settings))

    # ---- the process

    @property
    def buffer(self) -> Path:
        """The volume of the only worker."""
        return Path(self.settings["buffer"]["path"]) / layout.worker_name(0)

    @property
    def process(self) -> Fork | Process:
        """The latest one. Raises ProcessError if none was started."""
        if self._process is None:
            raise ProcessError("no process was started")
        return self._process

    def start(self, fault: Fault | None = None, **changes: Any) -> Fork:
        """Start a process; ``changes`` are fields of its Plan."""
        (self.directory / "port").unlink(missing_ok=True)
        (self.directory / "report.json").unlink(missing_ok=True)
        plan = replace(self.plan, fault=fault, **changes)
        env = {**CREDENTIALS, "AWS_EC2_METADATA_DISABLED": "true"}
        self._process = started = Fork(entry.main, plan, log=self.directory / "log", env=env)
        return started

    def start_command(self, *arguments: str) -> Fork:
        """Start the product's own command line on the settings file instead: ``serve``, ``drain``."""
        command = [*arguments, "--config", self.plan.settings]
        self._process = started = Fork(cli.run, command, log=self.directory / "log", env=CREDENTIALS)
        return started

    def adopt(self, process: Process) -> None:
        """Take over a process that somebody else started with this volume's plan, and will end."""
        self._process = process

    async def listening(self) -> int | None:
        """The data port, once it is open; None if the process ends first."""
        path = self.directory / "port"
        for _ in range(int(PATIENCE / 0.002)):
            if path.exists():
                return int(path.read_text())
            if not self.process.alive:
                return None
            await asyncio.sleep(0.002)
        raise ProcessError(f"not listening\n{self.log_tail()}")

    async def port(self) -> int:
        """The data port of a process that has to come up."""
        port = await self.listening()
        if port is None:
            raise ProcessError(f"ended at its start\n{self.log_tail()}")
        return port

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    async def status(self) -> dict[str, Any]:
        """What the process says of itself when its volume is open; it retries its uploads then. Raises ProcessError."""
        await self.port()
        path = self.directory / "status.json"
        for _ in range(int(PATIENCE / 0.01)):
            path.unlink(missing_ok=True)
            self.signal(signal.SIGHUP)
            while self.process.alive and not path.exists():  # noqa: ASYNC110  # another process writes it
                await asyncio.sleep(0.01)
            if not self.process.alive:
                break
            status: dict[str, Any] = json.loads(path.read_text())
            if status["store"] is not None:
                return status
        raise ProcessError(f"no status\n{self.log_tail()}")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    async def exited(self, seconds: float = PATIENCE) -> int:
        """The exit code of a process that ends by itself. Raises ProcessError when it doesn't, after killing it."""
        process = self.process
        for _ in range(int(seconds / 0.005)):
            if not process.alive:
                return process.stop()
            await asyncio.sleep(0.005)
        process.kill()
        raise ProcessError(f"still running after {seconds} s\n{self.log_tail()}")

    async def drain(self) -> dict[str, Any]:
        """Recover the volume and empty it, in a process of its own; its last report. Raises ProcessError."""
        self.start(until_drained=True)
        code = await self.exited()
        if code != 0:
            raise ProcessError(f"draining ended with {code}\n{self.log_tail()}")
        report: dict[str, Any] = json.loads((self.directory / "report.json").read_text())
        return report

    def undrain(self) -> None:
        """Take back the mark that ``drain`` left, so that the volume can be used on."""
        (self.buffer / "drain").unlink(missing_ok=True)

    def close(self) -> None:
        """End what may still run."""
        if self._process is not None:
            self._process.kill()

    def log_tail(self, lines: int = 25) -> str:
        """The end of the process's log."""
        return "\n".join((self.directory / "log").read_text(errors="replace").splitlines()[-lines:])

    def inspected(self) -> Report | None:
        """What ``inspect`` says of the volume as it lies there, which has to add up; None before it is a store."""
        disk = RealDisk(str(self.buffer))
        if disk.size(volume.IDENTITY) is None:
            return None
        report = look(disk)
        assert report.balanced, report
        assert report.accepted_records >= self.ledger.acked, (report, self.ledger.acked)
        return report

    def left_over(self) -> list[str]:
        """Files of an emptied volume that belong to nothing."""
        found = [path.relative_to(self.buffer) for path in self.buffer.rglob("*") if path.is_file()]
        return sorted(
            path.as_posix()
            for path in found
            if path.suffix in (".tmp", ".mpu") or path.parts[0] in ("chunks", "objects", "quarantine")
        )

    # ---- the clock

    def set_clock(self, offset: float) -> None:
        """The wall clock of processes started from now on, and of the running one, is so many seconds ahead."""
        path = self.directory / "clock"
        if not path.exists():
            path.write_bytes(OFFSET.pack(0.0))
            self.plan = replace(self.plan, clock=str(path))
        with path.open("r+b") as file:
            file.write(OFFSET.pack(offset))

    # ---- the objects

    def block_uploads(self) -> None:
        """Let every put fail, with an error that passes: a link to itself stands where the bucket should be."""
        bucket = Path(self.settings["destination"]["path"])
        if bucket.exists():
            bucket.rename(bucket.with_suffix(".away"))
        bucket.symlink_to(bucket)

    def unblock_uploads(self) -> None:
        """The bucket is there again."""
        bucket = Path(self.settings["destination"]["path"])
        bucket.unlink()
        if bucket.with_suffix(".away").exists():
            bucket.with_suffix(".away").rename(bucket)

    async def all_found(self, seconds: float = PATIENCE) -> None:
        """Return when the bucket holds every acked record, uploads being retried at once. Raises TimeoutError."""
        await self.port()  # before that a signal would end it
        async with asyncio.timeout(seconds):
            while self.missing():
                self.signal(signal.SIGHUP)
                await asyncio.sleep(0.1)

    def missing(self) -> int:
        """Acked requests that the bucket doesn't hold yet."""
        found, _ = self.ledger.found(self.objects())
        acked = (n for n, sent in enumerate(self.ledger.sent) if sent.fate is Fate.ACKED)
        return sum(request not in found for request in acked)

    def objects(self) -> Iterable[tuple[str, bytes]]:
        """Everything that a reader of the bucket sees: key and content."""
        return self.reader()

    def _files(self) -> Iterator[tuple[str, bytes]]:
        root = Path(self.settings["destination"]["path"])
        for path in sorted(root.rglob("*")):
            key = path.relative_to(root).as_posix()
            if path.is_file() and not key.startswith("."):
                yield key, path.read_bytes()

    def verdict(self, objects: Iterable[tuple[str, bytes]] | None = None) -> Verdict:
        """Judge the bucket, or other ``objects``, when nothing is left in the buffer."""
        return self.ledger.verdict(self.objects() if objects is None else objects)

    async def drained_verdict(self) -> Verdict:
        """Recover, drain, and judge."""
        report = await self.drain()
        verdict = self.verdict()
        store = report["status"]["store"]
        counted = store["uploaded_records"] + store["quarantined_records"]
        assert store["accepted_records"] == counted, store
        assert store["quarantined_records"] == 0, store
        assert counted == verdict.acked + verdict.unacked_found - verdict.lost, (store, str(verdict))
        left = self.left_over()
        assert not left, f"left on the volume: {left}"
        return verdict
