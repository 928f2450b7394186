"""Two processes on one volume, a volume of a later version, and a journal with a byte that isn't what was written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest
from s3sink_ingester.errors import FormatTooNew, VolumeLocked

from tests.crash import scenario
from tests.crash.conftest import MakeSink, Tell
from tests.crash.ledger import Fate
from tests.crash.load import Load, Shape
from tests.crash.points import Fault
from tests.crash.sink import Sink

SINGLES = Shape(partitions=4, size=300, singles=1.0, pipelined=1)
STILL = {"window": "24h", "maxBytes": "1Mi"}
"""Nothing is sealed meanwhile."""


async def test_a_second_process_is_refused(make_sink: MakeSink, tell: Tell) -> None:
    sink = make_sink()
    sink.start()
    load = Load(sink.ledger, Random(1))
    load.start(await sink.port())
    for command in ("serve", "drain"):
        second = Sink(sink.directory / command, sink.settings)
        second.start_command(command)
        assert await second.exited() == VolumeLocked.exit_code
        assert "in use by another process" in second.log_tail()
    acked = load.answers.acked
    await load.stop()
    await load.send_until_acked(await sink.port(), 50)
    assert load.answers.acked > acked
    sink.kill()
    tell("two processes on one volume", await sink.drained_verdict())


@pytest.mark.parametrize("command", ["serve", "drain"])
async def test_a_later_format_is_refused(make_sink: MakeSink, tell: Tell, command: str) -> None:
    sink = make_sink()
    sink.start()
    await Load(sink.ledger, Random(1)).send_until_acked(await sink.port(), 20)
    sink.kill()
    identity = sink.buffer / "store.json"
    mine = identity.read_text()
    identity.write_text(json.dumps({**json.loads(mine), "format": 99}))
    before = contents(sink.buffer)
    sink.start_command(command)
    assert await sink.exited() == FormatTooNew.exit_code
    assert "written in format 99" in sink.log_tail()
    assert contents(sink.buffer) == before, "a volume that isn't understood was touched"
    identity.write_text(mine)
    tell(f"{command} refuses a later format", await sink.drained_verdict())


@pytest.mark.parametrize("seed", range(5))
async def test_a_byte_in_the_middle_of_the_journal(make_sink: MakeSink, tell: Tell, seed: int) -> None:
    """One request in a frame of its own is lost, and reported; everything else is found.

    Not one that began a chunk: without its definition the chunk's later records are only in the quarantine, as
    ``docs/format.md`` says.
    """
    rng = Random(seed)
    sink = make_sink(batch=STILL)
    sink.start()
    await Load(sink.ledger, rng, SINGLES).send(await sink.port(), 80, connections=1)
    sink.kill()
    victim = rng.choice(continuing(sink.buffer / "journal")[:-1])
    assert sink.ledger.sent[victim].fate is Fate.ACKED
    name = flip(sink.buffer / "journal", b"%d.0.1 p" % victim)
    sink.ledger.sent[victim].fate = Fate.UNKNOWN

    sink.start()
    status = (await sink.status())["store"]
    assert any(name in what and "corrupt" in what for what in status["damage"]), status["damage"]
    await Load(sink.ledger, rng, SINGLES).send_until_acked(await sink.port(), 20)
    sink.kill()
    sink.start()
    await Load(sink.ledger, rng, SINGLES).send_until_acked(await sink.port(), 20)
    sink.kill()
    await sink.drain()
    assert (sink.buffer / "quarantine" / name).exists()
    verdict = sink.verdict()
    assert verdict.unacked_found == 0
    tell("a corrupt byte in the journal", verdict)


async def test_a_sealed_object_that_rots(make_sink: MakeSink, tell: Tell, tmp_path: Path) -> None:
    """It goes into the quarantine, whole, whenever the process is killed on the way; all others are uploaded."""
    image = make_sink("image", batch={"window": "24h", "maxBytes": "8Ki"})
    image.block_uploads()
    image.start()
    load = Load(image.ledger, Random(1), Shape(size=300))
    while (await image.status())["store"]["sealed_backlog"] < 4:
        await load.send_until_acked(await image.port(), 20)
    image.kill()
    image.unblock_uploads()
    report = image.inspected()
    assert report is not None
    rotten = report.sealed_objects[1]
    path = image.buffer / "objects" / f"{rotten.chunk_id:016x}.obj"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x01
    path.write_bytes(data)

    whole = scenario.copy(image, tmp_path / "whole")
    await put_aside(whole, path.name, rotten.records)
    points = [point for point in scenario.passages(whole) if "quarantine" in point and "mkdir" not in point]
    assert points
    for number, point in enumerate(points):
        sink = scenario.copy(image, tmp_path / f"rot-{number}")
        sink.start(Fault(point), until_drained=True)
        await sink.exited()
        await put_aside(sink, path.name, rotten.records)


async def put_aside(sink: Sink, name: str, records: int) -> None:
    """Drain; the named object has to be in the quarantine, and everything else in the bucket."""
    store = (await sink.drain())["status"]["store"]
    assert (store["quarantined_records"], store["buffered_records"]) == (records, 0)
    assert store["accepted_records"] == store["uploaded_records"] + records
    assert (sink.buffer / "quarantine" / name).exists()
    verdict = sink.verdict()
    assert (verdict.duplicated, verdict.acked - verdict.lost) == (0, store["uploaded_records"])


def continuing(journal: Path) -> list[int]:
    """Requests of one record whose frame continues a chunk that was there, in the journal's order."""
    written = b"".join(path.read_bytes() for path in sorted(journal.glob("*.seg")))
    begun: set[bytes] = set()
    found = []
    for number, partition in re.findall(rb"(\d+)\.0\.1 (p\d+) ", written):
        if partition in begun:
            found.append(int(number))
        begun.add(partition)
    return found


def flip(journal: Path, marker: bytes) -> str:
    """Change a byte of the record that begins with the marker; returns the segment's name."""
    for path in sorted(journal.glob("*.seg")):
        data = bytearray(path.read_bytes())
        at = data.find(marker)
        if at >= 0:
            data[at + len(marker) + 10] ^= 0xFF
            path.write_bytes(data)
            return path.name
    raise AssertionError(f"{marker!r} is in no segment")


def contents(directory: Path) -> dict[str, bytes]:
    """Every file but the lock, in which a process may note its id."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != "lock"
    }
