"""A buffer that is full: clients are told to come back, and nothing that was acknowledged is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.ledger import Verdict
    from tests.rig.clustersinks import ClusterSink
    from tests.rig.s3pod import S3Pod


def test_s3_is_away_until_the_buffer_is_full(
    sink: ClusterSink, s3: S3Pod, record: Callable[[str, ClusterSink, Verdict], None]
) -> None:
    sink.apply(
        replicas=1,
        batch={"window": "1h", "maxBytes": "1Mi"},
        object={"compression": "none"},
        buffer={"size": "300Mi"},
    )
    sink.wait_ready(1)
    with sink.load(records=200, size=10_000, pause=0.02) as traffic:
        s3.away()
        sink.wait_condition("BufferPressure", "True", "Full")
        sink.wait(lambda: not sink.ready_pods(), "pod that the Service sends nothing to any more")
        s3.back()
        sink.wait_ready(1)
        traffic.wait_acked(5)
        sink.wait(lambda: sink.condition("BufferPressure").get("status") == "False", "end of the pressure")
    sink.scale(0)
    sink.wait_ready(0)
    record("buffer full, S3 away", sink, sink.verdict())
