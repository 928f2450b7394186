"""What analysts' engines read from a Hive layout is the key that was sent."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.dataset as ds
import pytest
from pyarrow.csv import ReadOptions
from s3sink_ingester.records import Framing, Layout, Partitioning, Router, render_prefix

KEYS = [
    "a/b",
    "50%",
    "%2F",
    "x=y:z",
    "Zürich 東京 🛩",
    "a+b",
    " b c ",
    "_hidden",
    ".hidden",
    "..",
    'it\'s "quoted"',
    "\\{}[]^*?#",
    "\x01\t\x7f\x85",
    "errors",
]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file a key, named as objects are, each holding the key's number."""
    root = tmp_path_factory.mktemp("bucket")
    router = Router(Partitioning(header="X-Customer"), Layout("customer={key}/dt={time:%Y-%m-%d}/"), 1000)
    for number, key in enumerate(KEYS):
        ((partition, payload, _),) = router.route(b"%d" % number, Framing.SINGLE, key, ())
        directory = root / render_prefix(partition.name, 0.0)
        directory.mkdir(parents=True)
        (directory / "part.csv").write_bytes(payload)
    return root


def test_duckdb(bucket: Path) -> None:
    query = (
        f"SELECT number, customer, dt::VARCHAR FROM read_csv('{bucket}/*/*/part.csv', header = false, "
        "columns = {'number': 'INTEGER'}, hive_partitioning = true, hive_types = {'customer': VARCHAR}) ORDER BY 1"
    )
    rows = duckdb.execute(query).fetchall()
    assert rows == [(number, key, "1970-01-01") for number, key in enumerate(KEYS)]


def test_arrow(bucket: Path) -> None:
    csv = ds.CsvFileFormat(read_options=ReadOptions(column_names=["number"]))
    table = ds.dataset(bucket, format=csv, partitioning="hive").to_table().sort_by("number")
    assert table["customer"].to_pylist() == KEYS
