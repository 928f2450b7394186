"""Events as they are written."""

from __future__ import annotations

from typing import Any

from s3sink_operator import names
from s3sink_operator.kube.recorder import again, first
from s3sink_operator.state import Event, EventType

SINK: dict[str, Any] = {
    "apiVersion": names.API_VERSION,
    "kind": names.KIND,
    "metadata": {"namespace": "team", "name": "events", "uid": "u"},
}


def made(message: str = "S3 is away", uid: str = "u", kind: EventType = EventType.WARNING) -> dict[str, Any]:
    sink = {**SINK, "metadata": {**SINK["metadata"], "uid": uid}}
    return first(sink, Event(kind, "Blocked", message), "2026-01-01T00:00:00Z", "operator-1")


def test_an_event_is_about_its_sink() -> None:
    event = made()
    assert event["involvedObject"] == {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "namespace": "team",
        "name": "events",
        "uid": "u",
    }
    assert event["metadata"]["namespace"] == "team"
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "Blocked", "S3 is away")
    assert event["source"] == {"component": "s3sink-operator"}


def test_what_says_the_same_has_the_same_name_and_nothing_else_has() -> None:
    name = made()["metadata"]["name"]
    assert name == made()["metadata"]["name"]
    others = [made("else"), made(uid="v"), made(kind=EventType.NORMAL)]
    assert len({name, *(one["metadata"]["name"] for one in others)}) == 4
    assert len(name) <= 253


def test_a_message_is_cut_at_what_the_server_takes_in_the_middle_of_no_character() -> None:
    for message in ("x" * 1024, "x" * 1025, "é" * 600, "😀" * 300):
        cut = made(message)["message"]
        assert len(cut.encode()) <= 1024
        assert cut == message or cut.endswith("…")
    assert made("x" * 1024)["message"] == "x" * 1024


def test_counting_up() -> None:
    assert again({"count": 3}, "T") == {"count": 4, "lastTimestamp": "T"}
    assert again({}, "T")["count"] == 2
