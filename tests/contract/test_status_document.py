"""What ingesters say of themselves is what the operator reads."""

from __future__ import annotations

import json

from s3sink_ingester import status
from s3sink_operator.ingesters import report_of

FACTS = status.UploadFacts(
    last_success=1.5,
    failures=3,
    running=0,
    destination_ok=False,
    last_error="AccessDenied: no",
    last_error_reason="access_denied",
)


def test_one_process() -> None:
    said = status.document(
        name="events-s3sink-0", version="1", state="recovering", reason="reading", store=None, uploads=FACTS
    )
    report = report_of(json.loads(json.dumps(said)), "events-s3sink-0", "u")
    assert (report.state, report.ready, report.reason, report.drained) == (
        "recovering",
        False,
        "reading",
        False,
    )
    assert (report.buffer_bytes, report.capacity_bytes, report.oldest_record_age) == (None, None, None)
    assert (report.last_success, report.upload_failures) == ("1970-01-01T00:00:01.500Z", 3)
    assert (report.destination_ok, report.last_error, report.last_error_reason) == (
        False,
        "AccessDenied: no",
        "access_denied",
    )


def test_several_workers() -> None:
    one = status.as_worker(
        "worker-0",
        status.document(
            name="events-s3sink-0", version="1", state="open", reason=None, store=None, uploads=FACTS
        ),
    )
    two = status.unreachable("worker-1", "events-s3sink-0", "1", "failed", "it hangs")
    report = report_of(json.loads(json.dumps(status.combine([one, two]))), "events-s3sink-0", "u")
    assert (report.state, report.ready, report.reason) == ("failed", False, "worker-1: it hangs")
    assert report.destination_ok is False
