"""Requests a second, and what a record costs, while chunks fill up, are sealed and uploaded."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import filling, loads, measure, wrk
from tests.bench.messages import SIZE
from tests.bench.servers import Bench, Contestant, Server, Store, count_records, store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One measured interval of one load on one server. Rates per second, CPU in microseconds a record."""

    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    resident: int  # bytes
    peak: int
    others: float  # share of the server's core that went to other processes: a noisy run if not near 0
    acknowledged: int  # records, as counted on the client's side since the start
    accepted: int | None  # as counted by the server
    found: int | None  # as counted in the objects at the end; None if they were not drained
    in_flight: int  # records that may have been accepted with nobody there to hear it
    errors: int  # refused requests and broken connections

    @property
    def honest(self) -> bool:
        """Whether what was acknowledged is what the server says it has and what is in the objects."""
        counts = [count for count in (self.accepted, self.found) if count is not None]
        within = all(0 <= count - self.acknowledged <= self.in_flight for count in counts)
        return within and len(set(counts)) <= 1


@dataclass(frozen=True)
class Timing:
    """Seconds of load that are not counted, then seconds that are."""

    warm_up: float
    measured: float


def sample(
    contestant: Contestant, load: loads.Load, bench: Bench, timing: Timing, target: Store | None = None
) -> Sample:
    """Measure one load on a server that is started for it. `target`: a store to use, which is not drained.

    Raises LoadError if nothing was acknowledged.
    """
    with scratch(bench) as directory, ExitStack() as stack:
        objects = target or stack.enter_context(store(bench, directory))
        server = contestant.launch(bench, directory, objects, stack)
        requests = loads.requests(load, contestant.form)
        # Peers take minutes for it; without it they compress and upload next to nothing while they are measured.
        full = load.keys <= 100 and not contestant.is_peer
        acknowledged = prefill(server, contestant.form, load, bench) if full else 0

        def post(seconds: float) -> wrk.Outcome:
            return wrk.run(
                server.url,
                requests,
                directory,
                seconds=seconds,
                connections=loads.CONNECTIONS,
                core=bench.load_core,
            )

        warm_up = post(timing.warm_up)
        cpu, busy = measure.cpu_seconds(server.pid), measure.core_busy_seconds(bench.server_core)
        started = time.monotonic()
        outcome = post(timing.measured)
        elapsed = time.monotonic() - started
        cpu_after = measure.cpu_seconds(server.pid)
        busy = measure.core_busy_seconds(bench.server_core) - busy
        memory = measure.memory(server.pid)

        if not outcome.acknowledged:
            raise wrk.LoadError(f"{contestant.name} acknowledged nothing in {outcome.seconds:.0f} s")
        records = outcome.acknowledged * load.batch
        acknowledged += records + warm_up.acknowledged * load.batch
        found = None
        if target is None:
            server.finish()
            found = count_records(objects.objects)
        accepted = (
            server.accepted()
        )  # at last: requests that wrk left behind may still have been on their way
        return Sample(
            rate=records / outcome.seconds,
            cpu_us=(cpu_after - cpu) / records * 1e6,
            p50_ms=outcome.p50,
            p99_ms=outcome.p99,
            resident=memory.resident,
            peak=memory.peak,
            others=max(0.0, busy - (cpu_after - cpu)) / elapsed,
            acknowledged=acknowledged,
            accepted=accepted,
            found=found,
            in_flight=2 * loads.CONNECTIONS * load.batch,
            errors=sum(run.refused + run.broken for run in (warm_up, outcome)),
        )


def prefill(server: Server, form: loads.Form, load: loads.Load, bench: Bench) -> int:
    """Bring each key's chunk to a different level, evenly from empty to full; returns the records posted.

    Without it a short run would seal nothing, or all at once; so sealing goes on as it does after hours.
    """
    levels = {
        key: bench.chunk_bytes * number // load.keys // SIZE
        for number, key in enumerate(loads.corpus(load.keys))
    }
    return filling.post(server.url, form, load.keys, levels)


@contextmanager
def scratch(bench: Bench, name: str = "run") -> Iterator[Path]:
    """An empty directory for one run, removed afterwards, so that runs don't share a full disk."""
    directory = bench.directory / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
