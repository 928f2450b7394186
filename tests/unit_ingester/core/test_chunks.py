"""The chunk state machine, step by step."""

from __future__ import annotations

from array import array
from random import Random

import pytest
from s3sink_ingester.chunks import PART_OVERHEAD, Chunk, ChunkTable, Group, Now, Placement, chunk_path
from s3sink_ingester.journal import entries
from s3sink_ingester.journal.entries import object_path
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.policy import BatchLimits, SealReason
from s3sink_ingester.records import Kind, Partition

START = 1_800_000_000.0
LIMITS = BatchLimits(window=60, max_bytes=100, max_age=60.0)
BLOCK = 50
POSITION = 5000
"""Where in the journal the payloads of every group begin."""


class Clocks:
    """Both clocks by hand."""

    def __init__(self) -> None:
        self.now = Now(START, 500.0)

    def forward(self, seconds: float) -> Now:
        """Time passes."""
        self.now = Now(self.now.wall + seconds, self.now.monotonic + seconds)
        return self.now

    def jump(self, seconds: float) -> Now:
        """The wall clock is set, and no time passes."""
        self.now = Now(self.now.wall + seconds, self.now.monotonic)
        return self.now


def table(limits: BatchLimits = LIMITS, seed: int = 0, held_chunks: int = 1000) -> ChunkTable:
    return ChunkTable(limits, Random(seed), block_bytes=BLOCK, held_chunks=held_chunks)


def group(*payloads: tuple[str, bytes], kind: Kind = Kind.DATA) -> Group:
    made = Group()
    for name, payload in payloads:
        made.add([(Partition(name, kind), payload, payload.count(b"\n"))])
    return made


def lines(size: int) -> bytes:
    return b"x" * (size - 1) + b"\n"


def put(chunks: ChunkTable, now: Now, *payloads: tuple[str, bytes]) -> Placement:
    placement = chunks.place(group(*payloads), now)
    chunks.commit(placement, POSITION)
    return placement


def state(chunks: ChunkTable) -> list[tuple[int, str, int, int, str | None]]:
    return [
        (
            one.id,
            one.definition.name,
            one.length,
            one.records,
            None if one.closed is None else one.closed.value,
        )
        for one in chunks.unsealed.values()
    ]


def sealed(chunk: Chunk, size: int = 10) -> SealedObject:
    return SealedObject(
        chunk_id=chunk.id,
        key=f"key-{chunk.id}",
        path=object_path(chunk.id),
        size=size,
        sha256=bytes(32),
        records=chunk.records,
        raw_bytes=chunk.length,
        kind=Kind.DATA,
        sealed_at=START,
        oldest_at=chunk.definition.opened_at / 1000,
    )


def test_names_of_files() -> None:
    assert chunk_path(255) == "chunks/00000000000000ff.raw"
    assert object_path(255) == "objects/00000000000000ff.obj"


def test_payloads_of_a_partition_are_gathered_in_order() -> None:
    chunks, clocks = table(), Clocks()
    (chunk, payload, records), (other, _, _) = put(
        chunks, clocks.now, ("a/", b"1\n"), ("b/", b"2\n"), ("a/", b"3\n")
    ).appends
    assert (payload, records) == (b"1\n3\n", 2)
    assert chunk.parts == [b"1\n3\n"]
    assert list(chunk.spans) == [POSITION, 4]
    assert list(other.spans) == [POSITION + 4, 2]
    assert (chunk.length, chunk.records, other.length) == (4, 2, 2)
    assert set(chunks.open) == {"a/", "b/"}
    assert (chunks.accepted, chunks.raw_bytes) == (3, 6)
    assert chunks.held_bytes == 6 + 2 * PART_OVERHEAD


