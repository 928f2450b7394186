"""Measures the operator with many S3Sinks on a real control plane: `python -m tests.bench.reconciling`.

No pods run: they are said to, and one server answers for all ingesters. What is measured is the way from a manifest to
its children, what a resync costs, and whether memory stays. API server, etcd and controllers share the machine with
the operator.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Self

import psutil
from aiohttp import web
from s3sink_operator.names import ADMIN_PORT

from tests.rig import controlplane, kubetools
from tests.rig.controlplane import ControlPlane
from tests.rig.kubeapi import MERGE, NAMESPACES, PODS, SINKS, STATEFUL_SETS, ApiError, Object, wait_for
from tests.rig.operators import Operator

MIB = 1 << 20
NAMESPACE = "bench"
_PATIENCE = 1800.0
_IDLE: Final = {
    "state": "open",
    "ready": True,
    "reason": "",
    "capacityBytes": 10 << 30,
    "bufferBytes": 0,
    "oldestRecordAgeSeconds": None,
    "drainEpoch": None,
    "drained": False,
    "formatVersion": 1,
    "damage": [],
    "uploads": {"lastSuccess": None, "failures": 0, "running": 0},
    "destination": {"ok": True, "lastError": None, "lastErrorReason": None},
}
"""What an ingester says that is idle."""


@dataclass
class Usage:
    """Of the operator's process over a span of time."""

    seconds: float = 0.0
    cpu: float = 0.0
    """CPU seconds."""
    memory: list[float] = field(default_factory=list)
    """Resident MiB, once a second."""

    def __str__(self) -> str:
        return (
            f"{self.seconds:.0f} s, CPU {self.cpu:.1f} s ({100 * self.cpu / self.seconds:.0f} % of a core),"
            f" RSS {self.memory[0]:.0f} → {self.memory[-1]:.0f} MiB, peak {max(self.memory):.0f}"
        )


class Arrivals:
    """When each StatefulSet was seen first, by the name of its sink."""

    def __init__(self, plane: ControlPlane) -> None:
        self.at: dict[str, float] = {}
        self._stopping = threading.Event()
        self._api = plane.api
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def _follow(self) -> None:
        for kind, seen in self._api.watch(STATEFUL_SETS, self._stopping):
            now = time.monotonic()
            for one in seen if kind == "ALL" else [seen]:
                self.at.setdefault(one["metadata"]["name"].removesuffix("-s3sink"), now)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()


class Pods:
    """Says of every pod that it runs and is ready, and answers for it at its admin port."""

    def __init__(self, plane: ControlPlane) -> None:
        self._api = plane.api
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(4)
        self._loop = asyncio.new_event_loop()
        self._addresses = (
            f"127.66.{high}.{low}" for high, low in itertools.product(range(256), range(1, 255))
        )

    def _follow(self) -> None:
        for kind, seen in self._api.watch(PODS, self._stopping):
            for pod in seen if kind == "ALL" else [seen]:
                if kind != "DELETED" and "podIP" not in pod["status"]:
                    self._pool.submit(self._run, pod, next(self._addresses))

    def _run(self, pod: Object, address: str) -> None:
        meta = pod["metadata"]
        asyncio.run_coroutine_threadsafe(_answer(meta["uid"], address), self._loop).result()
        conditions = [{"type": one, "status": "True"} for one in ("Ready", "ContainersReady", "PodScheduled")]
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": conditions,
        }
        with suppress(ApiError):  # it was deleted meanwhile
            path = PODS.path(meta["namespace"], meta["name"], "status")
            self._api.request("PATCH", path, {"status": status}, MERGE)

    def __enter__(self) -> None:
        for work in (self._follow, self._loop.run_forever):
            threading.Thread(target=work, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._pool.shutdown(cancel_futures=True)


async def _answer(pod_uid: str, address: str) -> None:
    """For the ingester in that pod, from now on."""
    text = json.dumps({"podUid": pod_uid, **_IDLE})

    async def status(_: web.BaseRequest) -> web.Response:
        return web.Response(text=text)

    runner = web.ServerRunner(web.Server(status))
    await runner.setup()
    await web.TCPSite(runner, address, ADMIN_PORT).start()


def sink(name: str, replicas: int) -> Object:
    """A sink that is valid and small."""
    return {
        "apiVersion": "s3sink.dev/v1alpha1",
        "kind": "S3Sink",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "destination": {"bucket": "the-output-bucket", "region": "us-east-1"},
            "partitioning": {"regex": r"^(?P<path>\S+) (?P<content>.+)$"},
        },
    }


@contextmanager
def using(operator: Operator) -> Iterator[Usage]:
    """Measure the operator's process from here to the end of the block."""
    process = psutil.Process(operator.process.pid)
    usage, ended = Usage(), threading.Event()

    def sample() -> None:
        while True:
            usage.memory.append(process.memory_info().rss / MIB)
            if ended.wait(1.0):
                break

    before, started = process.cpu_times(), time.monotonic()
    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield usage
    finally:
        ended.set()
        thread.join()
        after = process.cpu_times()
        usage.seconds = time.monotonic() - started
        usage.cpu = after.user + after.system - before.user - before.system


