"""The status document, and the events that tell what has changed in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from s3sink_operator.planner.plan import plan
from s3sink_operator.planner.status import events_of, refused
from s3sink_operator.state import EventType, Observed, Plan

from tests.rig.observations import IMAGE, children, claim, observed, pod, report, sink

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


def healthy(of: Any = None, **seen: Any) -> Observed:
    known: dict[str, Any] = {
        "claims": [claim(0), claim(1)],
        "pods": [pod(0), pod(1)],
        "reports": [report(0), report(1)],
    }
    return observed(of, **known | seen)


def look(seen: Observed, seconds: float = 0) -> Plan:
    return plan(seen, IMAGE, NOW + timedelta(seconds=seconds))


class TestDocument:
    def test_the_whole(self) -> None:
        status = dict(look(healthy()).status)
        assert len(status.pop("conditions")) == 9
        assert status == {
            "observedGeneration": 7,
            "replicas": 2,
            "readyReplicas": 2,
            "updatedReplicas": 2,
            "selector": "s3sink.dev/sink=events",
            "image": IMAGE,
            "endpoint": "http://events-s3sink.team.svc",
            "buffer": {
                "bytes": 200,
                "capacity": 2000,
                "used": "200",
                "oldestRecordTime": "2026-11-24T12:29:00Z",
            },
            "uploads": {"failures": 0},
            "volumes": [
                {
                    "ordinal": ordinal,
                    "pvc": f"buffer-events-s3sink-{ordinal}",
                    "phase": "Active",
                    "capacity": "10Gi",
                    "bufferedBytes": 100,
                }
                for ordinal in (0, 1)
            ],
        }

    def test_what_isn_t_known_is_left_out(self) -> None:
        status = look(observed(kids={})).status
        assert {"image", "buffer", "uploads"}.isdisjoint(status)
        assert status["volumes"] == []

    @pytest.mark.parametrize(
        ("spec", "endpoint"),
        [
            ({"service": {"port": 8080}}, "http://events-s3sink.team.svc:8080"),
            ({"service": {"port": 443}}, "http://events-s3sink.team.svc:443"),
            (
                {"source": {"tls": {"secretRef": {"name": "tls"}}}, "service": {"port": 443}},
                "https://events-s3sink.team.svc",
            ),
            ({"source": {"tls": {"secretRef": {"name": "tls"}}}}, "https://events-s3sink.team.svc:80"),
        ],
    )
    def test_endpoint(self, spec: Any, endpoint: str) -> None:
        assert look(observed(sink(**spec))).status["endpoint"] == endpoint

    def test_figures_are_sums_and_the_latest_upload(self) -> None:
        reports = [
            report(0, buffer_bytes=3 * 2**30, oldest_record_age=10.0, upload_failures=2),
            report(1, buffer_bytes=2**29, oldest_record_age=90.4, last_success="2026-11-24T12:29:50.123Z"),
        ]
        status = look(healthy(reports=reports)).status
        assert status["buffer"]["used"] == "3.5Gi"
        assert status["buffer"]["oldestRecordTime"] == "2026-11-24T12:28:29Z"
        assert status["uploads"] == {"lastSuccess": "2026-11-24T12:29:50Z", "failures": 2}

    def test_nothing_is_buffered(self) -> None:
        reports = [report(one, buffer_bytes=0, oldest_record_age=None) for one in (0, 1)]
        assert look(healthy(reports=reports)).status["buffer"] == {"bytes": 0, "capacity": 2000, "used": "0"}

    def test_the_image_is_that_which_runs(self) -> None:
        seen = healthy(kids=children(sink(), replicas=2, image="example.org/s3sink-ingester:0"))
        assert look(seen).status["image"] == "example.org/s3sink-ingester:0"

    def test_a_volume_of_an_earlier_sink(self) -> None:
        (*_, left) = look(healthy(claims=[claim(0), claim(1), claim(4, marked="another")])).status["volumes"]
        assert left == {
            "ordinal": 4,
            "pvc": "buffer-events-s3sink-4",
            "phase": "Orphaned",
            "capacity": "10Gi",
        }


class TestSteadiness:
    def test_looking_again_changes_nothing(self) -> None:
        """Records get older, and the clocks of pods and operator differ by a second; neither is news."""
        first = look(healthy()).status
        again = healthy(sink(status=dict(first)), reports=[report(0), report(1, oldest_record_age=91.0)])
        assert look(again, 30).status == first

    def test_a_record_that_was_uploaded_is_news(self) -> None:
        first = look(healthy()).status
        again = healthy(sink(status=dict(first)), reports=[report(0), report(1)])
        assert look(again, 30).status["buffer"]["oldestRecordTime"] == "2026-11-24T12:29:30Z"

    def test_the_time_of_a_transition_changes_with_the_status_only(self) -> None:
        first = look(healthy(pods=[pod(0), pod(1, ready=False)], reports=[report(0)])).status
        second = look(healthy(sink(status=dict(first)), pods=[pod(0)], reports=[report(0)]), 60).status
        third = look(healthy(sink(status=dict(second))), 120).status
        times = [one["conditions"][0]["lastTransitionTime"] for one in (first, second, third)]
        assert times == ["2026-11-24T12:30:00Z", "2026-11-24T12:30:00Z", "2026-11-24T12:32:00Z"]


class TestRefused:
    def test_it_is_told_in_the_server_s_words(self) -> None:
        status = refused(look(healthy()).status, {}, "apply StatefulSet x: no", NOW)
        (stalled,) = (one for one in status["conditions"] if one["type"] == "Stalled")
        assert (stalled["status"], stalled["reason"]) == ("True", "ApplyRefused")
        assert stalled["message"] == "apply StatefulSet x: no"

    def test_again_it_is_no_transition(self) -> None:
        first = refused(look(healthy(reports=[])).status, {}, "no", NOW)
        again = refused(
            look(healthy(sink(status=first), reports=[]), 60).status, first, "no", NOW + timedelta(minutes=1)
        )
        assert again == first
        assert events_of(first, again) == ()


def told(before: Observed, after: Any) -> list[tuple[str, str]]:
    """Events between two looks. `after`: what is observed then, of a sink."""
    first = look(before)
    return [(str(one.type), one.reason) for one in look(after(sink(status=dict(first.status))), 60).events]


class TestEvents:
    def test_of_a_new_sink(self) -> None:
        assert [(str(one.type), one.reason) for one in look(observed(kids={})).events] == [
            ("Normal", "Creating")
        ]

    def test_of_a_new_sink_that_is_no_good(self) -> None:
        events = look(observed(sink(partitioning={"regex": "("}), kids={})).events
        assert [(str(one.type), one.reason) for one in events] == [("Warning", "InvalidSpec")]

    def test_none_while_nothing_changes(self) -> None:
        assert told(healthy(), healthy) == []

    def test_none_when_only_figures_change(self) -> None:
        assert told(healthy(), lambda of: healthy(of, reports=[report(0, buffer_bytes=500), report(1)])) == []

    def test_ready(self) -> None:
        before = healthy(pods=[pod(0), pod(1, ready=False)])
        assert told(before, healthy) == [("Normal", "AllReady"), ("Normal", "UpToDate")]

    def test_not_ready(self) -> None:
        after = told(healthy(), lambda of: healthy(of, pods=[pod(0), pod(1, ready=False)]))
        assert after == [("Warning", "PodsNotReady"), ("Normal", "WaitingForPods")]

    def test_s3_goes_and_comes(self) -> None:
        away = [
            report(one, destination_ok=False, last_error="no route", last_error_reason="timeout")
            for one in (0, 1)
        ]
        assert told(healthy(), lambda of: healthy(of, reports=away)) == [("Warning", "Timeout")]
        assert told(healthy(reports=away), healthy) == [("Normal", "Reachable")]

    def test_scaled_down(self) -> None:
        after = told(healthy(), lambda of: healthy({**of, "spec": {**of["spec"], "replicas": 1}}))
        assert after == [("Normal", "ScalingDown"), ("Normal", "Draining")]

    def test_what_two_conditions_say_is_told_once(self) -> None:
        left = [claim(0), claim(1), claim(2)]
        assert told(healthy(), lambda of: healthy(of, claims=left)) == [("Normal", "Draining")]
        expands = {"metadata": {"name": "fast"}, "allowVolumeExpansion": True}

        def larger(of: Any) -> Observed:
            grown = {**of, "spec": {**of["spec"], "buffer": {"size": "20Gi"}}}
            claims = [claim(one, requested="20Gi") for one in (0, 1)]
            return healthy(grown, kids=children(sink(), replicas=2), claims=claims, storage_class=expands)

        assert told(healthy(), larger) == [("Normal", "Resizing")]

    def test_a_drain_that_is_blocked(self) -> None:
        away = [
            report(0),
            report(1, destination_ok=False, last_error="no route", last_error_reason="timeout"),
        ]

        def later(of: Any) -> Observed:
            return healthy({**of, "spec": {**of["spec"], "replicas": 1}}, reports=away)

        assert told(healthy(sink(replicas=1), reports=REACHABLE), later) == [
            ("Warning", "Timeout"),
            ("Warning", "Blocked"),
        ]

    def test_the_message_is_the_condition_s(self) -> None:
        (event,) = look(observed(sink(partitioning={"regex": "("}), kids={})).events
        assert event.type is EventType.WARNING
        assert event.message.startswith("spec.partitioning.regex: ")


REACHABLE = [report(0), report(1)]