def test_what_is_not_committed_does_not_count() -> None:
    chunks, clocks = table(), Clocks()
    placement = chunks.place(group(("a/", b"1\n")), clocks.now)
    assert (chunks.accepted, chunks.raw_bytes) == (0, 0)
    snapshot = entries.decode_snapshot(memoryview(b"".join(chunks.snapshot())))
    assert snapshot.open == ()
    assert snapshot.next_chunk_id == 2, "its id is taken all the same"
    chunks.close_all(SealReason.DRAIN)
    assert chunks.take_sealable() == [], "it hasn't landed"
    chunks.commit(placement, POSITION)
    assert [one.id for one in chunks.take_sealable()] == [1]
    assert chunks.take_sealable() == [], "handed out once"


def test_an_aborted_group_leaves_nothing() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.now, ("a/", b"1\n"))
    placement = chunks.place(group(("a/", b"2\n"), ("b/", b"3\n")), clocks.now)
    chunks.abort(placement)
    assert state(chunks) == [(1, "a/", 2, 1, None)]
    assert set(chunks.open) == {"a/"}
    assert chunks.open["a/"].parts == [b"1\n"]
    put(chunks, clocks.now, ("b/", b"4\n"))
    assert state(chunks)[1] == (3, "b/", 2, 1, None), "the id isn't given again"


def test_an_aborted_group_whose_chunks_were_closed_meanwhile() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.now, ("a/", b"1\n"))
    placement = chunks.place(group(("a/", b"2\n"), ("b/", b"3\n")), clocks.now)
    chunks.close_all(SealReason.DRAIN)
    chunks.abort(placement)
    assert [one.id for one in chunks.take_sealable()] == [1]
    assert state(chunks) == [(1, "a/", 2, 1, "drain")]
    assert not chunks.open


def test_a_committed_group_whose_chunks_were_closed_meanwhile() -> None:
    chunks, clocks = table(), Clocks()
    placement = chunks.place(group(("a/", b"1\n")), clocks.now)
    chunks.close(placement.created[0], SealReason.PRESSURE)
    assert chunks.take_sealable() == []
    put(chunks, clocks.now, ("c/", b"9\n"))
    chunks.commit(placement, POSITION)
    (ready,) = chunks.take_sealable()
    assert (ready.id, ready.length) == (1, 2)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([40, 40], [(80, None)]),
        ([60, 40], [(100, "bytes")]),
        ([60, 41], [(60, "bytes"), (41, None)]),
        ([100], [(100, "bytes")]),
        ([250], [(250, "bytes")]),
        ([250, 10], [(250, "bytes"), (10, None)]),
        ([50, 250], [(50, "bytes"), (250, "bytes")]),
        ([99, 1, 1], [(100, "bytes"), (1, None)]),
    ],
)
def test_a_chunk_ends_before_it_would_pass_the_limit(
    sizes: list[int], expected: list[tuple[int, str | None]]
) -> None:
    """Only a payload that is larger alone makes a chunk larger."""
    chunks, clocks = table(), Clocks()
    for size in sizes:
        put(chunks, clocks.now, ("a/", lines(size)))
    assert [(length, closed) for _, _, length, _, closed in state(chunks)] == expected


def test_a_chunk_ends_with_its_window() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.forward(59.9), ("a/", b"1\n"))
    put(chunks, clocks.forward(0.2), ("a/", b"2\n"))
    assert state(chunks) == [(1, "a/", 2, 1, "window"), (2, "a/", 2, 1, None)]
    assert [one.definition.window_start for one in chunks.unsealed.values()] == [START, START + 60]


def test_an_idle_chunk_ends_between_its_windows_end_and_the_jitter() -> None:
    chunks, clocks = table(), Clocks()
    for number in range(50):
        put(chunks, clocks.now, (f"p{number}/", b"1\n"))
    chunks.close_due(clocks.forward(59.999))
    assert chunks.take_sealable() == []
    chunks.close_due(clocks.forward(1.5))
    some = len(chunks.take_sealable())
    assert 10 < some < 40, "spread"
    chunks.close_due(clocks.forward(1.502))
    assert len(chunks.take_sealable()) == 50 - some
    assert {one.closed for one in chunks.unsealed.values()} == {SealReason.WINDOW}


