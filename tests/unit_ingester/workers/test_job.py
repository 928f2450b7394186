"""What supervisor and worker say to each other, and the page that their metrics become."""

from __future__ import annotations

import io

import pytest
from prometheus_client.parser import text_string_to_metric_families
from s3sink_ingester.config import loads
from s3sink_ingester.workers import exposition
from s3sink_ingester.workers.job import (
    Job,
    Refused,
    Role,
    Started,
    parse_report,
    receive_job,
    report,
    send_job,
)

SETTINGS = """
destination: {bucket: the-output-bucket, region: eu-west-1}
partitioning: {jsonPointers: {customer: /customer_id}}
source: {port: 8000}
workers: 3
"""


def test_a_job_arrives_as_it_was_sent() -> None:
    job = Job(Role.EMPTY, loads(SETTINGS, {}), 12.5, "info", "json")
    stream = io.BytesIO(send_job(job) + b"what comes behind")
    assert receive_job(stream) == job
    assert stream.read() == b"what comes behind"


@pytest.mark.parametrize("message", [Started(4711), Refused(3, 'in use "by" another\nprocess')])
def test_a_report_is_one_line(message: Started | Refused) -> None:
    line = report(message)
    assert line.count(b"\n") == 1
    assert parse_report(line) == message


@pytest.mark.parametrize(
    "line", [b"", b"hello\n", b"{}\n", b'{"kind": "Started"}\n', b"[1]\n", b"\xff\n", b"7\n"]
)
def test_other_lines_are_no_reports(line: bytes) -> None:
    assert parse_report(line) is None


def test_pages_become_one_with_a_label() -> None:
    page = "\n".join(
        [
            "# HELP x_total Things.",
            "# TYPE x_total counter",
            'x_total{code="200"} 3.0',
            "# HELP y_seconds Times.",
            "# TYPE y_seconds histogram",
            'y_seconds_bucket{le="1.0"} 1.0',
            'y_seconds_bucket{le="+Inf"} 2.0',
            "y_seconds_count 2.0",
            "y_seconds_sum 2.5",
            "",
        ]
    )
    only_one = "# HELP z Bytes.\n# TYPE z gauge\nz 1.0\n"
    whole = exposition.combine({"worker-0": page, "worker-1": page + only_one}).decode()
    families = {family.name: family for family in text_string_to_metric_families(whole)}
    assert [family.type for family in families.values()] == ["counter", "histogram", "gauge"]
    assert families["x"].documentation == "Things."
    assert [(s.name, s.labels, s.value) for s in families["x"].samples] == [
        ("x_total", {"code": "200", "worker": "worker-0"}, 3.0),
        ("x_total", {"code": "200", "worker": "worker-1"}, 3.0),
    ]
    assert len(families["y_seconds"].samples) == 8
    assert whole.count("# HELP x_total") == 1
    assert [s.labels for s in families["z"].samples] == [{"worker": "worker-1"}]
