"""Several workers on one data port: they and their supervisor are killed, and their number changes at every start."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import psutil
import yaml
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.inspection import look
from s3sink_ingester.volume import IDENTITY
from s3sink_ingester.workers import layout

from tests.crash.conftest import MakeSink, Tell
from tests.crash.load import Load, Shape
from tests.crash.sink import PATIENCE, Sink
from tests.rig.processes import free_port

ROUNDS = 4


async def test_workers_are_killed_and_their_number_changes(make_sink: MakeSink, tell: Tell) -> None:
    rng = Random(1)
    port = free_port()
    sink = make_sink(source={"port": port}, buffer={"size": "512Mi"})
    load = Load(sink.ledger, rng, Shape(size=600), pause=0.002)
    for _ in range(ROUNDS):
        set_workers(sink, rng.choice((1, 2, 3)))
        supervisor = sink.start_command("serve").pid
        await load.send_until_acked(port, 10)
        load.start(port)
        await asyncio.sleep(rng.uniform(0.1, 0.6))
        workers = psutil.Process(supervisor).children()
        for worker in rng.sample(workers, min(len(workers), rng.randint(0, 2))):
            worker.kill()
        await asyncio.sleep(rng.uniform(0.0, 1.0))
        workers = psutil.Process(supervisor).children()
        sink.kill()
        await load.stop()
        gone, alive = psutil.wait_procs(workers, timeout=PATIENCE)  # a container ends with its last process
        assert not alive, f"{len(alive)} of {len(alive) + len(gone)} workers outlived their supervisor"
        for volume in layout.volumes(Path(sink.settings["buffer"]["path"])):
            if (volume / IDENTITY).exists():  # else it was killed while it was made, before any record
                assert look(RealDisk(str(volume))).balanced
    sink.start_command("drain")
    assert await sink.exited() == 0, sink.log_tail()
    assert load.answers.hung == 0
    tell(f"{ROUNDS} kills of workers and supervisor", sink.verdict())


def set_workers(sink: Sink, number: int) -> None:
    """Say in the settings how many there are."""
    sink.settings["workers"] = number
    Path(sink.plan.settings).write_text(yaml.safe_dump(sink.settings))
