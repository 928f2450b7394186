"""Which deadline of a connection is over: a table, with a clock of plain numbers."""

from __future__ import annotations

import pytest
from s3sink_ingester.http.deadlines import Deadlines, Overdue
from s3sink_ingester.http.limits import Limits
from s3sink_ingester.http.protocol import Phase

LIMITS = Limits(
    keep_alive=10,
    header_timeout=5,
    body_timeout=60,
    body_idle_timeout=30,
    min_body_rate=100,
    write_timeout=20,
    linger=2,
)
START = 1000.0


def connection(**since_start: float) -> Deadlines:
    """A connection that was made at START; what happened so many seconds later."""
    deadlines = Deadlines(START)
    for name, seconds in since_start.items():
        setattr(deadlines, name, START + seconds)
    return deadlines


@pytest.mark.parametrize(
    ("happened", "seconds", "overdue"),
    [
        ({}, 1e9, None),
        ({"write_held_since": 5}, 24.9, None),
        ({"write_held_since": 5}, 25, Overdue.WRITE),
        ({"finished": 5}, 6.9, None),
        ({"finished": 5}, 7, Overdue.LINGER),
        # Our side is closed: what the client doesn't read any more is its own affair.
        ({"finished": 5, "write_held_since": -100}, 6.9, None),
        ({"finished": 5, "write_held_since": -100}, 7, Overdue.LINGER),
    ],
)
def test_outgoing(happened: dict[str, float], seconds: float, overdue: Overdue | None) -> None:
    assert connection(**happened).outgoing(START + seconds, LIMITS) is overdue


@pytest.mark.parametrize(
    ("happened", "phase", "received", "seconds", "overdue"),
    [
        ({}, Phase.IDLE, 0, 9.9, None),
        ({}, Phase.IDLE, 0, 10, Overdue.IDLE),
        ({"last_reply": 7}, Phase.IDLE, 0, 16.9, None),
        ({"last_reply": 7}, Phase.IDLE, 0, 17, Overdue.IDLE),
        ({"phase_since": 7, "progress": 11}, Phase.HEAD, 0, 11.9, None),
        ({"phase_since": 7, "progress": 11}, Phase.HEAD, 0, 12, Overdue.HEAD),
        ({"phase_since": 0, "progress": 29}, Phase.BODY, 0, 58.9, None),
        ({"phase_since": 0, "progress": 29}, Phase.BODY, 0, 59, Overdue.BODY),  # it stands still
        ({"phase_since": 0, "progress": 59}, Phase.BODY, 0, 59.9, None),
        ({"phase_since": 0, "progress": 59}, Phase.BODY, 5999, 60, Overdue.BODY),  # it trickles
        ({"phase_since": 0, "progress": 59}, Phase.BODY, 6000, 60, None),
        ({"phase_since": 0, "progress": 599}, Phase.BODY, 59_999, 600, Overdue.BODY),
        ({"phase_since": 0, "progress": 599}, Phase.BODY, 60_000, 600, None),
    ],
)
def test_incoming(
    happened: dict[str, float], phase: Phase, received: int, seconds: float, overdue: Overdue | None
) -> None:
    assert connection(**happened).incoming(START + seconds, LIMITS, phase, received) is overdue
