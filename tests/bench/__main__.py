"""Measures the ingester, and its peers where they are on PATH: `make bench`.

The server has one core to itself, the load generator (wrk) and the S3 server have another. Rounds of all
servers alternate, so that a machine that slows down does so for all; medians are reported.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench import draining, measure, outage, peers, recovery, report, throughput
from tests.bench.loads import LOADS
from tests.bench.servers import Bench, Contestant, S3Sink, checkout
from tests.bench.wrk import LoadError
from tests.rig.processes import ProcessError
from tests.rig.s3servers import find_versitygw

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
PARTS = (*(load.name for load in LOADS), "outage", "recovery", "drain")


@dataclass(frozen=True)
class Effort:
    """How long and how large."""

    timing: throughput.Timing
    chunk_bytes: int
    buffer_bytes: int  # of recoveries and drains
    rounds: int


FULL = Effort(throughput.Timing(warm_up=3.0, measured=10.0), 25 * MIB, 1024 * MIB, rounds=3)
QUICK = Effort(throughput.Timing(warm_up=1.0, measured=3.0), 4 * MIB, 128 * MIB, rounds=1)


def main() -> int:
    """Exit codes: 0 measured, 1 counts of records differ or a server failed, 2 something needed is missing."""
    options = _options()
    effort = QUICK if options.quick else FULL
    cores = sorted(os.sched_getaffinity(0))
    bench = Bench(options.directory.resolve(), cores[0], cores[-1], find_versitygw(), effort.chunk_bytes)
    bench.directory.mkdir(parents=True, exist_ok=True)
    if bench.versitygw is None:
        print("no versitygw: objects go to files, and peers are left out", file=sys.stderr)
    with ExitStack() as stack:
        sinks = [S3Sink("s3sink")]
        if options.baseline:
            source = stack.enter_context(checkout(ROOT, options.baseline, bench.directory / "baseline"))
            stack.callback(shutil.rmtree, bench.directory / "baseline")
            sinks.append(S3Sink(f"s3sink@{options.baseline}", source))
        others = peers.installed() if bench.versitygw and not options.no_peers else []
        try:
            results = run(bench, effort, sinks, others, options.only, options.rounds or effort.rounds)
        except LoadError as error:
            print(error, file=sys.stderr)
            return 2
        except ProcessError as error:
            print(error, file=sys.stderr)
            return 1
    print(report.text(results))
    options.json.write_text(report.as_json(results))
    print(f"\nEvery sample: {options.json}")
    if differ := results.dishonest():
        print(f"COUNTS DIFFER: {'; '.join(differ)}", file=sys.stderr)
    return 1 if differ else 0


def run(
    bench: Bench,
    effort: Effort,
    sinks: list[S3Sink],
    others: list[Contestant],
    parts: list[str],
    rounds: int,
) -> report.Results:
    """Measure all the parts, round after round."""
    results = report.Results(subject=sinks[0].name)
    for number in range(rounds):
        results.calibrations.append(measure.calibrate(bench.directory, bench.server_core))
        for load in (load for load in LOADS if load.name in parts):
            for contestant in [*sinks, *others]:
                _say(number, f"{load.title}: {contestant.name}")
                try:
                    found = throughput.sample(contestant, load, bench, effort.timing)
                except (LoadError, ProcessError) as error:
                    if not contestant.is_peer:
                        raise
                    print(f"    left out: {error}", file=sys.stderr)  # a peer that can't take this load
                    continue
                results.throughput.setdefault(load.title, {}).setdefault(contestant.name, []).append(found)
        if "outage" in parts and bench.versitygw:
            for kind in outage.KINDS:
                _say(number, f"S3 {kind}")
                results.outages.setdefault(kind, []).append(
                    outage.measure(sinks[0], kind, bench, effort.timing)
                )
        if "recovery" in parts:
            for buffer in recovery.buffers(effort.buffer_bytes):
                for sink in sinks:
                    _say(number, f"recovery, {buffer.name}: {sink.name}")
                    recoveries = results.recoveries.setdefault(buffer.name, {}).setdefault(sink.name, [])
                    recoveries.append(recovery.sample(sink, buffer, bench))
        if "drain" in parts:
            _drains(bench, effort, sinks, results, number)
    return results


def _drains(bench: Bench, effort: Effort, sinks: list[S3Sink], results: report.Results, number: int) -> None:
    for keys in (100, 10_000):
        for to_files in (True, False) if bench.versitygw else (True,):
            title = f"to {'files' if to_files else 'versitygw'}, {keys:,} keys"
            for sink in sinks:
                _say(number, f"drain, {title}: {sink.name}")
                drains = results.drains.setdefault(title, {}).setdefault(sink.name, [])
                drains.append(draining.sample(sink, keys, effort.buffer_bytes, bench, to_files=to_files))


def _say(number: int, what: str) -> None:
    print(f"  round {number + 1}: {what}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round with small chunks")
    parser.add_argument("--rounds", type=int, help="rounds of every measurement (default: 3; quick: 1)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="measure these parts")
    parser.add_argument("--baseline", metavar="GITREV", help="measure the ingester of this commit beside it")
    parser.add_argument("--no-peers", action="store_true", help="leave fluentd and fluent-bit out")
    parser.add_argument(
        "--directory", type=Path, default=ROOT / ".cache" / "bench", help="on the disk to measure"
    )
    parser.add_argument("--json", type=Path, default=ROOT / ".cache" / "bench.json", help="where samples go")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
