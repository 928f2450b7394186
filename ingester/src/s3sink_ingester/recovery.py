"""From the files of a volume to the state that they hold. Runs in a thread before the store opens, and again in place
when the journal failed.

``read_state`` only reads: the base snapshot, then every frame behind it (see ``journal``). ``repair`` cuts the chunk
files back to what the base says of them; what the frames hold behind that becomes pending bytes, as if it had just
been committed, and the first checkpoint writes it. So recovery needs no room on the disk, may be interrupted anywhere,
and the segments it read stay until that checkpoint is done. What is damaged is moved aside, never deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from s3sink_ingester.chunkfiles import DIRECTORY as CHUNKS
from s3sink_ingester.chunks import chunk_path
from s3sink_ingester.disk import Disk
from s3sink_ingester.journal import entries, segment
from s3sink_ingester.journal.entries import Append, Definition, OpenChunk, Snapshot, Totals
from s3sink_ingester.journal.frame import Damage, Frame, FrameType, Tail
from s3sink_ingester.journal.segment import SegmentContent, Spare
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.volume import OBJECTS, QUARANTINE

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


@dataclass(slots=True)
class _Recovering:
    definition: Definition
    base: int  # bytes that were durable in the chunk's file at the base
    length: int
    records: int
    appends: list[Append] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """What the journal says, and what is wrong with it."""

    next_chunk_id: int = 1
    next_segment_id: int = 1
    next_sequence: int = 1
    accepted: int = 0
    uploaded: int = 0
    quarantined: int = 0
    chunks: dict[int, _Recovering] = field(default_factory=dict)
    sealed: dict[int, SealedObject] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    damaged_segments: set[int] = field(default_factory=set)
    orphans: list[Append] = field(default_factory=list)
    unfinished: list[int] = field(default_factory=list)
    """Segments whose creation was not finished."""
    spares: list[Spare] = field(default_factory=list)
    segment_sizes: dict[int, int] = field(default_factory=dict)
    bytes_read: int = 0
    based: bool = False
    """Whether the base snapshot was seen."""
    last_frame: tuple[int, int, int] | None = None
    """Segment id, first and last offset of the newest good frame, with the segment's header if it is its first."""

    def snapshot(self) -> Snapshot:
        """The state as the store takes it over."""
        chunks = tuple(
            OpenChunk(one.definition, one.length, one.records) for one in self.chunks.values() if one.length
        )
        totals = Totals(self.accepted, self.uploaded, self.quarantined)
        return Snapshot(self.next_chunk_id, totals, chunks, tuple(self.sealed.values()))


def read_state(disk: Disk, progress: Progress = lambda done, total: None) -> State:
    """Read the journal. Raises ``OSError``."""
    state = State()
    names = disk.listdir(segment.DIRECTORY)
    ids = segment.ids_of(names)
    sizes = {one: names[_name(segment.path_of(one))] for one in ids}
    total = sum(sizes.values())
    for one in ids:
        _read_segment(state, segment.read(disk, one), last=one == ids[-1])
        state.next_segment_id = one + 1
        state.segment_sizes[one] = sizes[one]
        state.bytes_read += sizes[one]
        progress(state.bytes_read, total)
    spares = segment.ids_of(names, segment.SPARE_SUFFIX)
    state.spares = [Spare(one, names[_name(segment.spare_path(one))]) for one in spares]
    return state


