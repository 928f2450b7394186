"""The gate: several reasons may close it, and the most telling one is told."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester import gate as gates
from s3sink_ingester.errors import Overloaded
from s3sink_ingester.gate import Gate

ORDER = [gates.STOPPING, gates.DRAINING, gates.FAILED, gates.RECOVERING, gates.FULL, gates.BACKLOG]


def test_it_is_open_at_first() -> None:
    gate = Gate()
    assert gate.refusal is None
    assert not any(gate.is_closed_by(one) for one in ORDER)


@pytest.mark.parametrize("reasons", [pair for size in range(1, 4) for pair in combinations(ORDER, size)])
def test_the_first_in_the_order_is_told(reasons: tuple[Overloaded, ...]) -> None:
    gate = Gate()
    for one in reversed(reasons):
        gate.close(one)
    for index, one in enumerate(reasons):
        assert gate.refusal is reasons[index]
        gate.open(one)
    assert gate.refusal is None


@given(st.lists(st.tuples(st.sampled_from(ORDER), st.booleans())))
def test_closing_and_opening_twice_is_doing_it_once(steps: list[tuple[Overloaded, bool]]) -> None:
    gate = Gate()
    closed: set[str] = set()
    for one, close in steps:
        gate.set(one, closed=close)
        (closed.add if close else closed.discard)(one.reason)
        assert gate.refusal is next((other for other in ORDER if other.reason in closed), None)
        assert [gate.is_closed_by(other) for other in ORDER] == [other.reason in closed for other in ORDER]


def test_what_clients_are_told() -> None:
    assert {one.reason for one in ORDER} == {
        "stopping",
        "draining",
        "failed",
        "recovering",
        "full",
        "backlog",
    }
    assert all(one.retry_after >= 1 for one in ORDER)
    assert {one.reason for one in ORDER if one.close} == {"stopping", "draining"}, (
        "where another pod takes them"
    )
