"""From the journal to a ``State``: the base snapshot, then every frame behind it. It only reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from posixpath import basename

from s3sink_ingester.chunkfiles import DIRECTORY as CHUNKS
from s3sink_ingester.disk import Disk
from s3sink_ingester.errors import FormatTooNew
from s3sink_ingester.journal import entries, segment
from s3sink_ingester.journal.entries import Snapshot
from s3sink_ingester.journal.frame import HEADER_BYTES, Damage, Frame, FrameType, Tail
from s3sink_ingester.journal.log import FORMAT_VERSION
from s3sink_ingester.journal.segment import SegmentContent, SegmentHeader, Spare
from s3sink_ingester.journal.spans import Extent
from s3sink_ingester.recovery.state import RecoveringChunk, State
from s3sink_ingester.volume import OBJECTS

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


def read_state(disk: Disk, progress: Progress = lambda done, total: None) -> State:
    """Read the journal. Raises ``OSError``, ``FormatTooNew``."""
    state = State()
    names = disk.listdir(segment.DIRECTORY)
    ids = segment.ids_of(names)
    sizes = {one: names[basename(segment.path_of(one))] for one in ids}
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
    state.spares = [Spare(one, names[basename(segment.spare_path(one))]) for one in spares]
    return state


def _read_segment(state: State, content: SegmentContent, *, last: bool) -> None:
    name = segment.path_of(content.segment_id)
    header = content.header
    if content.unreadable:
        _damaged(state, content, f"{name}: the disk can't read {content.unreadable} bytes of it")
    if header is None:
        found = [item for item in content.items() if isinstance(item, Frame)]
        # With nothing to compare them with, frames behind a lost snapshot may be those that the file had before.
        doubtful = bool(found) and not state.based and found[0].type is not FrameType.SNAPSHOT
        if doubtful or not _go_on(state, found):
            # It was being created, and nothing was ever written behind its header.
            if last and not doubtful and not content.unreadable:
                state.unfinished.append(content.segment_id)
            else:
                _damaged(
                    state, content, f"{name}: the header is unreadable, and no frame is known to be its own"
                )
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


def _go_on(state: State, found: Sequence[Frame]) -> bool:
    """Whether frames found without a header are the segment's own and say anything.

    Those that the file had before are older. A snapshot alone repeats what is known, or says that nothing is.
    """
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
            chunk = RecoveringChunk(one.definition, 0, 0, one.length)
        else:
            chunk = RecoveringChunk(one.definition, one.length, one.records, one.length)
        state.chunks[one.definition.chunk_id] = chunk
    for append in state.orphans:  # their definition was in a lost frame, and this snapshot repeats it
        if append.chunk_id in state.chunks:
            state.chunks[append.chunk_id].appends.append(append)
    state.orphans.clear()
    state.based = True


def _apply_group(state: State, group: entries.Group) -> None:
    for definition in group.definitions:
        state.chunks[definition.chunk_id] = RecoveringChunk(definition, 0, 0, 0)
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


def _forget_chunk(state: State, chunk_id: int) -> RecoveringChunk | None:
    """All of its records are in an object."""
    if state.orphans:
        state.orphans = [one for one in state.orphans if one.chunk_id != chunk_id]
    return state.chunks.pop(chunk_id, None)