def _read_segment(state: State, content: SegmentContent, *, last: bool) -> None:
    name = segment.path_of(content.segment_id)
    if content.header is None:
        if last:  # it was being created, and nothing was ever written behind its header
            state.unfinished.append(content.segment_id)
        else:
            _damaged(state, content, f"{name}: the header is unreadable; its records can't be read")
        return
    if content.header.segment_id != content.segment_id:
        # It was about to be used again as another segment, so a checkpoint had let it go.
        state.unfinished.append(content.segment_id)
        return
    for item in content.items():
        match item:
            case Frame():
                if state.based and item.sequence > state.next_sequence:
                    lost = f"frames {state.next_sequence} to {item.sequence - 1} are lost"
                    _damaged(state, content, f"{name}: {lost} before byte {item.offset}")
                start = 0 if item.offset == segment.HEADER_BYTES else item.offset
                state.last_frame = (content.segment_id, start, item.end)
                _apply(state, item)
            case Damage(offset, end):
                _damaged(state, content, f"{name}: bytes {offset} to {end} are corrupt")
            case Tail():
                pass  # what was begun here was never acknowledged; a lost end shows as a gap in the sequence


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _damaged(state: State, content: SegmentContent, what: str) -> None:
    state.damage.append(what)
    state.damaged_segments.add(content.segment_id)


def _apply(state: State, frame: Frame) -> None:
    if frame.sequence < state.next_sequence:
        return  # seen already: applying is idempotent
    state.next_sequence = frame.sequence + 1
    if frame.type is FrameType.SNAPSHOT:
        _apply_snapshot(state, entries.decode_snapshot(frame.body))
    else:
        _apply_group(state, entries.decode_group(frame.body))


def _apply_snapshot(state: State, snapshot: Snapshot) -> None:
    """The first one is the base. A later one says what we know already, unless frames before it were lost."""
    known = state.chunks
    state.next_chunk_id = snapshot.next_chunk_id
    state.accepted = snapshot.totals.accepted
    state.uploaded = snapshot.totals.uploaded
    state.quarantined = snapshot.totals.quarantined
    state.sealed = {one.chunk_id: one for one in snapshot.sealed}
    state.chunks = {}
    for one in snapshot.open:
        before = known.get(one.definition.chunk_id)
        if before is not None:
            base, appends = before.base, before.appends
        else:  # at the base all of it is in the file; later, its definition was lost and what follows tells
            base, appends = (0 if state.based else one.length), []
        state.chunks[one.definition.chunk_id] = _Recovering(
            one.definition, base, one.length, one.records, appends
        )
    for append in state.orphans:  # their definition was in a lost frame, and this snapshot repeats it
        if append.chunk_id in state.chunks:
            state.chunks[append.chunk_id].appends.append(append)
    state.orphans.clear()
    state.based = True


def _apply_group(state: State, group: entries.Group) -> None:
    for definition in group.definitions:
        state.chunks[definition.chunk_id] = _Recovering(definition, 0, 0, 0)
        state.next_chunk_id = max(state.next_chunk_id, definition.chunk_id + 1)
    for append in group.appends:
        state.accepted += append.records
        chunk = state.chunks.get(append.chunk_id)
        if chunk is None:
            state.orphans.append(append)
            continue
        chunk.appends.append(append)
        chunk.length = append.offset + len(append.payload)
        chunk.records += append.records
    for sealed in group.sealed:
        state.chunks.pop(sealed.chunk_id, None)
        state.sealed[sealed.chunk_id] = sealed
    for done in group.done:
        finished = state.sealed.pop(done.chunk_id, None)
        if finished is not None and done.quarantined:
            state.quarantined += finished.records
        elif finished is not None:
            state.uploaded += finished.records


@dataclass(frozen=True, slots=True)
class Repaired:
    """The outcome of a recovery. ``pending``: chunk id to the bytes that aren't in the chunk's file yet."""

    snapshot: Snapshot
    pending: Mapping[int, bytes]
    damage: tuple[str, ...]


def repair(disk: Disk, state: State) -> Repaired:
    """Bring the files in line with the state. Raises ``OSError``; running it again is safe."""
    names = disk.listdir(CHUNKS)
    pending = {}
    for chunk in state.chunks.values():
        if chunk.length:
            name = _name(chunk_path(chunk.definition.chunk_id))
            pending[chunk.definition.chunk_id] = _repair_chunk(disk, state, chunk, names.pop(name, None))
    _repair_objects(disk, state)
    _keep_orphans(disk, state)
    for name in names:
        _discard(disk, state, f"{CHUNKS}/{name}")
    _write_last_frame_again(disk, state)
    _remove_unfinished(disk, state)
    for one in state.damaged_segments:
        _keep_segment(disk, one)
    return Repaired(state.snapshot(), pending, tuple(state.damage))


