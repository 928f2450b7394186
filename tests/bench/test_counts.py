"""What the bench sends is what it counts: a wrong count here would make every figure wrong."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from tests.bench import filling, loads, messages, peers
from tests.bench.servers import S3Sink
from tests.bench.throughput import Sample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.loads import Form

SAMPLE = Sample(
    rate=1.0,
    cpu_us=1.0,
    p50_ms=1.0,
    p99_ms=1.0,
    resident=1,
    peak=1,
    others=0.0,
    acknowledged=1000,
    accepted=1010,
    found=1010,
    in_flight=128,
    errors=0,
)


def test_a_record_has_its_size_with_the_line_feed() -> None:
    lines = [line for lines in messages.records(messages.keys(3), 20).values() for line in lines]
    assert {len(line) for line in lines} == {messages.SIZE - 1}
    assert len(set(lines)) == 60
    assert not any(b"\n" in line for line in lines)


@pytest.mark.parametrize("load", loads.LOADS, ids=lambda load: load.name)
def test_every_request_of_a_load_holds_a_batch(load: loads.Load) -> None:
    bodies = loads.requests(load, S3Sink.form).bodies
    assert {body.count(b"\n") + 1 for body in bodies} == {load.batch}


@pytest.mark.parametrize("form", [S3Sink.form, peers.FLUENTD], ids=["mixed", "by key"])
@pytest.mark.parametrize("levels", [{"customer-00000": 1}, {"customer-00007": 4001, "customer-00099": 17}])
def test_filling_makes_exactly_the_levels_wanted(form: Form, levels: Mapping[str, int]) -> None:
    wanted = {**dict.fromkeys(messages.keys(100), 0), **levels}
    made = dict.fromkeys(wanted, 0)
    for lines in filling.bodies(form, 100, wanted):
        for line in lines:
            made[line.split(b" ", 1)[0].decode()] += 1
    assert made == wanted


@pytest.mark.parametrize(
    ("change", "honest"),
    [
        ({}, True),
        ({"accepted": None}, True),  # a peer does not say
        ({"found": None}, True),  # not drained
        ({"found": 1009}, False),
        ({"accepted": 999, "found": 999}, False),
        ({"accepted": 1129, "found": 1129}, False),
    ],
)
def test_counts_that_do_not_agree_are_seen(change: dict[str, int | None], honest: bool) -> None:
    assert dataclasses.replace(SAMPLE, **change).honest is honest  # type: ignore[arg-type]  # names of its fields