def test_age_is_a_bound() -> None:
    chunks, clocks = table(BatchLimits(window=3600, max_bytes=100, max_age=10.0)), Clocks()
    for number in range(50):
        put(chunks, clocks.now, (f"p{number}/", b"1\n"))
    chunks.close_due(clocks.forward(9.49))
    assert chunks.take_sealable() == []
    chunks.close_due(clocks.forward(0.51))
    assert len(chunks.take_sealable()) == 50
    assert {one.closed for one in chunks.unsealed.values()} == {SealReason.AGE}


@pytest.mark.parametrize("jump", [-86400.0, -61.0, 61.0, 86400.0, 10.0**9])
def test_a_clock_that_jumps_neither_holds_records_back_nor_seals_everything(jump: float) -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.now, ("a/", b"1\n"))
    chunks.close_due(clocks.jump(jump))
    assert chunks.take_sealable() == [], "no time has passed"
    put(chunks, clocks.now, ("b/", b"1\n"))
    chunks.close_due(clocks.forward(59.0))
    assert len(chunks.take_sealable()) <= 1
    chunks.close_due(clocks.forward(64.0))
    chunks.take_sealable()
    assert all(one.closed is SealReason.WINDOW for one in chunks.unsealed.values())


def test_a_clock_that_goes_back_and_forth_gives_each_window_its_chunk() -> None:
    chunks, clocks = table(), Clocks()
    for jump in (0.0, -60.0, 60.0, -60.0):
        put(chunks, clocks.jump(jump), ("a/", b"1\n"))
    starts = [one.definition.window_start - START for one in chunks.unsealed.values()]
    assert starts == [0, -60, 0, -60], "no record is filed under a window that it isn't in"
    assert [closed for *_, closed in state(chunks)] == ["window", "window", "window", None]
    assert [one.id for one in chunks.take_sealable()] == [1, 2, 3]


def test_the_largest_are_closed_under_pressure() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.now, ("a/", lines(10)), ("b/", lines(30)), ("c/", lines(20)), ("d/", lines(5)))
    chunks.close_largest(2)
    assert {one.definition.name for one in chunks.take_sealable()} == {"b/", "c/"}
    assert set(chunks.open) == {"a/", "d/"}
    chunks.close_largest(10)
    assert not chunks.open


def test_a_life_from_open_to_uploaded() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.now, ("a/", lines(10)), ("b/", lines(10)))
    chunks.close_all(SealReason.DRAIN)
    first, second = chunks.take_sealable()
    chunks.add_sealed(sealed(first, size=7))
    assert (chunks.raw_bytes, chunks.held_bytes, chunks.sealed_bytes) == (10, 10 + PART_OVERHEAD, 7)
    assert not chunks.is_empty()
    finished = chunks.finish(first.id, quarantined=False)
    assert finished is not None
    assert finished.key == "key-1"
    chunks.add_sealed(sealed(second))
    chunks.finish(second.id, quarantined=True)
    assert chunks.is_empty()
    assert (chunks.accepted, chunks.uploaded, chunks.quarantined, chunks.buffered_records()) == (2, 1, 1, 0)
    assert (chunks.raw_bytes, chunks.held_bytes, chunks.sealed_bytes) == (0, 0, 0)


def test_bytes_on_the_way_to_a_file() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.now, ("a/", b"1\n"))
    chunk = chunks.open["a/"]
    assert list(chunks.dirty()) == [chunk]
    pending = chunks.detach(chunk)
    assert (pending.offset, pending.length, pending.parts, len(pending.missing)) == (0, 2, [b"1\n"], 0)
    assert (chunk.flushing, chunk.pending_bytes, chunks.held_bytes) == (True, 0, 0)
    put(chunks, clocks.now, ("a/", b"23\n"))
    assert list(chunks.dirty()) == [], "one write at a time"
    chunks.flush_failed(pending)
    assert (chunk.flushed, chunk.flushing, chunk.pending_bytes) == (0, False, 5)
    assert list(chunk.spans) == [POSITION, 2, POSITION, 3]
    assert chunk.parts == [b"23\n"], "what failed is in the journal, and in memory no more"
    again = chunks.detach(chunk)
    assert (list(again.missing), again.parts, again.length) == ([POSITION, 2], [b"23\n"], 5)
    chunks.flushed(chunk)
    assert (chunk.parts, list(chunk.spans), chunk.flushed, chunk.pending_bytes) == ([], [], 5, 0)
    assert (chunks.held_bytes, chunks.raw_bytes) == (0, 5)


