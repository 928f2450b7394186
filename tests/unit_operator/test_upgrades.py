"""One sink after the other."""

from __future__ import annotations

from s3sink_operator.runtime.upgrades import Turns


def test_one_begins_and_the_others_wait_their_turn() -> None:
    turns: Turns[str] = Turns()
    assert turns.take("a", 0.0)
    assert not turns.take("b", 1.0)
    assert not turns.take("c", 1.0)
    for key in "abc":
        assert turns.settle(key, upgrading=True) is None
    assert turns.take("a", 2.0), "it goes on"
    assert turns.settle("a", upgrading=False) == "b"
    assert turns.take("b", 3.0)
    assert not turns.take("c", 3.0)
    assert turns.settle("b", upgrading=False) == "c"
    assert turns.take("c", 4.0)
    assert turns.settle("c", upgrading=False) is None


def test_one_that_needs_none_gives_its_turn_back_at_once() -> None:
    turns: Turns[str] = Turns()
    assert turns.take("a", 0.0)
    assert turns.settle("a", upgrading=False) is None
    assert turns.take("b", 0.0)


def test_one_that_hangs_keeps_the_others_waiting_only_for_so_long_and_goes_on_itself() -> None:
    turns: Turns[str] = Turns(patience=100.0)
    assert turns.take("a", 0.0)
    turns.settle("a", upgrading=True)
    assert not turns.take("b", 99.0)
    turns.settle("b", upgrading=True)
    assert turns.take("b", 100.0)
    turns.settle("b", upgrading=True)
    assert turns.take("a", 101.0), "what has begun isn't stopped half-way"
    assert not turns.take("c", 101.0)
    turns.settle("a", upgrading=False)
    assert not turns.take("a", 102.0), "a next upgrade of it waits like all others"
    assert turns.settle("b", upgrading=False) is None


def test_one_that_goes_while_it_waits_isnt_woken() -> None:
    turns: Turns[str] = Turns()
    turns.take("a", 0.0)
    turns.take("b", 0.0)
    turns.settle("b", upgrading=True)
    turns.settle("b", upgrading=False)  # deleted
    assert turns.settle("a", upgrading=False) is None