def metric(operator: Operator, name: str) -> float:
    """A metric's value, 0 if the operator doesn't tell it."""
    for line in (operator.get("/metrics") or "").splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


def seen(operator: Operator) -> float:
    """Sinks that were looked at since the start."""
    lines = (operator.get("/metrics") or "").splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("s3sink_operator_sinks{"))


def mean_reconcile(operator: Operator) -> str:
    """Of all so far."""
    count = metric(operator, "s3sink_operator_reconcile_seconds_count")
    total = metric(operator, "s3sink_operator_reconcile_seconds_sum")
    return f"{count:.0f} reconciles, {1000 * total / max(count, 1):.0f} ms each"


def one_by_one(plane: ControlPlane, arrivals: Arrivals, count: int, replicas: int) -> None:
    """From the API server's answer to a new sink, to its StatefulSet; nothing else to do."""
    waits = []
    for number in range(count):
        name = f"single-{number}"
        plane.api.create(SINKS, sink(name, replicas))
        applied = time.monotonic()
        wait_for(partial(arrivals.at.get, name), f"StatefulSet of {name}")
        waits.append(1000 * (arrivals.at[name] - applied))
        time.sleep(0.5)
    waits.sort()
    print(
        f"one at a time, {count}: sink → StatefulSet p50 {statistics.median(waits):.0f} ms, most {waits[-1]:.0f} ms"
    )


def all_at_once(
    plane: ControlPlane, operator: Operator, arrivals: Arrivals, count: int, replicas: int
) -> None:
    """The first reconciles of many."""
    names = [f"many-{number}" for number in range(count)]
    with using(operator) as usage, ThreadPoolExecutor(8) as pool:
        started = time.monotonic()
        list(pool.map(lambda name: plane.api.create(SINKS, sink(name, replicas)), names))
        created = time.monotonic() - started
        wait_for(lambda: all(name in arrivals.at for name in names), "StatefulSets", _PATIENCE)
        settle(operator)
    first = max(arrivals.at[name] for name in names) - started
    print(f"all at once, {count}: created in {created:.1f} s, last StatefulSet after {first:.1f} s")
    print(f"  until nothing was left to do: {usage}; {mean_reconcile(operator)}")


def settle(operator: Operator) -> None:
    """Wait until nothing was changed in the cluster for some seconds."""
    quiet, before = 0, -1.0
    while quiet < 5:
        time.sleep(1.0)
        actions = metric(operator, "s3sink_operator_actions_total")
        quiet = quiet + 1 if actions == before else 0
        before = actions


def steady(operator: Operator, resync: float, resyncs: int) -> None:
    """Resyncs and nothing else."""
    before = metric(operator, "s3sink_operator_reconcile_seconds_count")
    with using(operator) as usage:
        time.sleep(resync * resyncs)
    made = metric(operator, "s3sink_operator_reconcile_seconds_count") - before
    print(f"steady, {resyncs} resyncs of {resync:.0f} s: {made:.0f} reconciles; {usage}")
    step = max(1, len(usage.memory) // 12)
    print("  RSS MiB: " + " ".join(f"{one:.0f}" for one in usage.memory[::step]))


def main() -> int:
    """Exit code 0 when all was measured."""
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--sinks", type=int, default=500)
    cli.add_argument("--replicas", type=int, default=2)
    cli.add_argument("--workers", type=int, default=8)
    cli.add_argument("--resync", type=float, default=60.0, help="seconds")
    cli.add_argument("--log", type=Path, help="where to put the operator's log")
    cli.add_argument("--log-level", default="warning")
    cli.add_argument("--resyncs", type=int, default=5, help="how many to measure")
    given = cli.parse_args()
    with controlplane.running() as plane:
        controlplane.install(plane, kubetools.ROOT / "crds")
        plane.api.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
        operator = Operator(
            plane,
            "--workers",
            str(given.workers),
            "--log-level",
            given.log_level,
            resync=f"{given.resync:.0f}s",
        )
        with Pods(plane), Arrivals(plane) as arrivals:
            started = time.monotonic()
            operator.start()
            memory = psutil.Process(operator.process.pid).memory_info().rss / MIB
            print(f"start: ready after {time.monotonic() - started:.1f} s, RSS {memory:.0f} MiB")
            one_by_one(plane, arrivals, 20, given.replicas)
            all_at_once(plane, operator, arrivals, given.sinks, given.replicas)
            steady(operator, given.resync, given.resyncs)
            operator.stop()
            operator.start()
            with using(operator) as usage:
                wait_for(lambda: seen(operator) >= given.sinks + 20, "look at all sinks", _PATIENCE)
            print(f"restart: until each sink was looked at {usage}; {mean_reconcile(operator)}")
            started = time.monotonic()
            status = operator.stop()
            print(f"stop: exit status {status} after {time.monotonic() - started:.1f} s")
        if given.log is not None:
            given.log.write_text(operator.output())
    return 0


if __name__ == "__main__":
    sys.exit(main())
