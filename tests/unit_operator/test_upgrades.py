"""One sink after the other."""

from __future__ import annotations

from s3sink_operator.runtime.upgrades import Turns


def test_one_begins_and_the_others_wait_their_turn() -> None:
    turns: Turns[str] = Turns()
    assert turns.take("a", 0.0)
    assert not turns.take("b", 1.0)
    assert not turns.take("c", 1.0)
    for key in "abc":
        assert turns.settle(key, 1.0, upgrading=True) is None
    assert turns.take("a", 2.0), "it goes on"
    assert turns.settle("a", 0.0, upgrading=False) == "b"
    assert turns.take("b", 3.0)
    assert not turns.take("c", 3.0)
    assert turns.settle("b", 0.0, upgrading=False) == "c"
    assert turns.take("c", 4.0)
    assert turns.settle("c", 0.0, upgrading=False) is None


def test_one_that_needs_none_gives_its_turn_back_at_once() -> None:
    turns: Turns[str] = Turns()
    assert turns.take("a", 0.0)
    assert turns.settle("a", 0.0, upgrading=False) is None
    assert turns.take("b", 0.0)


def test_one_that_hangs_keeps_the_others_waiting_only_for_so_long_and_goes_on_itself() -> None:
    turns: Turns[str] = Turns(patience=100.0)
    assert turns.take("a", 0.0)
    turns.settle("a", 0.0, upgrading=True)
    assert not turns.take("b", 99.0)
    turns.settle("b", 99.0, upgrading=True)
    assert turns.take("b", 100.0)
    turns.settle("b", 100.0, upgrading=True)
    assert turns.take("a", 101.0), "what has begun isn't stopped half-way"
    assert not turns.take("c", 101.0)
    turns.settle("a", 101.0, upgrading=False)
    assert not turns.take("a", 102.0), "a next upgrade of it waits like all others"
    assert turns.settle("b", 102.0, upgrading=False) is None


def test_one_that_goes_while_it_waits_isnt_woken() -> None:
    turns: Turns[str] = Turns()
    turns.take("a", 0.0)
    turns.take("b", 0.0)
    turns.settle("b", 0.0, upgrading=True)
    turns.settle("b", 0.0, upgrading=False)  # deleted
    assert turns.settle("a", 0.0, upgrading=False) is None


def test_one_that_hung_before_a_restart_keeps_nobody_waiting() -> None:
    turns: Turns[str] = Turns(patience=100.0)
    assert turns.take("a", 5.0), "nobody knows anything yet"
    assert not turns.take("b", 5.0)
    assert turns.settle("b", 5.0, upgrading=True) is None
    assert turns.settle("a", 5.0, upgrading=True, rolling=86400.0) == "b"
    assert turns.take("b", 6.0)
    assert turns.settle("b", 6.0, upgrading=True) is None
    assert turns.take("a", 7.0), "what has begun isn't stopped half-way"
    assert turns.settle("a", 7.0, upgrading=True, rolling=86402.0) is None
    assert not turns.take("c", 7.0), "the turn is that of b"


def test_after_a_restart_one_that_rolls_has_what_is_left_of_its_time() -> None:
    turns: Turns[str] = Turns(patience=100.0)
    assert turns.take("a", 5.0)
    assert turns.settle("a", 5.0, upgrading=True, rolling=60.0) is None
    assert not turns.take("b", 44.0)
    assert turns.take("b", 45.0)


def test_a_roll_that_begins_with_the_turn_has_all_its_time() -> None:
    turns: Turns[str] = Turns(patience=100.0)
    assert turns.take("a", 5.0)
    assert turns.settle("a", 6.0, upgrading=True) is None
    assert turns.settle("a", 8.0, upgrading=True, rolling=1.0) is None
    assert not turns.take("b", 104.0)
    assert turns.take("b", 105.0)
