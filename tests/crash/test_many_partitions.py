"""Ten thousand partitions, all open at once in one process: memory and descriptors stay bounded."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path
from random import Random

from tests.crash.conftest import MakeSink, Tell
from tests.crash.load import Load, Shape
from tests.crash.sink import ROOT
from tests.rig.processes import Process

PARTITIONS = 10_000
MAX_RSS = 220 << 20
"""The process needs about half of it; allocators differ."""
MAX_DESCRIPTORS = 200


async def test_ten_thousand_open_partitions(make_sink: MakeSink, tell: Tell) -> None:
    sink = make_sink(
        source={"maxRequestBytes": "4Mi"},
        batch={"window": "24h", "maxBytes": "25Mi"},
        buffer={"size": "1Gi", "segmentBytes": "16Mi", "memoryBytes": "32Mi"},
    )
    shape = Shape(partitions=PARTITIONS, size=900, batch=2000, singles=0.0, pipelined=1)
    descriptors = 0
    # A process of its own, not a fork: a fork shares memory with the server that it comes from.
    command = [sys.executable, "-m", "tests.crash.entry", sink.plan.dumps()]
    with Process(command, log=sink.directory / "log", cwd=ROOT) as process:
        sink.adopt(process)
        port = await sink.port()
        load = Load(sink.ledger, Random(1), shape)
        for _ in range(8):
            await load.send_until_acked(port, 16)
            descriptors = max(descriptors, open_descriptors(process.pid))
        status = await sink.status()
        open_at_once = rss(process.pid)
        assert status["store"]["open_partitions"] == PARTITIONS
        sink.signal(signal.SIGUSR2)
        while (await sink.status())["store"]["drained"] is False:
            descriptors = max(descriptors, open_descriptors(process.pid))
            await asyncio.sleep(0.2)
        highest = rss(process.pid)
    tell(
        f"10,000 partitions: peak RSS {open_at_once >> 20} MiB when open, {highest >> 20} MiB with the drain, "
        f"{descriptors} descriptors",
        sink.verdict(),
    )
    assert highest < MAX_RSS
    assert descriptors < MAX_DESCRIPTORS


def open_descriptors(pid: int) -> int:
    """How many a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def rss(pid: int) -> int:
    """Peak resident memory of a process so far, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10
