"""Damage that hides that a chunk was sealed and uploaded: nobody knows of its object, and what is left is sent again.

While the journal has all of the chunk, what is left gives the same bytes, so the same name, and that is there already.
"""

from __future__ import annotations

import pytest
from s3sink_ingester.disk import Disk
from s3sink_ingester.journal import entries, segment
from s3sink_ingester.journal.frame import Frame, FrameType
from s3sink_ingester.policy import BatchLimits, SealReason

from tests.rig.volumes import Machine

RECORDS = 12
SEGMENT = 4096


def hide_seals(machine: Machine) -> int:
    """Corrupt every frame that tells of a seal or of an upload; how many there were."""
    hidden = [(one, path) for path in segments(machine.disk) for one in frames(machine.disk, path)]
    hidden = [(one, path) for one, path in hidden if _tells_of_a_seal(one)]
    for one, path in hidden:
        machine.fake.corrupt(path, one.offset + 30, b"\xff\xff\xff")
    return len(hidden)


def segments(disk: Disk) -> list[str]:
    return [segment.path_of(one) for one in segment.ids_of(disk.listdir(segment.DIRECTORY))]


def frames(disk: Disk, path: str) -> list[Frame]:
    content = segment.read(disk, int(path[8:24], 16))
    return [one for one in content.items() if isinstance(one, Frame)]


def _tells_of_a_seal(frame: Frame) -> bool:
    if frame.type is FrameType.SNAPSHOT:
        return False
    group = entries.decode_group(frame.body, 0)
    return bool(group.sealed or group.done)


async def upload(machine: Machine) -> None:
    """Records of one partition, sealed and uploaded; then a commit, so that what is lost is no torn end."""
    machine.send_to(["p0/"] * RECORDS)
    await machine.settle()
    machine.running.table.close_all(SealReason.DRAIN)
    machine.running.tick()
    await machine.settle()
    assert len(machine.ledger.bucket) == 1
    machine.send_to(["p1/"])
    await machine.settle()
    await machine.kill()


@pytest.mark.parametrize("flushed", [False, True])
async def test_what_the_journal_still_has_is_no_duplicate(flushed: bool) -> None:
    limits = BatchLimits(3600, 1 << 20, 3600.0)
    machine = Machine(
        0, limits=limits, segment_bytes=SEGMENT, memory_bytes=1 << 20, block_bytes=64 if flushed else 1 << 20
    )
    await machine.start()
    await upload(machine)
    assert hide_seals(machine) == 2
    before = dict(machine.ledger.bucket)
    store = await machine.start()
    assert store.status().damage
    assert "p0/" in store.table.open, "nobody knows that it was uploaded"
    await machine.finish()
    assert len(machine.ledger.bucket) == len(before) + 1, "the same bytes have the same name; p1/ is new"
    machine.ledger.check()
