"""The bench's table, and the same figures as JSON for the record."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.bench.draining import Drain
    from tests.bench.measure import Calibration
    from tests.bench.recovery import Recovery
    from tests.bench.throughput import Sample

MIB = 1 << 20


@dataclass
class Results:
    """All samples of a run; each list has one entry a round, in the order of the rounds."""

    subject: str  # the contestant that the others are compared with
    calibrations: list[Calibration] = field(default_factory=list)
    throughput: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)  # load → contestant
    outages: dict[str, list[Sample]] = field(default_factory=dict)  # state of S3
    recoveries: dict[str, dict[str, list[Recovery]]] = field(default_factory=dict)  # buffer → contestant
    drains: dict[str, dict[str, list[Drain]]] = field(default_factory=dict)  # store → contestant

    def dishonest(self) -> list[str]:
        """The measurements whose counts of records do not agree, by name."""
        groups: list[tuple[str, Iterable[Sample | Recovery | Drain]]] = [
            *((f"{load}: {name}", them) for load, by in self.throughput.items() for name, them in by.items()),
            *((f"S3 {state}", them) for state, them in self.outages.items()),
            *(
                (f"{buffer}: {name}", them)
                for buffer, by in self.recoveries.items()
                for name, them in by.items()
            ),
            *((f"{store}: {name}", them) for store, by in self.drains.items() for name, them in by.items()),
        ]
        return [title for title, samples in groups if not all(sample.honest for sample in samples)]


def text(results: Results) -> str:
    """The report that is printed."""
    parts = [
        _throughput(results),
        _outages(results),
        _recoveries(results),
        _drains(results),
        _calibration(results.calibrations),
    ]
    return "\n\n".join(part for part in parts if part)


def as_json(results: Results) -> str:
    """Every sample, and what machine it was taken on."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    document: dict[str, Any] = {
        "machine": {
            "cpu": cpu.partition(":")[2].strip(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        **dataclasses.asdict(results),
    }
    return json.dumps(document, indent=1) + "\n"


def _throughput(results: Results) -> str:
    rows = []
    for load, by_name in results.throughput.items():
        subject = by_name[results.subject]
        for name, samples in by_name.items():
            rows.append(
                [
                    load,
                    name,
                    f"{_median(samples, lambda it: it.rate):,.0f}",
                    f"{_ratio(subject, samples, lambda it: it.rate):.2f}",
                    f"{_median(samples, lambda it: it.cpu_us):.2f}",
                    f"{_ratio(subject, samples, lambda it: it.cpu_us):.2f}",
                    *_latency_and_memory(samples),
                    _counts(samples),
                ]
            )
    head = [
        "load",
        "server",
        "records/s",
        "×",
        "CPU µs",
        "×",
        "p50 ms",
        "p99 ms",
        "RSS MiB",
        "peak",
        "others",
        "records",
    ]
    return _table("Throughput (× = against " + results.subject + " in the same round)", head, rows)


def _outages(results: Results) -> str:
    rows = [
        [
            f"S3 {state}",
            f"{_median(samples, lambda it: it.rate):,.0f}",
            f"{_median(samples, lambda it: it.cpu_us):.2f}",
            *_latency_and_memory(samples),
            _counts(samples),
        ]
        for state, samples in results.outages.items()
    ]
    head = [
        "single messages",
        "records/s",
        "CPU µs",
        "p50 ms",
        "p99 ms",
        "RSS MiB",
        "peak",
        "others",
        "records",
    ]
    return _table("S3 on a bad day", head, rows)


def _recoveries(results: Results) -> str:
    rows = [
        [
            buffer,
            name,
            f"{_median(samples, lambda it: it.buffer_bytes) / MIB:,.0f}",
            f"{_median(samples, lambda it: it.empty):.2f}",
            f"{_median(samples, lambda it: it.recovered):.2f}",
            f"{_median(samples, lambda it: it.seconds_per_gib):.2f}",
            _verdict(samples),
        ]
        for buffer, by_name in results.recoveries.items()
        for name, samples in by_name.items()
    ]
    head = ["buffer", "server", "MiB", "empty start s", "after kill -9 s", "s/GiB", "records"]
    return _table("Recovery, until /readyz", head, rows)


def _drains(results: Results) -> str:
    rows = [
        [
            store,
            name,
            f"{_median(samples, lambda it: it.seconds):.2f}",
            f"{_median(samples, lambda it: it.megabytes_per_second):,.0f}",
            f"{_median(samples, lambda it: it.cpu_seconds):.2f}",
            f"{_median(samples, lambda it: it.objects):,.0f}",
            f"{_median(samples, lambda it: it.objects_per_second):,.0f}",
            _verdict(samples),
        ]
        for store, by_name in results.drains.items()
        for name, samples in by_name.items()
    ]
    head = ["seal and upload", "server", "s", "raw MB/s", "CPU s", "objects", "objects/s", "records"]
    return _table("Drain", head, rows)


def _calibration(calibrations: Sequence[Calibration]) -> str:
    if not calibrations:
        return ""
    return (
        "Calibration (medians; figures of two machines compare as multiples of these): "
        f"Python loop {_median(calibrations, lambda it: it.python_us):.3f} µs, "
        f"pipe write+read {_median(calibrations, lambda it: it.syscall_us):.3f} µs, "
        f"fdatasync of 16 KiB p50 {_median(calibrations, lambda it: it.fdatasync_p50_ms):.2f} "
        f"p99 {_median(calibrations, lambda it: it.fdatasync_p99_ms):.2f} ms"
    )


def _latency_and_memory(samples: Sequence[Sample]) -> list[str]:
    return [
        f"{_median(samples, lambda it: it.p50_ms):.2f}",
        f"{_median(samples, lambda it: it.p99_ms):.2f}",
        f"{_median(samples, lambda it: it.resident) / MIB:,.0f}",
        f"{_median(samples, lambda it: it.peak) / MIB:,.0f}",
        f"{_median(samples, lambda it: it.others):.0%}",
    ]


def _counts(samples: Sequence[Sample]) -> str:
    """Whether the records agree, and how many requests were turned away or broke."""
    errors = sum(sample.errors for sample in samples)
    return _verdict(samples) + (f", {errors:,} errors" if errors else "")


def _verdict(samples: Sequence[Sample] | Sequence[Recovery] | Sequence[Drain]) -> str:
    return "all found" if all(sample.honest for sample in samples) else "DIFFER"


def _median(samples: Sequence[T], value: Callable[[T], float]) -> float:
    return statistics.median(value(sample) for sample in samples)


def _ratio(subject: Sequence[T], samples: Sequence[T], value: Callable[[T], float]) -> float:
    """The median of the ratios within a round, which a machine that slows down in between does not move."""
    pairs = zip(subject, samples, strict=False)
    return statistics.median(value(sample) / (value(base) or 1.0) for base, sample in pairs)


def _table(title: str, head: list[str], rows: list[list[str]]) -> str:
    """Columns as wide as they need to be; text to the left, figures to the right."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row: list[str]) -> str:
        cells = [
            cell.rjust(width) if _is_figure(rows[0][column]) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([title, line(head), *(line(row) for row in rows)])


def _is_figure(cell: str) -> bool:
    return cell[:1].isdigit()
