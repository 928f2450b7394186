"""Runs wrk, the load generator, and reads what it measured."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.loads import Requests

SCRIPT = Path(__file__).with_name("cycle.lua")


class LoadError(Exception):
    """wrk is missing or failed; the message says what to do."""


@dataclass(frozen=True)
class Outcome:
    """One run of wrk. Requests are counted when their response is complete; latencies in milliseconds."""

    acknowledged: int  # 2xx
    refused: int  # 4xx and 5xx
    broken: int  # connections lost, requests timed out
    seconds: float
    p50: float
    p99: float


def run(
    url: str, requests: Requests, directory: Path, *, seconds: float, connections: int, core: int
) -> Outcome:
    """Post `requests` in a closed loop from `connections` keep-alive connections. Raises LoadError."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise LoadError("wrk is needed as the load generator: apt-get install wrk (Debian), then again")
    bodies = directory / "bodies"
    if not bodies.exists():
        requests.write(bodies)
    command = [
        *("taskset", "--cpu-list", str(core), wrk, "--threads", "1", "--connections", str(connections)),
        *("--duration", f"{seconds:g}s", "--timeout", "30s", "--script", str(SCRIPT), url + requests.path),
        *("--", str(bodies), requests.content_type),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadError(f"wrk failed: {done.stderr or done.stdout}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    return Outcome(
        acknowledged=result["requests"] - result["refused"],
        refused=result["refused"],
        broken=result["broken"] + result["timeouts"],
        seconds=result["microseconds"] / 1e6,
        p50=result["p50"] / 1e3,
        p99=result["p99"] / 1e3,
    )
