"""One short life of a volume, which passes every point, and volumes for recovery to be tried on."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from tests.crash.load import Load, Shape
from tests.crash.points import Fault
from tests.crash.sink import Settings, Sink, tiny_settings

LIFE: dict[str, Settings] = {
    "source": {"maxRequestBytes": "256Ki"},
    "buffer": {"segmentBytes": "512Ki"},
    "batch": {"window": "24h", "maxBytes": "150Ki"},
}
"""Nothing is sealed by time, so that a life is nearly the same every time; large records, so that it is short."""

MANY = Shape(partitions=20, size=10000, batch=16, singles=0.2, pipelined=1)
"""A checkpoint has so many files to sync that it syncs the file system."""
FEW = replace(MANY, partitions=5)
"""It syncs them one by one."""
SIGNAL_SECONDS = 0.06
"""How long a process has for what a signal asks of it, before it gets the next."""


async def live(sink: Sink, seed: int, fault: Fault | None = None) -> None:
    """Start, take records, drain, resume, take records, stop; or as much of it as the fault allows."""
    rng = Random(seed)
    sink.start(fault, seed=seed)
    port = await sink.listening()
    if port is None:
        return
    for shape in (MANY, FEW):
        await Load(sink.ledger, rng, shape).send(port, 60)
    for number in (signal.SIGUSR2, signal.SIGUSR1):
        if sink.process.alive:
            sink.signal(number)
            await asyncio.sleep(SIGNAL_SECONDS)
    if sink.process.alive:
        await Load(sink.ledger, rng, FEW).send(port, 20)
        sink.signal(signal.SIGTERM)
    await sink.exited()


async def endure(sink: Sink, seed: int, fault: Fault) -> None:
    """The same life where an operation fails once or a few times in a row: the process has to go on, and end well."""
    rng = Random(seed)
    sink.start(fault, seed=seed)
    port = await sink.port()
    for shape in (MANY, FEW):
        await Load(sink.ledger, rng, shape).send_until_acked(port, 45)
    sink.signal(signal.SIGUSR2)
    await asyncio.sleep(SIGNAL_SECONDS)
    sink.signal(signal.SIGUSR1)
    await asyncio.sleep(SIGNAL_SECONDS)
    await Load(sink.ledger, rng, FEW).send_until_acked(port, 15)
    sink.signal(signal.SIGTERM)
    code = await sink.exited()
    assert code == 0, f"exit code {code}\n{sink.log_tail()}"


def passages(sink: Sink) -> dict[str, int]:
    """How often the process that ended last passed each point."""
    found: dict[str, int] = json.loads((sink.directory / "report.json").read_text())["passages"]
    return found


def faults(passed: dict[str, int], stages: Sequence[str], rng: Random, what: str = "KILL") -> list[Fault]:
    """A fault at each point of the stages: at its first passage, and at a later one where there are more."""
    found = []
    for point, times in sorted(passed.items()):
        if point.split("/")[0] in stages:
            found.append(Fault(point, 1, what))
            if times > 1:
                found.append(Fault(point, rng.randint(2, times), what))
    return found


def copy(sink: Sink, directory: Path) -> Sink:
    """The same volume and bucket elsewhere, with the same ledger."""
    shutil.copytree(sink.directory, directory, symlinks=True)
    groups = {name: group for name, group in sink.settings.items() if isinstance(group, dict)}
    fresh = tiny_settings(directory)
    groups["destination"] = fresh["destination"]
    groups["buffer"] = {**groups["buffer"], "path": fresh["buffer"]["path"]}
    return Sink(directory, tiny_settings(directory, **groups), sink.ledger)
