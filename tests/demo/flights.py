"""The demo's records: flights from npm's vega-datasets, as messages of the form `<origin airport> <JSON>`."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
PACKAGE = HERE / "node_modules" / "vega-datasets"
FLIGHTS = PACKAGE / "data" / "flights-3m.parquet"

# A record's content as it is stored; the message is the shard key, a space, and this.
CONTENT = (
    "to_json({date: strftime(date, '%Y-%m-%dT%H:%M'), delay: delay, distance: distance, "
    "destination: destination})"
)


class DataMissingError(Exception):
    """The data set can't be installed. The message says what to do."""


@dataclass(frozen=True)
class Shard:
    """How many records a shard key has, and a sum of their contents' hashes, whatever their order."""

    records: int
    checksum: int


class Flights:
    """The first `limit` flights in the file's order, numbered from 0."""

    def __init__(self, limit: int | None) -> None:
        self._database = duckdb.connect()
        self._database.execute(
            "CREATE TABLE flights AS SELECT row_number() OVER () - 1 AS n, origin, content FROM "
            f"(SELECT origin, {CONTENT}::VARCHAR AS content FROM read_parquet(?) LIMIT ?)",
            [str(FLIGHTS), limit if limit is not None else 1 << 62],
        )
        self.total = self._count("SELECT count(*) FROM flights")
        self.raw_bytes = self._count("SELECT coalesce(sum(strlen(content) + 1), 0) FROM flights")

    def messages(self, start: int, stop: int) -> Iterator[bytes]:
        """The messages numbered [start, stop), one at a time."""
        rows = self._database.cursor().execute(
            "SELECT origin || ' ' || content FROM flights WHERE n >= ? AND n < ?", [start, stop]
        )
        while batch := rows.fetchmany(1000):
            yield from (line.encode() for (line,) in batch)

    def batches(self, start: int, stop: int, size: int) -> Iterator[tuple[int, bytes]]:
        """The messages [start, stop) in bodies of up to `size` lines each: (number of lines, body)."""
        rows = self._database.cursor().execute(
            "SELECT count(*), string_agg(origin || ' ' || content, chr(10)) FROM flights "
            "WHERE n >= ? AND n < ? GROUP BY n // ?",
            [start, stop, size],
        )
        while batch := rows.fetchmany(100):
            yield from ((count, body.encode()) for count, body in batch)

    def shards(self) -> dict[str, Shard]:
        """What every origin airport should end up with."""
        rows = self._database.execute(
            "SELECT origin, count(*), sum(hash(content)) FROM flights GROUP BY origin"
        ).fetchall()
        return {origin: Shard(records, checksum) for origin, records, checksum in rows}

    def _count(self, query: str) -> int:
        row = self._database.execute(query).fetchone()
        return int(row[0]) if row else 0


def shards_in(directory: Path) -> dict[str, Shard]:
    """Count the records of `directory`/<shard>/<object>.gz: DuckDB reads the compressed lines as they are."""
    rows = duckdb.execute(
        "SELECT parse_path(filename)[-2] AS shard, count(*), sum(hash(content)) "
        "FROM read_csv(?, columns = {content: 'VARCHAR'}, auto_detect = false, header = false, "
        "              filename = true, delim = '\x01', quote = '', escape = '') GROUP BY shard",
        [str(directory / "*" / "*.gz")],
    ).fetchall()
    return {shard: Shard(records, checksum) for shard, records, checksum in rows}


def install() -> None:
    """Install the data set beside this file unless it is there. Raises DataMissingError."""
    if _installed_version() == _wanted_version() and FLIGHTS.is_file():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise DataMissingError("npm is needed for the demo's data: apt-get install npm (Debian), then again")
    done = subprocess.run([npm, "ci"], cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not FLIGHTS.is_file():
        raise DataMissingError(f"`npm ci` in {HERE} failed:\n{done.stderr or done.stdout}")


def _installed_version() -> str | None:
    manifest = PACKAGE / "package.json"
    return str(json.loads(manifest.read_text())["version"]) if manifest.is_file() else None


def _wanted_version() -> str:
    lock = json.loads((HERE / "package-lock.json").read_text())
    return str(lock["packages"]["node_modules/vega-datasets"]["version"])
