"""kill -9 at every named point of a volume's life: around every write, sync, rename, unlink and put.

A first life enumerates the points. Then each is died at, at its first passage and at a later one; after each death a
reader must see whole objects only, and the next process must find everything.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.crash import scenario
from tests.crash.conftest import MakeSink, Tell
from tests.crash.ledger import NOTHING, Verdict
from tests.crash.load import Load
from tests.crash.points import Fault
from tests.crash.sink import Sink

AT_A_TIME = 6


async def test_killed_at_every_point_of_a_life(make_sink: MakeSink, tell: Tell) -> None:
    whole = make_sink("whole", **scenario.LIFE)
    await scenario.live(whole, seed=1)
    tell("a life without a kill", whole.verdict())
    passed = scenario.passages(whole)
    faults = scenario.faults(passed, ("start", "live", "drain", "resume", "stop"), Random(2))

    async def trial(number: int, fault: Fault) -> Verdict:
        sink = make_sink(f"life-{number}", **scenario.LIFE)
        await scenario.live(sink, number, fault)
        return await _recovered(sink)

    tell(f"{len(faults)} kills at {len(passed)} points of a life", await _trials(faults, trial))


async def test_killed_at_every_point_of_a_recovery(make_sink: MakeSink, tell: Tell, tmp_path: Path) -> None:
    image = make_sink("image", **scenario.LIFE)
    image.block_uploads()
    await scenario.live(image, 3, Fault("live/after rename object", 9))
    image.unblock_uploads()
    whole = scenario.copy(image, tmp_path / "whole")
    tell("a recovery without a kill", await whole.drained_verdict())
    passed = {point: times for point, times in scenario.passages(whole).items() if point.startswith("start/")}
    faults = scenario.faults(passed, ("start",), Random(4))

    async def trial(number: int, fault: Fault) -> Verdict:
        sink = scenario.copy(image, tmp_path / f"recovery-{number}")
        sink.start(fault, seed=number, until_drained=True)
        await sink.exited()
        return await _recovered(sink)

    tell(f"{len(faults)} kills at {len(passed)} points of a recovery", await _trials(faults, trial))


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
async def test_an_error_at_every_point_of_a_life(make_sink: MakeSink, tell: Tell, error: str) -> None:
    whole = make_sink("whole", **scenario.LIFE)
    await scenario.live(whole, seed=5)
    passed = {point: times for point, times in scenario.passages(whole).items() if "/after " not in point}
    rng = Random(error)
    faults = [
        replace(fault, times=rng.choice((1, 1, 1, 2)))
        for fault in scenario.faults(passed, ("start", "live", "drain", "resume"), rng, error)
    ]

    async def trial(number: int, fault: Fault) -> Verdict:
        sink = make_sink(f"{error}-{number}", **scenario.LIFE)
        await scenario.endure(sink, number, fault)
        return await _recovered(sink)

    tell(f"{len(faults)} times {error} at {len(passed)} points of a life", await _trials(faults, trial, 12))


async def test_a_process_that_did_not_run_takes_a_drain_before_its_resume(make_sink: MakeSink) -> None:
    """Or the lives above would end in waiting, on a machine that is busy."""
    sink = make_sink(**scenario.LIFE)
    sink.start()
    port = await sink.port()
    for number in (signal.SIGSTOP, signal.SIGUSR2, signal.SIGUSR1, signal.SIGCONT):
        sink.signal(number)
    await asyncio.sleep(scenario.SIGNAL_SECONDS)
    await Load(sink.ledger, Random(1), scenario.FEW).send_until_acked(port, 30)
    sink.signal(signal.SIGTERM)
    assert await sink.exited() == 0, sink.log_tail()


async def _recovered(sink: Sink) -> Verdict:
    """Judge what a reader sees now, and then everything."""
    _, complaints = sink.ledger.found(sink.objects())
    assert not complaints, complaints
    sink.inspected()
    return await sink.drained_verdict()


async def _trials(
    faults: Sequence[Fault], trial: Callable[[int, Fault], Awaitable[Verdict]], at_a_time: int = AT_A_TIME
) -> Verdict:
    """A trial for each fault, some at a time; the sum of their verdicts. What is wrong names the fault."""
    limit = asyncio.Semaphore(at_a_time)

    async def one(number: int, fault: Fault) -> Verdict:
        async with limit:
            try:
                verdict = await trial(number, fault)
            except Exception as error:
                raise AssertionError(f"{fault} (number {number}): {error}") from error
            assert verdict.good, f"{fault} (number {number}): {verdict}"
            return verdict

    verdicts = await asyncio.gather(*(one(*each) for each in enumerate(faults)), return_exceptions=True)
    failures = [str(each) for each in verdicts if isinstance(each, BaseException)]
    assert not failures, f"{len(failures)} of {len(faults)}:\n" + "\n\n".join(failures)
    return sum((each for each in verdicts if isinstance(each, Verdict)), NOTHING)
