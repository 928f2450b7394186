"""The CRD's rules, asked of a real API server: what is accepted, what is refused, and with which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.cel_cases import CASES, Case
from tests.cluster.cel_table import answer

if TYPE_CHECKING:
    from tests.rig.controlplane import ControlPlane


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_the_api_server_says(control_plane: ControlPlane, case: Case) -> None:
    said = answer(control_plane, case)
    if not case.refused:
        assert said == ""
        return
    assert case.refused in said
    # One mistake, one message: more than one comes as a list in brackets.
    assert ("is invalid: [" in said) == (case.problems > 1), said
    assert "rule evaluation error" not in said


def test_titles_tell_cases_apart() -> None:
    assert len({case.title for case in CASES}) == len(CASES)
