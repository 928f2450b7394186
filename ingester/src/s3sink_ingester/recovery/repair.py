"""From a ``State`` to a volume whose files agree with it. What is damaged is moved aside, never deleted."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from posixpath import basename
from random import SystemRandom

from s3sink_ingester.chunkfiles import DIRECTORY as CHUNKS
from s3sink_ingester.chunks import chunk_path
from s3sink_ingester.disk import FULL_DISK, Disk
from s3sink_ingester.journal import segment
from s3sink_ingester.journal.entries import Snapshot
from s3sink_ingester.journal.spans import SpanReader
from s3sink_ingester.recovery.state import RecoveringChunk, State
from s3sink_ingester.volume import OBJECTS, QUARANTINE

_BLOCK = 1 << 20

IDS_PER_DAMAGE = 1 << 20
"""Chunk ids that are passed over when frames were lost: they may have been given to chunks, some of them uploaded."""

NOTE_SUFFIX = ".mpu"
"""A store's note about an object whose upload was begun; the next attempt needs it."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """The outcome of a recovery. ``pending``: chunk id to the spans that aren't in the chunk's file yet."""

    snapshot: Snapshot
    pending: Mapping[int, array[int]]
    damage: tuple[str, ...]
    unkept: frozenset[int]
    """Damaged segments that can't be copied: the checkpoint has to move them into the quarantine."""


def repair(disk: Disk, state: State) -> Repaired:
    """Bring the files in line with the state. Raises ``OSError``; running it again is safe.

    Also after the store has gone on with what it gives: while damaged segments are there, ``follow_repair`` does so.
    """
    _make_durable(disk, state)
    names = disk.listdir(CHUNKS)
    _count_put_aside(disk, state, names)
    pending = {}
    for chunk in state.chunks.values():
        if chunk.length:
            name = basename(chunk_path(chunk.definition.chunk_id))
            pending[chunk.definition.chunk_id] = _repair_chunk(disk, state, chunk, names.pop(name, None))
    _repair_objects(disk, state)
    _keep_orphans(disk, state)
    for name in names:
        _discard(disk, state, f"{CHUNKS}/{name}")
    _remove_unfinished(disk, state)
    unkept = frozenset(one for one in state.damaged_segments if not _keep_segment(disk, one))
    if state.damage:
        for directory in (QUARANTINE, OBJECTS, CHUNKS):  # what was moved aside must stay there
            disk.sync_dir(directory)
        # With no snapshot nobody knows which ids were used, and keys made of them may be in the bucket.
        state.next_chunk_id += IDS_PER_DAMAGE if state.based else SystemRandom().randrange(1 << 40, 1 << 62)
        _balance(state)
    return Repaired(state.snapshot(), pending, tuple(state.damage), unkept)


def _count_put_aside(disk: Disk, state: State, names: Mapping[str, int]) -> None:
    """Chunks that couldn't be read and were moved into the quarantine, before the journal could say so.

    A chunk without a base isn't looked for: the journal has all of it. And what lies aside may have been another one's:
    where the journal isn't synced, a power loss makes it forget ids that were given already.
    """
    aside = disk.listdir(QUARANTINE)
    for chunk in list(state.chunks.values()):
        path = chunk_path(chunk.definition.chunk_id)
        if chunk.base and basename(path) in aside and basename(path) not in names:
            state.damage.append(f"{path}: couldn't be read; its {chunk.records} records are in {QUARANTINE}/")
            state.quarantined += chunk.records
            del state.chunks[chunk.definition.chunk_id]


def _repair_chunk(disk: Disk, state: State, chunk: RecoveringChunk, size: int | None) -> array[int]:
    """Cut the file to the base and return the spans of what comes behind it."""
    path = chunk_path(chunk.definition.chunk_id)
    if lost := chunk.close_gaps():
        state.damage.append(f"{path}: {lost} bytes were in a lost frame")
    size = size or 0
    if size < chunk.base:
        whole, lines = _whole_lines(disk, path, size)
        state.damage.append(f"{path}: {chunk.base - whole} of {chunk.base} bytes are missing")
        chunk.length -= chunk.base - whole
        chunk.base = whole
        chunk.base_records = min(chunk.base_records, lines)  # a record has at least one
    if size > chunk.base:
        file = disk.open(path)
        try:
            file.truncate(chunk.base)
        finally:
            file.close()
    return chunk.spans()