def test_payloads_that_memory_has_no_room_for_stay_in_the_journal() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.now, ("a/", b"1\n"), ("b/", b"2\n"))
    before = chunks.open["a/"].pending()
    chunks.drop_held()
    assert chunks.held_bytes == 0
    put(chunks, clocks.now, ("a/", b"345\n"))
    assert chunks.held_bytes == 4 + PART_OVERHEAD
    first, second = (chunks.open[name].pending() for name in ("a/", "b/"))
    assert (list(first.missing), first.parts, first.length) == ([POSITION, 2], [b"345\n"], 6)
    assert (list(second.missing), second.parts, second.length) == ([POSITION + 2, 2], [], 2)
    assert before.parts == [b"1\n"], "whoever has taken them has them"


def test_chunks_that_have_a_block_to_write() -> None:
    chunks, clocks = table(BatchLimits(window=60, max_bytes=1000, max_age=60.0)), Clocks()

    def commit(*sizes: tuple[str, int]) -> list[str]:
        made = group(*((name, lines(size)) for name, size in sizes))
        return [one.definition.name for one in chunks.commit(chunks.place(made, clocks.now), POSITION)]

    assert commit(("a/", BLOCK - 1), ("b/", BLOCK), ("c/", 1)) == ["b/"]
    pending = chunks.detach(chunks.open["b/"])
    assert commit(("a/", 1), ("c/", 1)) == ["a/"]
    assert commit(("b/", BLOCK)) == [], "one write at a time"
    chunks.flush_failed(pending)
    assert commit(("b/", 1)) == ["b/"]


def test_nothing_is_held_of_more_chunks_than_memory_is_good_for() -> None:
    chunks, clocks = table(held_chunks=2), Clocks()
    put(chunks, clocks.now, ("a/", b"1\n"), ("b/", b"2\n"))
    assert chunks.held_bytes == 4 + 2 * PART_OVERHEAD
    put(chunks, clocks.now, ("a/", b"3\n"), ("c/", b"4\n"))
    assert (chunks.held_bytes, [one.parts for one in chunks.unsealed.values()]) == (0, [[], [], []])
    chunks.close_all(SealReason.DRAIN)
    for one in chunks.take_sealable()[1:]:
        chunks.add_sealed(sealed(one))
    put(chunks, clocks.now, ("a/", b"5\n"))
    pending = [one.pending() for one in chunks.unsealed.values()]
    assert [(list(one.missing), one.parts) for one in pending] == [
        ([POSITION, 2, POSITION, 2], []),
        ([], [b"5\n"]),
    ]


def test_a_flush_that_fails_after_its_chunk_was_sealed_counts_nothing() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.now, ("a/", b"1\n"))
    chunk = chunks.open["a/"]
    chunks.close_all(SealReason.DRAIN)
    pending = chunks.detach(chunk)
    chunks.add_sealed(sealed(chunk))
    chunks.flush_failed(pending)
    assert (chunks.held_bytes, chunks.raw_bytes) == (0, 0)
    assert list(chunks.dirty()) == []


