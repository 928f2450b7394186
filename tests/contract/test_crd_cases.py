"""What the API server refuses, the operator refuses too, and takes what it takes: two readings of the same rules.

The API server's side of each case is asked in ``tests/cluster/test_cel.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from s3sink_operator.crd import definition
from s3sink_operator.crd.rules import ROOT, RULES
from s3sink_operator.errors import SpecError
from s3sink_operator.spec import parse

from tests.cluster.cel_cases import CASES, Case

SCHEMA = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """As the API server fills in what a manifest leaves out."""
    if isinstance(value, dict) and "properties" in schema:
        filled = dict(value)
        for name, field in schema["properties"].items():
            if name not in filled and "default" in field:
                filled[name] = field["default"]
            if name in filled:
                filled[name] = with_defaults(filled[name], field)
        return filled
    return value


@pytest.mark.parametrize("case", [case for case in CASES if not case.admission], ids=lambda case: case.title)
def test_the_operator_agrees_with_the_api_server(case: Case) -> None:
    sink = with_defaults(case.manifest(), SCHEMA)
    if not (case.refused or case.late):
        parse(sink)
        return
    with pytest.raises(SpecError) as caught:
        parse(sink)
    assert len(caught.value.problems) == 1 or case.title == "no spec", caught.value.problems
    if case.late:
        assert case.late in caught.value.problems[0]


@pytest.mark.parametrize("case", [case for case in CASES if not case.refused], ids=lambda case: case.title)
def test_left_out_and_default_mean_the_same(case: Case) -> None:
    if not case.late:
        assert parse(case.manifest()) == parse(with_defaults(case.manifest(), SCHEMA))


def test_every_rule_refuses_something() -> None:
    """A rule that no case meets might as well refuse nothing."""
    rules = {rule for rules in (ROOT, *RULES.values()) for rule in rules}
    refusals = [case.refused.partition(";")[0] for case in CASES if case.refused]
    unmet = [rule.message for rule in rules if not any(piece in rule.message for piece in refusals)]
    computed = [message for message in unmet if " + " in message]
    assert sorted(set(unmet) - set(computed)) == []
    # Of those whose message is put together, a case has the first words.
    words = [message.strip("\"'").split("'")[0].split('"')[0] for message in computed]
    assert [start for start in words if not any(start in piece for piece in refusals)] == []
