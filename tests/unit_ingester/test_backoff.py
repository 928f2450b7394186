"""Delays and the gate, with values alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.backoff import SLOWLY_BASE, SLOWLY_CAP, SOON_CAP, Gate, Retry, retry_delay


@given(st.integers(1, 10**9), st.randoms(use_true_random=False))
def test_soon_is_full_jitter_under_a_doubling_ceiling(attempt: int, rng: random.Random) -> None:
    ceiling = min(SOON_CAP, 0.5 * 2 ** min(attempt - 1, 20))
    assert 0.0 <= retry_delay(attempt, Retry.SOON, rng) <= ceiling


@given(st.integers(1, 10**9), st.randoms(use_true_random=False))
def test_slowly_is_never_soon(attempt: int, rng: random.Random) -> None:
    assert SLOWLY_BASE <= retry_delay(attempt, Retry.SLOWLY, rng) <= SLOWLY_CAP


@pytest.mark.parametrize(("kind", "cap"), [(Retry.SOON, 60.0), (Retry.SLOWLY, 300.0)])
def test_the_cap_is_reached_and_used(kind: Retry, cap: float) -> None:
    rng = random.Random(1)
    delays = [retry_delay(30, kind, rng) for _ in range(500)]
    assert max(delays) > 0.95 * cap


def test_delays_of_many_pods_are_spread() -> None:
    delays = [retry_delay(8, Retry.SOON, random.Random(pod)) for pod in range(300)]
    assert min(delays) < 5.0
    assert max(delays) > 55.0


def gate() -> Gate:
    return Gate(random.Random(1))


def opened() -> Gate:
    made = gate()
    made.succeeded(made.start())
    assert made.open
    return made


def test_it_begins_with_one_probe() -> None:
    made = gate()
    assert not made.open
    assert made.admits(0.0)
    turn = made.start()
    assert not made.admits(1e9)
    made.succeeded(turn)
    assert made.admits(0.0)
    assert made.next_probe is None


def test_puts_that_meet_the_same_outage_are_one_failure() -> None:
    many, one = opened(), opened()
    turns = [many.start() for _ in range(4)]
    for turn in turns:
        many.failed(turn, Retry.SOON, 100.0)
    one.failed(one.start(), Retry.SOON, 100.0)
    assert many.next_probe == one.next_probe


def test_success_of_a_put_from_before_the_failure_does_not_open_it() -> None:
    made = opened()
    before, fails = made.start(), made.start()
    made.failed(fails, Retry.SOON, 100.0)
    made.succeeded(before)
    assert not made.open


def test_probes_wait_longer_and_longer() -> None:
    made = opened()
    now = 0.0
    waits = []
    for _ in range(40):
        made.failed(made.start(), Retry.SOON, now)
        assert made.next_probe is not None
        waits.append(made.next_probe - now)
        now = made.next_probe
        assert made.admits(now)
    assert max(waits[:3]) <= 2.0
    assert 20.0 < sum(waits[10:]) / len(waits[10:]) < 40.0


def test_a_first_refusal_is_followed_by_another_object_at_once() -> None:
    made = opened()
    made.failed(made.start(), Retry.SLOWLY, 100.0)
    assert made.next_probe == 100.0
    made.failed(made.start(), Retry.SLOWLY, 100.0)
    assert made.next_probe is not None
    assert made.next_probe >= 130.0


def test_probes_take_turns_between_both_ends() -> None:
    made = opened()
    assert not made.wants_newest
    seen = []
    for _ in range(4):
        made.failed(made.start(), Retry.SOON, 0.0)
        seen.append(made.wants_newest)
    assert seen == [True, False, True, False]
    made.succeeded(made.start())
    assert not made.wants_newest


def test_an_undecided_probe_makes_room_for_the_next() -> None:
    made = gate()
    made.undecided(made.start())
    assert made.admits(0.0)
    assert not made.open


def test_hurry_brings_the_probe_forward_only() -> None:
    made = opened()
    made.failed(made.start(), Retry.SOON, 0.0)
    made.failed(made.start(), Retry.SOON, 50.0)
    made.hurry(10.0)
    assert made.next_probe == 10.0
    made.hurry(20.0)
    assert made.next_probe == 10.0
