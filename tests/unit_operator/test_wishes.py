"""What is followed of a spec whatever the rest of it says."""

from __future__ import annotations

from typing import Any

import pytest
from s3sink_operator.planner.wishes import wishes_of

BETWEEN_3_AND_9 = {"minReplicas": 3, "maxReplicas": 9}


@pytest.mark.parametrize(
    ("spec", "replicas"),
    [
        ({}, 1),
        ({"replicas": 4}, 4),
        ({"replicas": 0}, 0),
        ({"replicas": "4"}, 1),
        ({"replicas": 1, "autoscaling": BETWEEN_3_AND_9}, 3),
        ({"autoscaling": BETWEEN_3_AND_9}, 3),
        ({"replicas": 5, "autoscaling": BETWEEN_3_AND_9}, 5),
        ({"replicas": 0, "autoscaling": BETWEEN_3_AND_9}, 0),
        ({"replicas": 2, "autoscaling": {"maxReplicas": 9}}, 2),
        ({"replicas": 2, "autoscaling": {"minReplicas": "3"}}, 2),
        ({"replicas": 2, "autoscaling": None}, 2),
    ],
)
def test_replicas(spec: dict[str, Any], replicas: int) -> None:
    assert wishes_of({"spec": spec}).replicas == replicas
