"""What a volume holds, told without touching it: no lock, no write, no repair, also while a process works on it.

`look` reads the journal as recovery does, compares it with the files, and does the sum: every record that was ever
acknowledged is uploaded, buffered or quarantined. The figures are of one moment; while a process works on the volume
files come and go, so what doesn't add up is looked at again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from s3sink_ingester import recovery, volume
from s3sink_ingester.chunkfiles import DIRECTORY as CHUNKS
from s3sink_ingester.chunks import chunk_path
from s3sink_ingester.disk import Disk
from s3sink_ingester.errors import VolumeError
from s3sink_ingester.journal import segment
from s3sink_ingester.records import render_prefix

LOOKS: Final = 5
PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file by its name in its directory, and its size in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChunk:
    """Records that aren't sealed yet. `partition`: what their object's key begins with, as of its window."""

    chunk_id: int
    partition: str
    window_start: int
    """Epoch seconds."""
    opened_at: float
    """Epoch seconds."""
    records: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """An object that waits for its upload."""

    chunk_id: int
    key: str
    records: int
    size: int
    oldest_at: float
    """Epoch seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One volume. Records are counted since it was made."""

    path: str
    store_id: str
    format_version: int
    drain_epoch: str | None
    accepted_records: int
    uploaded_records: int
    buffered_records: int
    """In open chunks and sealed objects."""
    quarantined_records: int
    segments: tuple[File, ...]
    open_chunks: tuple[OpenChunk, ...]
    sealed_objects: tuple[Sealed, ...]
    quarantine: tuple[File, ...]
    damage: tuple[str, ...]
    """What can't be read or isn't there."""

    @property
    def unaccounted_records(self) -> int:
        """Acknowledged ones that are nowhere; below 0: more are somewhere than the journal has acknowledged."""
        return (
            self.accepted_records - self.uploaded_records - self.buffered_records - self.quarantined_records
        )

    @property
    def balanced(self) -> bool:
        """Whether every acknowledged record is accounted for, and the bytes of the buffered ones are there."""
        return self.unaccounted_records == 0 and not self.damage


def look(disk: Disk, pause: Callable[[float], None] = time.sleep) -> Report:
    """Report on a volume. Raises `VolumeError` (no store, a damaged identity, a newer format), `OSError`."""
    for attempt in range(LOOKS):
        last = attempt == LOOKS - 1
        try:
            report = _look(disk)
        except FileNotFoundError:  # a segment went while the journal was read
            if last:
                raise
        else:
            if report.balanced or last:
                return report
        pause(PAUSE_SECONDS)
    raise AssertionError("the last look returns or raises")


def _look(disk: Disk) -> Report:
    identity = volume.read_identity(disk)
    if identity is None:
        raise VolumeError(f"{disk.locate('')} is no store of the ingester's: it has no {volume.IDENTITY}")
    store_id, format_version = identity
    state = recovery.read_state(disk)
    chunks = [one for one in state.chunks.values() if one.length]
    orphans = sum(one.records for one in state.orphans)  # the next start moves them into the quarantine
    return Report(
        path=disk.locate(""),
        store_id=str(store_id),
        format_version=format_version,
        drain_epoch=volume.drain_epoch(disk),
        accepted_records=state.accepted,
        uploaded_records=state.uploaded,
        buffered_records=sum(one.records for one in chunks)
        + sum(one.records for one in state.sealed.values()),
        quarantined_records=state.quarantined + orphans,
        segments=tuple(one for one in _files(disk, segment.DIRECTORY) if one.name.endswith(segment.SUFFIX)),
        open_chunks=tuple(
            OpenChunk(
                chunk_id=one.definition.chunk_id,
                partition=render_prefix(one.definition.name, one.definition.window_start),
                window_start=one.definition.window_start,
                opened_at=one.definition.opened_at / 1000,
                records=one.records,
                bytes=one.length,
            )
            for one in chunks
        ),
        sealed_objects=tuple(
            Sealed(
                chunk_id=one.chunk_id,
                key=one.key,
                records=one.records,
                size=one.size,
                oldest_at=one.oldest_at,
            )
            for one in sorted(state.sealed.values(), key=lambda one: one.oldest_at)
        ),
        quarantine=_files(disk, volume.QUARANTINE),
        damage=(*state.damage, *_missing(disk, state)),
    )


def _files(disk: Disk, directory: str) -> tuple[File, ...]:
    return tuple(File(name=name, size=size) for name, size in sorted(disk.listdir(directory).items()))


def _missing(disk: Disk, state: recovery.State) -> list[str]:
    """Bytes that the journal counts on and the disk doesn't have."""
    found = []
    raw, objects = disk.listdir(CHUNKS), disk.listdir(volume.OBJECTS)
    for chunk in state.chunks.values():
        path = chunk_path(chunk.definition.chunk_id)
        there = raw.get(path.rpartition("/")[2], 0)
        if chunk.length and there < chunk.base:
            found.append(f"{path}: {chunk.base - there} of {chunk.base} bytes are missing")
    for sealed in state.sealed.values():
        size = objects.get(sealed.path.rpartition("/")[2])
        if size != sealed.size:
            found.append(f"{sealed.path}: {size or 0} bytes on the disk, {sealed.size} in the journal")
    return found
