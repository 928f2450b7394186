"""A worker: `python -m s3sink_ingester.workers.child <name>`, started by a supervisor only (see `job`)."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from s3sink_ingester import logs, runtime, serving
from s3sink_ingester.app import CLOSE_SECONDS
from s3sink_ingester.errors import ConfigError, VolumeError
from s3sink_ingester.ports import AddressUnavailable
from s3sink_ingester.runtime import Stop
from s3sink_ingester.serving import Ports, Process
from s3sink_ingester.workers import layout
from s3sink_ingester.workers.job import Job, Refused, Role, Started, receive_job, report

_log = logging.getLogger(__name__)

ORPHANED_SECONDS = CLOSE_SECONDS + 1.0
"""How long a worker whose supervisor is gone goes on: a new supervisor may be waiting for its volume."""


def main() -> int:
    """Do the job; returns the exit code."""
    job = receive_job(sys.stdin.buffer)
    logs.configure(job.log_level, job.log_format)
    _name_log_lines(sys.argv[1])
    try:
        # Ctrl-C reaches every process of a terminal; a worker is stopped by its supervisor.
        runtime.run(partial(_work, job), job.grace, with_interrupt=False)
    except (AddressUnavailable, ConfigError, VolumeError) as error:
        code = error.exit_code if isinstance(error, VolumeError) else 2
        _tell(report(Refused(code, str(error))))
        return code
    return 0


async def _work(job: Job, stop: Stop) -> None:
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _watch, stop)

    def announce(ports: Ports) -> None:
        _tell(report(Started(ports.admin)))

    if job.role is Role.SERVE:
        await serving.serve(serving.make_process(job.settings, reuse_port=True), stop, announce, job.file)
        return
    process = serving.make_process(job.settings)
    left = await serving.empty_with_admin(process, stop, _look, announce)
    if left != 0:
        return  # it was stopped: the next start goes on with it
    path = job.settings.buffer.path
    if layout.remove_if_empty(Path(path)):
        _log.info("the left-over volume is empty and was removed", extra={"path": path})
    else:
        _log.warning("the left-over volume has no records any more, but is kept", extra={"path": path})


def _name_log_lines(worker: str) -> None:
    """All workers share the supervisor's standard error."""
    make = logging.getLogRecordFactory()

    def make_named(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.worker = worker
        return record

    logging.setLogRecordFactory(make_named)


def _look(process: Process) -> None:
    """The supervisor asks the admin port."""


def _watch(stop: Stop) -> None:
    """The supervisor writes nothing after the job, so what there is to read is the end."""
    loop = asyncio.get_running_loop()
    loop.remove_reader(sys.stdin.fileno())
    _log.warning("the supervisor is gone; stopping")
    stop.ask(ORPHANED_SECONDS)


def _tell(line: bytes) -> None:
    os.write(sys.stdout.fileno(), line)


if __name__ == "__main__":
    sys.exit(main())
