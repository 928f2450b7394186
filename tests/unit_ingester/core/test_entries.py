"""Bodies of frames: what is written is read, whatever it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.journal import entries
from s3sink_ingester.journal.entries import Definition, Done, Group, OpenChunk, Snapshot, Totals
from s3sink_ingester.objects import SealedObject
from s3sink_ingester.records import Kind

u64 = st.integers(0, 2**64 - 1)
u32 = st.integers(0, 2**32 - 1)
seconds = st.integers(-(2**40), 2**40)
milliseconds = st.integers(0, 2**42)
names = st.text(max_size=100).filter(lambda name: name.isprintable())
kinds = st.sampled_from(Kind)

definitions = st.builds(Definition, u64, names, kinds, seconds, milliseconds)


@st.composite
def sealed_objects(draw: st.DrawFn) -> SealedObject:
    chunk_id = draw(u64)
    return SealedObject(
        chunk_id=chunk_id,
        key=draw(names),
        path=entries.object_path(chunk_id),
        size=draw(u64),
        sha256=draw(st.binary(min_size=32, max_size=32)),
        records=draw(u64),
        raw_bytes=draw(u64),
        kind=draw(kinds),
        sealed_at=draw(milliseconds) / 1000,
        oldest_at=draw(milliseconds) / 1000,
    )


appends = st.lists(st.tuples(u64, u64, u32, st.binary(max_size=40)), max_size=5)


@given(
    sealed=st.lists(sealed_objects(), max_size=3),
    done=st.lists(st.builds(Done, u64, st.booleans()), max_size=3),
    defined=st.lists(definitions, max_size=3),
    appended=appends,
    start=st.integers(0, 2**40),
)
def test_groups(
    sealed: list[SealedObject],
    done: list[Done],
    defined: list[Definition],
    appended: list[tuple[int, int, int, bytes]],
    start: int,
) -> None:
    body = b"".join(
        entries.encode_group(
            [entries.encode_sealed(one) for one in sealed],
            [entries.encode_done(one) for one in done],
            [one.encode() for one in defined],
            entries.encode_appends(
                [
                    word
                    for chunk, offset, records, data in appended
                    for word in (chunk, offset, records << 32 | len(data))
                ]
            ),
            [data for *_, data in appended],
        )
    )
    group = entries.decode_group(memoryview(body), start)
    assert group == Group(
        tuple(sealed),
        tuple(done),
        tuple(defined),
        group.appends,
    )
    assert [
        (one.chunk_id, one.offset, one.records, body[one.position - start :][: one.length])
        for one in group.appends
    ] == appended


@given(
    next_id=u64,
    totals=st.builds(Totals, u64, u64, u64),
    chunks=st.lists(st.builds(OpenChunk, definitions, u64, u64), max_size=4),
    sealed=st.lists(sealed_objects(), max_size=4),
)
def test_snapshots(next_id: int, totals: Totals, chunks: list[OpenChunk], sealed: list[SealedObject]) -> None:
    body = b"".join(
        entries.encode_snapshot(
            next_id,
            totals,
            [entries.encode_open(one.definition.encode(), one.length, one.records) for one in chunks],
            [entries.encode_sealed(one) for one in sealed],
        )
    )
    assert entries.decode_snapshot(memoryview(body)) == Snapshot(
        next_id, totals, tuple(chunks), tuple(sealed)
    )
