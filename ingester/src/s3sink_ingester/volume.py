"""A volume's identity: who made it, in which format, and whether it is being drained. Directories of a store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from s3sink_ingester import chunkfiles
from s3sink_ingester.disk import Disk, Lock, parent, write_atomically
from s3sink_ingester.errors import FormatTooNew, VolumeError
from s3sink_ingester.journal import segment
from s3sink_ingester.journal.log import FORMAT_VERSION

IDENTITY = "store.json"
LOCK = "lock"
DRAIN_MARKER = "drain"
MAX_EPOCH_CHARACTERS = 256
OBJECTS = "objects"
QUARANTINE = "quarantine"
DIRECTORIES = (segment.DIRECTORY, chunkfiles.DIRECTORY, OBJECTS, QUARANTINE)


@dataclass(frozen=True, slots=True)
class Volume:
    """An opened and locked volume."""

    store_id: UUID
    format_version: int
    lock: Lock


def open_volume(disk: Disk) -> Volume:
    """Lock the volume and make sure that it is ours; an empty one is made a store.

    Raises ``VolumeLocked``, ``FormatTooNew``, ``VolumeError`` (records without an identity), ``OSError``.
    """
    lock = disk.lock(LOCK)
    try:
        found = read_identity(disk)  # first: a volume that isn't understood isn't touched
        if found is None:
            _check_unused(disk)
        for directory in DIRECTORIES:
            disk.mkdir(directory)
        store_id, version = found or _make_identity(disk)  # last: what has an identity is whole
        disk.sync_dir("")  # a process that was killed in here may have left names that are not durable
    except BaseException:
        lock.close()
        raise
    return Volume(store_id, version, lock)


def read_identity(disk: Disk) -> tuple[UUID, int] | None:
    """Store id and format version; None for a volume that is no store yet. Raises ``VolumeError``."""
    if disk.size(IDENTITY) is None:
        return None
    try:
        found = json.loads(disk.read(IDENTITY))
        version = int(found["format"])
        if version > FORMAT_VERSION:
            raise FormatTooNew(
                f"{disk.locate('')} was written in format {version}, and this version knows formats up to "
                f"{FORMAT_VERSION}; run the version that wrote it, or drain it with that one first"
            )
        return UUID(str(found["store"])), version
    except (ValueError, KeyError, TypeError) as error:
        raise VolumeError(
            f"{disk.locate(IDENTITY)} is damaged ({error}); the records are still there: restore the file as "
            '{"format": 1, "store": "<uuid>"} with the id that the segments in journal/ carry'
        ) from error


def is_epoch(text: str) -> bool:
    """Whether it may name a drain: an empty one would look as if there was none."""
    return 0 < len(text) <= MAX_EPOCH_CHARACTERS and text.isprintable()


def drain_epoch(disk: Disk) -> str | None:
    """The epoch of the drain that was asked for, None when there is none."""
    if disk.size(DRAIN_MARKER) is None:
        return None
    return disk.read(DRAIN_MARKER).decode("utf-8", "replace")


def mark_drain(disk: Disk, epoch: str) -> None:
    """Remember durably that the volume is to be drained: a restart goes on with it."""
    write_atomically(disk, DRAIN_MARKER, epoch.encode())


def clear_drain(disk: Disk) -> None:
    """Take the mark back, durably."""
    disk.unlink(DRAIN_MARKER, missing_ok=True)
    disk.sync_dir("")


def _check_unused(disk: Disk) -> None:
    if any(_holds_files(disk, directory) for directory in DIRECTORIES):
        raise VolumeError(
            f"{disk.locate('')} holds records but no {IDENTITY}; they will not be overwritten: restore the file "
            "or move the directory away"
        )


def _make_identity(disk: Disk) -> tuple[UUID, int]:
    store_id = uuid4()
    write_atomically(disk, IDENTITY, json.dumps({"format": FORMAT_VERSION, "store": str(store_id)}).encode())
    return store_id, FORMAT_VERSION


def _holds_files(disk: Disk, directory: str) -> bool:
    try:
        return bool(disk.listdir(directory))
    except FileNotFoundError:
        return False


def put_aside(disk: Disk, path: str) -> None:
    """Move a file into the quarantine, durably. Raises ``OSError``; doing it again is safe."""
    name = path.rpartition("/")[2]
    if disk.size(path) is not None:
        disk.rename(path, f"{QUARANTINE}/{name}")
    disk.sync_dir(QUARANTINE)
    disk.sync_dir(parent(path))


def tell_aside(names: Sequence[str]) -> str:
    """What is said of files that earlier processes put into the quarantine. `names`: at least one."""
    files = "1 file" if len(names) == 1 else f"{len(names):,} files"
    return f"{QUARANTINE}/: {files} of earlier damage, such as {names[0]}"
