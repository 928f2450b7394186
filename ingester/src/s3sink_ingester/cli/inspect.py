"""`inspect`: tell what a buffer holds, without touching it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from s3sink_ingester.cli.common import table
from s3sink_ingester.config.units import format_duration
from s3sink_ingester.disk.real import RealDisk
from s3sink_ingester.errors import VolumeError
from s3sink_ingester.inspection import Report, look
from s3sink_ingester.workers import layout

UNBALANCED = 5

_EPILOG = """\
DIR is settings' buffer.path, or DIR/buffer of serve --local, or one worker's directory in it. Nothing is locked,
written or repaired; a process may be at work on it meanwhile, and the figures are then those of one moment.

exit codes:
  0  every acknowledged record is uploaded, buffered or quarantined
  1  DIR can't be read, or is no buffer
  4  a volume was written by a newer version
  5  records are missing, or something is damaged

examples:
  s3sink-ingester inspect ./local/buffer
  s3sink-ingester inspect /var/lib/s3sink --json | jq '.volumes[].sealedObjects[].key'
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "inspect",
        help="tell what a buffer holds, without touching it",
        description="Tell what a buffer holds, and whether all acknowledged records are accounted for.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="the buffer")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Inspect; returns the exit code. Raises `VolumeError`."""
    directory: Path = given.directory
    try:
        reports = [look(RealDisk(str(one))) for one in layout.volumes(directory)]
    except OSError as error:
        raise VolumeError(f"{error.filename or directory} can't be read: {error.strerror}") from error
    if not reports:
        raise VolumeError(f"{directory} is no buffer: there is neither a store.json nor a worker-0/ in it")
    if given.json:
        print(json.dumps(_document(directory, reports), indent=2))
    else:
        print("\n\n".join("\n".join(_lines(report, time.time())) for report in reports))
    return 0 if all(report.balanced for report in reports) else UNBALANCED


def _document(directory: Path, reports: Sequence[Report]) -> object:
    return {
        "directory": str(directory),
        "balanced": all(report.balanced for report in reports),
        "volumes": [
            {
                **_camel_case(asdict(report)),
                "unaccountedRecords": report.unaccounted_records,
                "balanced": report.balanced,
            }
            for report in reports
        ],
    }


def _camel_case(values: dict[str, object]) -> dict[str, object]:
    return {_camel(name): _plain(value) for name, value in values.items()}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return _camel_case(value)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _lines(report: Report, now: float) -> list[str]:
    lines = [
        report.path,
        f"  store {report.store_id}, format {report.format_version}",
        f"  {_drain(report.drain_epoch)}",
        f"  journal: {len(report.segments)} segments, {_size(sum(one.size for one in report.segments))}",
        "",
        *_section(
            "open chunks", ("partition", "window", "records", "bytes", "age"), _chunk_rows(report, now)
        ),
        *_section("sealed objects", ("key", "records", "size", "age"), _object_rows(report, now)),
        *_section("quarantine", ("file", "size"), _quarantine_rows(report)),
        *_section("damage", ("what",), [(what,) for what in report.damage]),
        *_totals(report),
    ]
    return [line.rstrip() for line in lines]


def _section(name: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return [f"  {name}: none", ""]
    return [f"  {name}: {len(rows):,}", *(f"    {line}" for line in table(headings, rows)), ""]


def _drain(epoch: str | None) -> str:
    return "takes records" if epoch is None else f"is being drained (epoch {epoch!r})"


def _chunk_rows(report: Report, now: float) -> list[tuple[str, ...]]:
    return [
        (
            one.partition,
            _moment(one.window_start),
            f"{one.records:,}",
            _size(one.bytes),
            _age(one.opened_at, now),
        )
        for one in report.open_chunks
    ]


def _object_rows(report: Report, now: float) -> list[tuple[str, ...]]:
    return [
        (one.key, f"{one.records:,}", _size(one.size), _age(one.oldest_at, now))
        for one in report.sealed_objects
    ]


def _quarantine_rows(report: Report) -> list[tuple[str, ...]]:
    return [(one.name, _size(one.size)) for one in report.quarantine]


def _totals(report: Report) -> list[str]:
    counted = [
        ("acknowledged", report.accepted_records),
        ("= uploaded", report.uploaded_records),
        ("+ buffered", report.buffered_records),
        ("+ quarantined", report.quarantined_records),
    ]
    if report.unaccounted_records:
        counted.append(("+ unaccounted for", report.unaccounted_records))
    verdict = "all accounted for" if report.balanced else "NOT all accounted for"
    rows = [(name, f"{count:,}") for name, count in counted]
    return [*(f"  {line}" for line in table(("records since the volume was made", ""), rows)), f"  {verdict}"]


def _moment(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _age(since: float, now: float) -> str:
    return format_duration(float(max(0, round(now - since))))


def _size(size: int) -> str:
    if size < 10_000:
        return f"{size:,} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1000:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"
