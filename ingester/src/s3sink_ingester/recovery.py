"""From the files of a volume to the state that they hold. Runs in a thread before the store opens, and again in place
when the journal failed.

``read_state`` only reads: the base snapshot, then every frame behind it (see ``journal``). ``repair`` cuts the chunk
files back to what the base says of them; what the frames hold behind that becomes pending, as if it had just been
committed and not kept in memory, and the first checkpoint writes it. So recovery needs no room on the disk, may be
interrupted anywhere, and the segments it read stay until that checkpoint is done. What is damaged is moved aside,
never deleted.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from random import SystemRandom
from uuid import UUID

from s3sink_ingester.chunkfiles import DIRECTORY as CHUNKS
from s3sink_ingester.chunks import chunk_path
from s3sink_ingester.disk import FULL_DISK, Disk
from s3sink_ingester.errors import FormatTooNew
from s3sink_ingester.journal import entries, segment
from s3sink_ingester.journal.entries import Append, Definition, OpenChunk, Snapshot, Totals
from s3sink_ingester.journal.frame import HEADER_BYTES, Damage, Frame, FrameType, Tail
from s3sink_ingester.journal.log import FORMAT_VERSION
from s3sink_ingester.journal.segment import SegmentContent, SegmentHeader, Spare
from s3sink_ingester.journal.spans import Extent, SpanReader
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.volume import OBJECTS, QUARANTINE

_BLOCK = 1 << 20

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


IDS_PER_DAMAGE = 1 << 20
"""Chunk ids that are passed over when frames were lost: they may have been given to chunks, some of them uploaded."""

NOTE_SUFFIX = ".mpu"
"""A store's note about an object whose upload was begun; the next attempt needs it."""


@dataclass(slots=True)
class _Recovering:
    definition: Definition
    base: int  # bytes that were durable in the chunk's file at the base
    base_records: int
    length: int
    appends: list[Append] = field(default_factory=list)

    @property
    def records(self) -> int:
        return self.base_records + sum(one.records for one in self.appends)

    def spans(self) -> array[int]:
        """Where the bytes lie in the journal that the chunk's file lacks: position and length of each append."""
        return array("Q", chain.from_iterable((one.position, one.length) for one in self.appends))

    def close_gaps(self) -> int:
        """Move the appends together where frames between them were lost; returns the bytes that are missing."""
        end = self.base
        kept = []
        missing = 0
        for one in self.appends:
            if one.end <= end + missing:
                continue  # it is in the file
            missing = one.offset - end
            kept.append(replace(one, offset=end))
            end += one.length
        missing = max(missing, self.length - end)
        self.appends, self.length = kept, end
        return missing

    def follow_repair(self, length: int, records: int) -> None:
        """A recovery that found damage has gone on with ``length`` bytes and ``records`` records: see it as it did.

        Appends behind that snapshot count from there. What gaps don't explain was missing in the chunk's file.
        """
        if length < self.length:
            self.close_gaps()
            self.base -= self.length - length
            self.appends = [replace(one, offset=one.offset - self.length + length) for one in self.appends]
            self.base_records += records - self.records
        self.length = length


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
    extents: dict[int, Extent] = field(default_factory=dict)
    """The segments, by id, oldest first."""
    bytes_read: int = 0
    store_ids: dict[UUID, str] = field(default_factory=dict)
    """Whose segments these are, by what their headers say: a store's id to one of its segments."""
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
    """Read the journal. Raises ``OSError``, ``FormatTooNew``."""
    state = State()
    names = disk.listdir(segment.DIRECTORY)
    ids = segment.ids_of(names)
    sizes = {one: names[_name(segment.path_of(one))] for one in ids}
    total = sum(sizes.values())
    for one in ids:
        state.extents[one] = Extent(state.bytes_read, sizes[one], one)
        _read_segment(state, segment.read(disk, one), last=one == ids[-1])
        state.next_segment_id = one + 1
        state.bytes_read += sizes[one]
        progress(state.bytes_read, total)
    if not state.based and (disk.listdir(CHUNKS) or disk.listdir(OBJECTS)):
        state.damage.append(
            f"{segment.DIRECTORY}: no snapshot can be read, so nobody knows what the other files hold"
        )
        state.damaged_segments.update(ids)
        state.unfinished.clear()
    spares = segment.ids_of(names, segment.SPARE_SUFFIX)
    state.spares = [Spare(one, names[_name(segment.spare_path(one))]) for one in spares]
    return state


def _read_segment(state: State, content: SegmentContent, *, last: bool) -> None:
    name = segment.path_of(content.segment_id)
    header = content.header
    if header is None:
        if not _goes_on(state, content):
            if last:  # it was being created, and nothing was ever written behind its header
                state.unfinished.append(content.segment_id)
            else:
                _damaged(state, content, f"{name}: the header is unreadable, and no frame is found")
            return
        _damaged(state, content, f"{name}: the header is unreadable; the frames are read without it")
    elif header.segment_id != content.segment_id:
        # It was about to be used again as another segment, so a checkpoint had let it go.
        state.unfinished.append(content.segment_id)
        return
    else:
        _check_header(state, name, header)
    for item in content.items():
        match item:
            case Frame():
                if state.based and item.sequence > state.next_sequence:
                    lost = f"frames {state.next_sequence} to {item.sequence - 1} are lost"
                    _damaged(state, content, f"{name}: {lost} before byte {item.offset}")
                    state.damaged_segments |= _since_last_frame(state)
                start = 0 if item.offset == segment.HEADER_BYTES else item.offset
                state.last_frame = (content.segment_id, start, item.end)
                _apply(state, item, state.extents[content.segment_id].position)
            case Damage(offset, end):
                _damaged(state, content, f"{name}: bytes {offset} to {end} are corrupt")
            case Tail():
                pass  # what was begun here was never acknowledged; a lost end shows as a gap in the sequence


