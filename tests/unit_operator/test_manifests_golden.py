"""Whole manifests, as they are applied: what a change of the code changes in clusters is read in the diff.

``.venv/bin/python -m tests.unit_operator.rendering`` writes them again.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit_operator.rendering import GOLDEN, GOLDEN_SAMPLES, golden_file, golden_text


@pytest.mark.parametrize("sample", GOLDEN_SAMPLES, ids=lambda path: path.name.partition(".")[0])
def test_as_before(sample: Path) -> None:
    assert golden_text(sample) == golden_file(sample).read_text()


def test_no_golden_file_is_left_over() -> None:
    known = {golden_file(sample) for sample in GOLDEN_SAMPLES}
    assert {path for path in GOLDEN.glob("*.yaml") if not path.name.endswith(".sink.yaml")} == known
