"""`drain`: upload everything that a buffer holds, then end."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from s3sink_ingester import logs, runtime
from s3sink_ingester.cli import common
from s3sink_ingester.config import Settings
from s3sink_ingester.errors import VolumeError
from s3sink_ingester.ports import AddressUnavailable
from s3sink_ingester.runtime import Stop
from s3sink_ingester.serving import (
    Ports,
    Process,
    empty,
    empty_with_admin,
    make_process,
    quarantined_files,
)
from s3sink_ingester.workers import layout

_log = logging.getLogger(__name__)

LEFT = 1

STOP_SECONDS = 5.0
"""How long uploads that are out may take when it is stopped: they are sent again some time."""

_LINE_SECONDS = 1.0
_UNCHANGED_LINE_SECONDS = 30.0

_EPILOG = """\
It takes no records. Stop what serves the buffer first. It ends when nothing is left; a destination that is away is
tried for ever. Meanwhile the admin port answers GET /status and /metrics, unless something else has it. SIGTERM ends
it cleanly, and it may be started again.

exit codes:
  0  nothing is left, or the buffer's directory is empty
  1  something is left: it was stopped, or damaged files need a person; or the directory isn't there
  2  arguments or settings can't be used
  3  another process has the volume
  4  the volume was written by a newer version

example:
  s3sink-ingester drain --config settings.yaml
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "drain",
        help="upload everything that is in the buffer, then end",
        description="Seal and upload everything that is in the buffer, that of all workers; then end.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common.add_settings_arguments(parser)
    common.add_log_arguments(parser)
    parser.add_argument(
        "--epoch",
        metavar="TEXT",
        type=common.epoch,
        help="mark the buffer as being drained, for good: who serves it next takes no records until POST /resume",
    )
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Drain; returns the exit code. Raises `ConfigError`, `VolumeError`."""
    settings = common.settings_of(given)
    logs.configure(given.log_level, given.log_format)
    buffer = Path(settings.buffer.path)
    try:
        volumes = layout.volumes(buffer)
    except OSError as error:
        raise VolumeError(f"the buffer {buffer} can't be read: {error.strerror}") from error
    if not volumes:
        print(f"{buffer}: no records were ever here")
        return 0

    async def main(stop: Stop) -> int:
        emptied = [await _drain(layout.for_volume(settings, volume), stop, given.epoch) for volume in volumes]
        return 0 if all(emptied) else LEFT

    return runtime.run(main, STOP_SECONDS)


async def _drain(settings: Settings, stop: Stop, epoch: str | None) -> bool:
    """Drain one volume; whether nothing is left in it."""
    name = settings.buffer.path
    if stop.event.is_set():
        print(f"{name}: not looked at", flush=True)
        return False
    left = await _empty(settings, stop, _Progress(name), epoch)
    damaged = quarantined_files(settings)
    if damaged:
        print(f"{name}: {damaged} damaged files in its quarantine need a person", flush=True)
    if left:
        print(f"{name}: {'an unknown number of' if left < 0 else f'{left:,}'} records are left", flush=True)
    if not left and not damaged:
        print(f"{name}: nothing is left", flush=True)
    return not left and not damaged


async def _empty(settings: Settings, stop: Stop, progress: _Progress, epoch: str | None) -> int:
    """See `serving.empty`. Records don't wait for a port on which somebody could ask about them."""
    process = make_process(settings)
    try:
        return await empty_with_admin(process, stop, progress.look, _announce, epoch)
    except AddressUnavailable as error:
        _log.warning("how far the drain is can't be asked: %s", error)
        return await empty(process, stop, progress.look, epoch)


def _announce(ports: Ports) -> None:
    _log.info("draining: admin on port %d", ports.admin, extra={"admin_port": ports.admin})


class _Progress:
    """Prints a line about once a second while something moves, and now and then while nothing does."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._line = ""
        self._printed = -_UNCHANGED_LINE_SECONDS
        self._uploaded = (0, 0.0)  # records, and when

    def look(self, process: Process) -> None:
        """See `serving.empty`."""
        now = time.monotonic()
        if now - self._printed < _LINE_SECONDS:
            return
        line = self._describe(process, now)
        if line == self._line and now - self._printed < _UNCHANGED_LINE_SECONDS:
            return
        self._line, self._printed = line, now
        print(f"{self._name}: {line}", flush=True)

    def _describe(self, process: Process, now: float) -> str:
        store = process.store
        if store is None:
            done, total = process.app.recovery_progress
            return f"recovering, {100 * done // total}%" if total else "recovering"
        status = store.status()
        objects = status.open_chunks + status.sealed_backlog
        line = f"{status.buffered_records:,} records in {objects:,} objects left"
        before, then = self._uploaded
        self._uploaded = (status.uploaded_records, now)
        if then and status.uploaded_records > before:
            line += f", {(status.uploaded_records - before) / (now - then):,.0f} records/s"
        error = process.upload_facts
        if error.destination_ok is False:
            line += f"; the destination fails: {error.last_error}"
        return line