def _repair_chunk(disk: Disk, state: State, chunk: _Recovering, size: int | None) -> bytes:
    """Cut the file to the base and return what comes behind it."""
    path = chunk_path(chunk.definition.chunk_id)
    expected = chunk.base
    if (size or 0) < chunk.base:
        state.damage.append(f"{path}: {chunk.base - (size or 0)} of {chunk.base} bytes are missing")
        chunk.base = size or 0
    elif size is not None and size > chunk.base:
        file = disk.open(path)
        try:
            file.truncate(chunk.base)
        finally:
            file.close()
    parts = []
    for append in chunk.appends:
        end = append.offset + len(append.payload)
        if end <= expected:
            continue  # it is in the file
        if append.offset > expected:
            state.damage.append(f"{path}: {append.offset - expected} bytes were in a lost frame")
        parts.append(append.payload)
        expected = end
    if chunk.length > expected:
        state.damage.append(f"{path}: {chunk.length - expected} bytes were in a lost frame")
    pending = b"".join(parts)
    chunk.length = chunk.base + len(pending)
    return pending


def _repair_objects(disk: Disk, state: State) -> None:
    names = disk.listdir(OBJECTS)
    for sealed in list(state.sealed.values()):
        name = _name(sealed.path)
        size = names.pop(name, None)
        if size != sealed.size:
            state.damage.append(f"{sealed.path}: {size} bytes on the disk, {sealed.size} in the journal")
            state.sealed.pop(sealed.chunk_id)
            state.quarantined += sealed.records
            if size is not None:
                disk.rename(sealed.path, f"{QUARANTINE}/{name}")
    for name in names:
        _discard(disk, state, f"{OBJECTS}/{name}")


def _discard(disk: Disk, state: State, path: str) -> None:
    """A file that belongs to nothing: a crash left it, and what it held is elsewhere; unless frames were lost."""
    if state.damage:
        disk.rename(path, f"{QUARANTINE}/{path.replace('/', '-')}")
    else:
        disk.unlink(path)


def _write_last_frame_again(disk: Disk, state: State) -> None:
    """Make durable what was read: the next segment's snapshot will build on it.

    The newest frame may be in the page cache only: its writer was killed before its sync returned, or the sync
    failed, and then the kernel takes the pages for clean and syncs nothing unless they are written again.
    """
    if state.last_frame is None:
        return
    segment_id, start, end = state.last_frame
    path = segment.path_of(segment_id)
    file = disk.open(path)
    try:
        file.pwrite(disk.read(path, start, end - start), start)
        file.sync()
    finally:
        file.close()


def _remove_unfinished(disk: Disk, state: State) -> None:
    """Segments whose creation was cut short, and parts of spares. Behind the next segment they'd look corrupt."""
    for segment_id in state.unfinished:
        disk.unlink(segment.path_of(segment_id))
        state.segment_sizes.pop(segment_id)
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
    try:
        for append in state.orphans:
            file.append(append.payload)
            state.quarantined += append.records
        file.sync()
    finally:
        file.close()
    state.damage.append(f"{path}: records of lost partitions were put there")
    state.orphans.clear()


def _keep_segment(disk: Disk, segment_id: int) -> None:
    """Copy a damaged segment into the quarantine; the original is still the base until the next checkpoint."""
    source = segment.path_of(segment_id)
    target = f"{QUARANTINE}/{_name(source)}"
    if disk.size(target) is not None:
        return
    temporary = f"{target}.tmp"
    disk.unlink(temporary, missing_ok=True)
    file = disk.create(temporary)
    try:
        file.append(disk.view(source))
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, target)
    disk.sync_dir(QUARANTINE)
