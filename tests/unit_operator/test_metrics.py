"""Metrics as a scrape sees them."""

from __future__ import annotations

from s3sink_operator.runtime.metrics import Metrics, state_of


def condition(kind: str, status: str, reason: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": "m"}


def lines(metrics: Metrics, prefix: str) -> list[str]:
    return [line for line in metrics.text().decode().splitlines() if line.startswith(prefix)]


def test_conditions_come_change_and_go_with_their_sink() -> None:
    metrics = Metrics("1")
    key = ("team", "events")
    metrics.conditions(
        key, [condition("Ready", "False", "Creating"), condition("Stalled", "False", "NotStalled")]
    )
    metrics.conditions(key, [condition("Ready", "True", "Ready")])
    assert lines(metrics, "s3sink_condition{") == [
        's3sink_condition{name="events",namespace="team",reason="Ready",status="True",type="Ready"} 1.0'
    ]
    metrics.conditions(key, [])
    metrics.conditions(key, [])
    assert lines(metrics, "s3sink_condition{") == []


def test_sinks_are_counted_by_state() -> None:
    metrics = Metrics("1")
    metrics.conditions(("a", "x"), [condition("Ready", "True", "Ready")])
    metrics.conditions(("b", "x"), [condition("Ready", "True", "Ready"), condition("Stalled", "True", "No")])
    assert lines(metrics, "s3sink_operator_sinks{") == [
        's3sink_operator_sinks{state="ready"} 1.0',
        's3sink_operator_sinks{state="stalled"} 1.0',
        's3sink_operator_sinks{state="paused"} 0.0',
        's3sink_operator_sinks{state="reconciling"} 0.0',
        's3sink_operator_sinks{state="unready"} 0.0',
    ]


def test_one_word_for_a_sink() -> None:
    def word(*true: str) -> str:
        return state_of([(kind, "True", "") for kind in true] + [("Other", "False", "")])

    assert word("Ready") == "ready"
    assert word("Ready", "ReconciliationPaused") == "paused"
    assert word("Ready", "ReconciliationPaused", "Stalled") == "stalled"
    assert word("Reconciling") == "reconciling"
    assert word("Ready", "Reconciling") == "ready"
    assert word() == "unready"


def test_reconciles_are_timed_and_counted_by_result() -> None:
    metrics = Metrics("1")
    metrics.reconciled(0.02, "done", actions=3)
    metrics.reconciled(7.0, "unavailable")
    assert 's3sink_operator_reconciles_total{result="done"} 1.0' in metrics.text().decode()
    assert 's3sink_operator_reconciles_total{result="failed"} 0.0' in metrics.text().decode()
    assert "s3sink_operator_actions_total 3.0" in metrics.text().decode()
    assert 's3sink_operator_reconcile_seconds_bucket{le="0.025"} 1.0' in metrics.text().decode()
    assert "s3sink_operator_reconcile_seconds_count 2.0" in metrics.text().decode()


def test_the_queue_is_read_at_the_scrape() -> None:
    metrics = Metrics("1")
    depth = [3.0]
    metrics.follow_queue(lambda: depth[0], lambda: 2.0, lambda: 1.5)
    depth[0] = 4.0
    text = metrics.text().decode()
    assert "s3sink_operator_queue_depth 4.0" in text
    assert "s3sink_operator_reconciling 2.0" in text
    assert "s3sink_operator_queue_oldest_seconds 1.5" in text


def test_the_process_and_its_version_are_told() -> None:
    text = Metrics("1.2").text().decode()
    assert 's3sink_operator_info{version="1.2"} 1.0' in text
    assert "process_resident_memory_bytes" in text
