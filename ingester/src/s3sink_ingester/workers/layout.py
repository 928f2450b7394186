"""Where the volumes of a buffer lie: `<buffer.path>/worker-<n>`, one for each worker, also where there is only one.

So the number of workers may change at any start. Raised: new directories are made. Lowered: the volumes that no worker
has any more are *left over*; they are emptied, and removed when nothing is left in them. A volume right at
`buffer.path` (made by other means) is found, too, and is always left over.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from s3sink_ingester.config import Settings
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.recovery import read_state
from s3sink_ingester.volume import IDENTITY, LOCK, QUARANTINE

_WORKER = re.compile(r"worker-(0|[1-9][0-9]*)")
_REMOVED = ".removed"


def worker_name(index: int) -> str:
    """Name of a worker, and of its directory."""
    return f"worker-{index}"


def for_worker(settings: Settings, index: int) -> Settings:
    """The settings of one worker: its directory, and its share of the buffer."""
    buffer = replace(
        settings.buffer,
        path=str(Path(settings.buffer.path) / worker_name(index)),
        size=settings.buffer.size // settings.workers,
    )
    return replace(settings, buffer=buffer, workers=1)


def for_volume(settings: Settings, volume: Path) -> Settings:
    """The settings to empty a volume with."""
    return replace(settings, buffer=replace(settings.buffer, path=str(volume)), workers=1)


def volumes(buffer: Path) -> list[Path]:
    """The volumes of a buffer that exist, in the order of their numbers. Raises OSError: it can't be read."""
    found = [buffer] if (buffer / IDENTITY).exists() else []
    workers = [one for one in buffer.iterdir() if _WORKER.fullmatch(one.name) and one.is_dir()]
    return found + sorted(workers, key=lambda one: int(one.name.partition("-")[2]))


def left_over(settings: Settings) -> Sequence[Path]:
    """Volumes that no worker of these settings has. Raises OSError."""
    buffer = Path(settings.buffer.path)
    if not buffer.is_dir():
        return []
    _finish_removals(buffer)
    wanted = {worker_name(index) for index in range(settings.workers)}
    return [one for one in volumes(buffer) if one == buffer or one.name not in wanted]


def remove_if_empty(volume: Path) -> bool:
    """Remove a worker's volume that holds nothing any more, neither records nor damaged files; whether it did.

    Raises `VolumeLocked`, OSError.
    """
    if not _WORKER.fullmatch(volume.name):
        return False
    disk = RealDisk(str(volume))
    lock = disk.lock(LOCK)
    try:
        state = read_state(disk)
        if state.chunks or state.sealed or state.damage or state.orphans or disk.listdir(QUARANTINE):
            return False
        # One step, so that a crash can't leave half a volume, which would be taken for a damaged one.
        doomed = volume.with_name(volume.name + _REMOVED)
        volume.rename(doomed)
    finally:
        lock.close()
    shutil.rmtree(doomed)
    return True


def files_aside(volume: Path) -> list[str]:
    """Names of the damaged files that a volume keeps for a person; none if it is gone. Raises OSError."""
    quarantine = volume / QUARANTINE
    return sorted(one.name for one in quarantine.iterdir()) if quarantine.is_dir() else []


def _finish_removals(buffer: Path) -> None:
    for one in buffer.glob(f"worker-*{_REMOVED}"):
        shutil.rmtree(one)
