"""What the crash tests have in common: volumes whose processes are ended, and a table of the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.crash.ledger import Verdict
from tests.crash.sink import Settings, Sink, tiny_settings

Tell = Callable[[str, Verdict], None]
MakeSink = Callable[..., Sink]
_PROPERTY = "crash verdict"


@pytest.fixture
def make_sink(tmp_path: Path) -> Iterator[MakeSink]:
    """``make_sink(name, **groups)``: a new volume with ``tiny_settings``; its process ends with the test."""
    with ExitStack() as stack:

        def make(name: str = "sink", **groups: Settings) -> Sink:
            directory = tmp_path / name
            sink = Sink(directory, tiny_settings(directory, **groups))
            stack.callback(sink.close)
            return sink

        yield make


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """``tell(what, verdict)``: a row of the table that is printed at the end; fails unless the verdict is good."""

    def row(what: str, verdict: Verdict) -> None:
        record_property(_PROPERTY, f"{what}: {verdict}")
        assert verdict.good, f"{what}: {verdict}"

    return row


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The verdicts of all tests, also where they passed: that nothing was lost is what they are run for."""
    rows = [
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in getattr(report, "user_properties", [])
        if name == _PROPERTY and report.when == "call"
    ]
    if rows:
        terminalreporter.section("crash verdicts (records)")
        for one in rows:
            terminalreporter.write_line(str(one))
