"""The product on a real cluster: a manifest is applied, records are posted, objects are in the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.rig.sinks import LiveSink


def test_records_sent_to_pods_are_in_the_bucket(sink: LiveSink) -> None:
    sink.apply(replicas=2)
    sink.wait_ready(2, timeout=120.0)
    sink.send(20)
    sink.wait_ready(2)
