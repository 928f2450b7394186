"""The product on a real cluster: a manifest, records posted to the Service, objects in the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.ledger import Verdict
    from tests.rig.clustersinks import ClusterSink


def test_records_sent_to_the_service_are_in_the_bucket(
    given_sink: ClusterSink, record: Callable[[str, ClusterSink, Verdict], None]
) -> None:
    given_sink.apply(replicas=1)
    given_sink.wait_ready(1)
    given_sink.send(20)
    record("story", given_sink, given_sink.verdict())


def test_connections_take_turns_on_the_pods(
    sink: ClusterSink, record: Callable[[str, ClusterSink, Verdict], None]
) -> None:
    """From a pod, and from the network of a node: whoever connects to the ClusterIP gets any pod of three."""
    sink.apply(replicas=3)
    sink.wait_ready(3)
    sink.wait_served()
    before, wanted = sink.ledger.acked, 300
    runs = [
        sink.agents.start(sink.ledger, *sink.address, agent=agent, count=wanted, kept=1)
        for agent in ("load", "host")
    ]
    sink.wait_done(*runs)
    assert [run.acked for run in runs] == [wanted, wanted]
    verdict = sink.verdict()
    shares = sink.records_by_pod()
    assert len(shares) == 3
    # Each connection is a throw of a fair die: a third, within five standard deviations of 600 throws. The few records
    # before them came on connections that were kept.
    for pod, taken in shares.items():
        assert abs(taken - 5 * 2 * wanted / 3) < 5 * 58 + before, f"{pod}: {shares}"
    record(f"round robin: {', '.join(f'{pod[-1]}: {n}' for pod, n in sorted(shares.items()))}", sink, verdict)