def _whole_lines(disk: Disk, path: str, size: int) -> tuple[int, int]:
    """Bytes up to the end of a file's last whole line, and its lines: what follows would become a part of the next."""
    end = lines = 0
    for start in range(0, size, _BLOCK):
        block = disk.read(path, start, min(_BLOCK, size - start))
        lines += block.count(b"\n")
        last = block.rfind(b"\n")
        if last >= 0:
            end = start + last + 1
    return end, lines


def _balance(state: State) -> None:
    """Records in lost frames can't be counted: what is accounted for is what was accepted."""
    buffered = sum(one.records for one in state.chunks.values() if one.length)
    buffered += sum(one.records for one in state.sealed.values())
    state.accepted = state.uploaded + state.quarantined + buffered


def _repair_objects(disk: Disk, state: State) -> None:
    names = disk.listdir(OBJECTS)
    for sealed in list(state.sealed.values()):
        name = basename(sealed.path)
        size = names.pop(name, None)
        if size != sealed.size:
            state.damage.append(f"{sealed.path}: {size} bytes on the disk, {sealed.size} in the journal")
            state.sealed.pop(sealed.chunk_id)
            state.quarantined += sealed.records
            if size is not None:
                disk.rename(sealed.path, f"{QUARANTINE}/{name}")
    waiting = {basename(sealed.path) for sealed in state.sealed.values()}
    for name in names:
        if name.removesuffix(NOTE_SUFFIX) not in waiting:
            _discard(disk, state, f"{OBJECTS}/{name}")


def _discard(disk: Disk, state: State, path: str) -> None:
    """A file that belongs to nothing: a crash left it, and what it held is elsewhere; unless frames were lost."""
    if state.damage:
        disk.rename(path, f"{QUARANTINE}/{path.replace('/', '-')}")
    else:
        disk.unlink(path)


def _make_durable(disk: Disk, state: State) -> None:
    """What was read of the journal: files are removed because of it, and the next snapshot builds on it.

    The newest frame may be in the page cache only: its writer was killed before its sync returned, or the sync
    failed, and then the kernel takes the pages for clean and syncs nothing unless they are written again.
    """
    for segment_id in state.extents:
        file = disk.open(segment.path_of(segment_id))
        try:
            if state.last_frame is not None and state.last_frame[0] == segment_id:
                _, start, end = state.last_frame
                file.pwrite(disk.read(segment.path_of(segment_id), start, end - start), start)
            file.sync()
        finally:
            file.close()


def _remove_unfinished(disk: Disk, state: State) -> None:
    """Segments whose creation was cut short, and parts of spares. Behind the next segment they'd look corrupt."""
    for segment_id in state.unfinished:
        disk.unlink(segment.path_of(segment_id))
        state.extents.pop(segment_id)
    for name in disk.listdir(segment.DIRECTORY):
        if name.endswith(".tmp"):
            disk.unlink(f"{segment.DIRECTORY}/{name}")
    disk.sync_dir(segment.DIRECTORY)


def _keep_orphans(disk: Disk, state: State) -> None:
    """Records whose chunk's definition was in a lost frame: kept as lines, for a person to look at."""
    if not state.orphans:
        return
    path = f"{QUARANTINE}/orphans-{state.next_segment_id:016x}.raw"
    disk.unlink(path, missing_ok=True)
    file = disk.create(path)
    reader = SpanReader(disk, tuple(state.extents.values()))
    try:
        for append in state.orphans:
            ((payload,),) = reader.read([(append.position, append.length)])
            file.append(payload)
            state.quarantined += append.records
        file.sync()
    finally:
        reader.close()
        file.close()
    disk.sync_dir(QUARANTINE)
    state.damage.append(f"{path}: records of lost partitions were put there")
    state.orphans.clear()


def _keep_segment(disk: Disk, segment_id: int) -> bool:
    """Copy a damaged segment into the quarantine; the original is still the base until the next checkpoint.

    Returns whether there was room for it, and the disk could read all of it.
    """
    source = segment.path_of(segment_id)
    target = f"{QUARANTINE}/{basename(source)}"
    if disk.size(target) is not None:
        return True
    temporary = f"{target}.tmp"
    disk.unlink(temporary, missing_ok=True)
    try:
        file = disk.create(temporary)
        try:
            file.append(disk.view(source))
            file.sync()
        finally:
            file.close()
    except OSError as error:
        if error.errno not in (*FULL_DISK, errno.EIO):
            raise
        disk.unlink(temporary, missing_ok=True)
        return False
    disk.rename(temporary, target)
    return True
