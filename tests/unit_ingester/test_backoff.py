"""Delays and the gate, with values alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.backoff import SLOWLY_CAP, SOON_CAP, Gate, Retry, retry_delay


@given(st.integers(1, 10**9), st.randoms(use_true_random=False))
def test_soon_is_full_jitter_under_a_doubling_ceiling(attempt: int, rng: random.Random) -> None:
    ceiling = min(SOON_CAP, 0.5 * 2 ** min(attempt - 1, 20))
    assert 0.0 <= retry_delay(attempt, Retry.SOON, rng) <= ceiling


@given(st.integers(1, 10**9), st.randoms(use_true_random=False))
def test_slowly_is_the_upper_half_under_a_doubling_ceiling(attempt: int, rng: random.Random) -> None:
    ceiling = min(SLOWLY_CAP, 5.0 * 2 ** min(attempt - 1, 20))
    assert ceiling / 2 <= retry_delay(attempt, Retry.SLOWLY, rng) <= ceiling


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
    assert 105.0 <= made.next_probe <= 110.0


def probes_of_a_refusal(rng: random.Random, until: float) -> list[float]:
    """When a new gate probes a store that refuses from second 0 on."""
    made = Gate(rng)
    probes = [0.0]
    while probes[-1] < until:
        made.failed(made.start(), Retry.SLOWLY, probes[-1])
        assert made.next_probe is not None
        probes.append(made.next_probe)
    return probes


@pytest.mark.parametrize(
    ("mended", "noticed_within"),
    [(1.0, 10.0), (10.0, 30.0), (30.0, 70.0), (60.0, 130.0), (120.0, 250.0), (600.0, 300.0), (36e3, 300.0)],
)
def test_what_is_mended_soon_is_noticed_soon(mended: float, noticed_within: float) -> None:
    """Within twice the time that it took, or a little more; by every other pod in half of that."""
    waits = sorted(probes_of_a_refusal(random.Random(pod), mended)[-1] - mended for pod in range(100))
    assert waits[-1] <= noticed_within
    assert waits[50] <= max(10.0, noticed_within / 2)


@pytest.mark.parametrize(("seconds", "most"), [(60.0, 7), (600.0, 12), (3600.0, 32), (86400.0, 600)])
def test_a_store_that_goes_on_refusing_is_asked_seldom(seconds: float, most: int) -> None:
    assert all(len(probes_of_a_refusal(random.Random(pod), seconds)) <= most for pod in range(100))


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