def _since_last_frame(state: State) -> set[int]:
    """Segments before this one where lost frames may have been: they look as if they ended there."""
    if state.last_frame is None:
        return set()
    return {one for one in state.extents if one >= state.last_frame[0]}.difference(state.unfinished)


def _goes_on(state: State, content: SegmentContent) -> bool:
    """Whether frames found without a header are the segment's own and say anything.

    Those that the file had before are older. A snapshot alone repeats what is known, or says that nothing is.
    """
    found = [item for item in content.items() if isinstance(item, Frame)]
    if not found or (state.based and found[0].sequence < state.next_sequence):
        return False
    empty = state.based or found[0].sequence == 1
    return not (empty and len(found) == 1 and found[0].type is FrameType.SNAPSHOT)


def _check_header(state: State, name: str, header: SegmentHeader) -> None:
    if header.format_version > FORMAT_VERSION:
        raise FormatTooNew(
            f"{name} was written in format {header.format_version}, and this version knows formats up to "
            f"{FORMAT_VERSION}; run the version that wrote it"
        )
    state.store_ids.setdefault(header.store_id, name)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _damaged(state: State, content: SegmentContent, what: str) -> None:
    state.damage.append(what)
    state.damaged_segments.add(content.segment_id)


def _apply(state: State, frame: Frame, segment_position: int) -> None:
    if frame.sequence < state.next_sequence:
        return  # seen already: applying is idempotent
    state.next_sequence = frame.sequence + 1
    if frame.type is FrameType.SNAPSHOT:
        _apply_snapshot(state, entries.decode_snapshot(frame.body))
    else:
        start = segment_position + frame.offset + HEADER_BYTES
        _apply_group(state, entries.decode_group(frame.body, start))


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
        chunk = known.get(one.definition.chunk_id)
        if chunk is not None:
            chunk.follow_repair(one.length, one.records)
        elif state.based:  # its definition was in a lost frame; what else there is of it follows
            chunk = _Recovering(one.definition, 0, 0, one.length)
        else:
            chunk = _Recovering(one.definition, one.length, one.records, one.length)
        state.chunks[one.definition.chunk_id] = chunk
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
        chunk.length = append.end
    for sealed in group.sealed:
        _forget_chunk(state, sealed.chunk_id)
        state.sealed[sealed.chunk_id] = sealed
    for done in group.done:
        chunk = _forget_chunk(state, done.chunk_id)  # known only if the frame that sealed it was lost
        finished = state.sealed.pop(done.chunk_id, chunk)
        if finished is not None and done.quarantined:
            state.quarantined += finished.records
        elif finished is not None:
            state.uploaded += finished.records


def _forget_chunk(state: State, chunk_id: int) -> _Recovering | None:
    """All of its records are in an object."""
    if state.orphans:
        state.orphans = [one for one in state.orphans if one.chunk_id != chunk_id]
    return state.chunks.pop(chunk_id, None)


@dataclass(frozen=True, slots=True)
class Repaired:
    """The outcome of a recovery. ``pending``: chunk id to the spans that aren't in the chunk's file yet."""

    snapshot: Snapshot
    pending: Mapping[int, array[int]]
    damage: tuple[str, ...]
    unkept: frozenset[int]
    """Damaged segments that there is no room to copy: the checkpoint has to move them into the quarantine."""


def repair(disk: Disk, state: State) -> Repaired:
    """Bring the files in line with the state. Raises ``OSError``; running it again is safe.

    Also after the store has gone on with what it gives: while damaged segments are there, ``follow_repair`` does so.
    """
    _make_durable(disk, state)
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
    _remove_unfinished(disk, state)
    unkept = frozenset(one for one in state.damaged_segments if not _keep_segment(disk, one))
    if state.damage:
        for directory in (QUARANTINE, OBJECTS, CHUNKS):  # what was moved aside must stay there
            disk.sync_dir(directory)
        # With no snapshot nobody knows which ids were used, and keys made of them may be in the bucket.
        state.next_chunk_id += IDS_PER_DAMAGE if state.based else SystemRandom().randrange(1 << 40, 1 << 62)
        _balance(state)
    return Repaired(state.snapshot(), pending, tuple(state.damage), unkept)


def _repair_chunk(disk: Disk, state: State, chunk: _Recovering, size: int | None) -> array[int]:
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
        name = _name(sealed.path)
        size = names.pop(name, None)
        if size != sealed.size:
            state.damage.append(f"{sealed.path}: {size} bytes on the disk, {sealed.size} in the journal")
            state.sealed.pop(sealed.chunk_id)
            state.quarantined += sealed.records
            if size is not None:
                disk.rename(sealed.path, f"{QUARANTINE}/{name}")
    waiting = {_name(sealed.path) for sealed in state.sealed.values()}
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

    Returns whether there was room for it.
    """
    source = segment.path_of(segment_id)
    target = f"{QUARANTINE}/{_name(source)}"
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
        if error.errno not in FULL_DISK:
            raise
        disk.unlink(temporary, missing_ok=True)
        return False
    disk.rename(temporary, target)
    return True
