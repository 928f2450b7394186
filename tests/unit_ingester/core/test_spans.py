"""Payloads read back from the journal's segments."""

from __future__ import annotations

from random import Random

import pytest
from s3sink_ingester.disk.fake import FakeDisk
from s3sink_ingester.errors import VolumeError
from s3sink_ingester.journal.segment import path_of
from s3sink_ingester.journal.spans import BLOCK_BYTES, Extent, SpanReader

EXTENTS = (Extent(300, 200, 7), Extent(0, 100, 5), Extent(100, 200, 6))
"""In no order. Position 0 is byte 0 of segment 5."""


def segments() -> tuple[FakeDisk, bytes]:
    """Three segments of noise, and their bytes end to end."""
    disk, rng = FakeDisk(), Random(0)
    disk.mkdir("journal")
    everything = b""
    for _, size, segment_id in sorted(EXTENTS):
        data = rng.randbytes(size)
        disk.create(path_of(segment_id)).append(data)
        everything += data
    return disk, everything


def test_spans_of_several_segments() -> None:
    disk, everything = segments()
    reader = SpanReader(disk, EXTENTS)
    wanted = [[(0, 1), (99, 1), (100, 5)], [], [(10, 20), (299, 1), (300, 200)], [(99, 1), (250, 0)]]
    found = reader.read([[number for span in spans for number in span] for spans in wanted])
    assert found == [[everything[start : start + length] for start, length in spans] for spans in wanted]
    assert reader.read([]) == []
    reader.close()


def test_a_journal_of_many_blocks_is_read_in_its_own_order() -> None:
    disk, everything = FakeDisk(), Random(1).randbytes(7 * BLOCK_BYTES // 2)
    disk.mkdir("journal")
    disk.create(path_of(1)).append(everything)
    reader = SpanReader(disk, [Extent(0, len(everything), 1)])
    starts = [Random(2).sample(range(len(everything) - 9), 50) for _ in range(20)]
    wanted = [sorted(some) for some in starts]
    found = reader.read([[number for start in some for number in (start, 9)] for some in wanted])
    assert found == [[everything[start : start + 9] for start in some] for some in wanted]


def test_what_can_not_be_read_between_spans_does_not_matter() -> None:
    disk, everything = segments()
    disk.make_unreadable(path_of(6), 30, 20)
    reader = SpanReader(disk, EXTENTS)
    wanted = [[90, 5, 110, 20, 150, 9], [300, 4]]
    assert reader.read(wanted) == [
        [everything[90:95], everything[110:130], everything[150:159]],
        [everything[300:304]],
    ]
    for spans in ([120, 11], [149, 1, 310, 5], [90, 5, 130, 1]):
        with pytest.raises(OSError, match="Input/output error"):
            reader.read([spans])


def test_segments_are_opened_when_they_are_needed() -> None:
    disk, _ = segments()
    disk.unlink(path_of(6))
    reader = SpanReader(disk, EXTENTS)
    assert len(reader.read([(0, 1), (300, 1)])) == 2
    with pytest.raises(FileNotFoundError):
        reader.read([(150, 1)])
    reader.close()


@pytest.mark.parametrize("position", [500, 10**12])
def test_a_position_that_no_segment_has(position: int) -> None:
    disk, _ = segments()
    with pytest.raises(VolumeError, match="let go too early"):
        SpanReader(disk, EXTENTS).read([(position, 1)])


def test_a_segment_that_is_shorter_than_it_was() -> None:
    disk, _ = segments()
    disk.open(path_of(5)).truncate(50)
    with pytest.raises(VolumeError, match="ends within the payload"):
        SpanReader(disk, EXTENTS).read([(40, 20)])