def test_the_oldest_record() -> None:
    chunks, clocks = table(), Clocks()
    assert chunks.oldest() is None
    put(chunks, clocks.forward(1.0), ("a/", b"1\n"))
    put(chunks, clocks.forward(1.0), ("b/", b"1\n"))
    assert chunks.oldest() == START + 1
    chunks.close_all(SealReason.DRAIN)
    first, second = chunks.take_sealable()
    chunks.add_sealed(sealed(second))
    assert chunks.oldest() == START + 1
    chunks.add_sealed(sealed(first))
    chunks.finish(first.id, quarantined=False)
    assert chunks.oldest() == START + 2


def test_the_oldest_record_where_the_clock_was_set_back() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.jump(3600.0), ("a/", b"1\n"))
    put(chunks, clocks.jump(-3600.0), ("b/", b"1\n"))
    assert chunks.oldest() == START


def test_kinds_are_counted() -> None:
    chunks, clocks = table(), Clocks()
    chunks.commit(chunks.place(group(("e/", b"1\n2\n"), kind=Kind.INVALID), clocks.now), POSITION)
    assert chunks.accepted_by_kind == [0, 2, 0]


def restored(
    chunks: ChunkTable, now: Now, pending: dict[int, array[int]], limits: BatchLimits = LIMITS
) -> ChunkTable:
    again = table(limits)
    again.restore(entries.decode_snapshot(memoryview(b"".join(chunks.snapshot()))), pending, now)
    return again


def test_a_restored_table_goes_on() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.now, ("a/", lines(10)), ("b/", lines(20)), ("c/", lines(30)))
    chunks.close(chunks.open["c/"], SealReason.DRAIN)
    (third,) = chunks.take_sealable()
    chunks.add_sealed(sealed(third))
    pending = {1: array("Q", [70, 6]), 2: array("Q", [80, 15, 120, 5])}
    again = restored(chunks, clocks.forward(5.0), pending)
    assert state(again) == [(1, "a/", 10, 1, None), (2, "b/", 20, 1, None)]
    assert [(one.flushed, one.spans, one.parts) for one in again.unsealed.values()] == [
        (4, pending[1], []),
        (0, pending[2], []),
    ]
    assert again.sealed == chunks.sealed
    assert (again.accepted, again.raw_bytes, again.held_bytes, again.sealed_bytes) == (3, 30, 0, 10)
    assert again.snapshot() == chunks.snapshot()
    put(again, clocks.now, ("a/", lines(7)), ("d/", lines(7)))
    assert state(again)[0] == (1, "a/", 17, 2, None)
    assert state(again)[-1][0] == 4


def test_a_chunk_that_was_closed_is_closed_when_a_later_one_of_its_partition_is_restored() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.now, ("a/", lines(60)))
    put(chunks, clocks.now, ("a/", lines(60)))
    again = restored(chunks, clocks.now, {})
    assert [(one, closed) for one, _, _, _, closed in state(again)] == [(1, "window"), (2, None)]
    assert [one.id for one in again.take_sealable()] == [1]
    assert again.open["a/"].id == 2


@pytest.mark.parametrize(
    ("away", "left"),
    [
        (0.0, 60.0),
        (20.0, 40.0),
        (3600.0, 0.0),
        (-3600.0, 60.0),  # the clock went back: it counts as new, and no longer
    ],
)
def test_a_restored_chunk_keeps_its_deadline(away: float, left: float) -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.now, ("a/", b"1\n"))
    again = restored(chunks, clocks.jump(away), {})
    again.close_due(clocks.forward(max(0.0, left - 0.001)))
    assert bool(again.take_sealable()) == (left == 0.0)
    again.close_due(clocks.forward(3.01))
    assert bool(again.take_sealable()) == (left != 0.0)


def test_other_limits_than_before() -> None:
    chunks, clocks = table(), Clocks()
    put(chunks, clocks.forward(10.0), ("a/", lines(50)))
    hourly = BatchLimits(window=3600, max_bytes=20, max_age=3600.0)
    again = restored(chunks, clocks.forward(30.0), {}, hourly)
    put(again, clocks.now, ("a/", lines(10)))
    assert [(length, closed) for _, _, length, _, closed in state(again)] == [(50, "bytes"), (10, None)]
