"""Kubernetes' own schemas of parts of a pod, so that a typo in ``podTemplate`` is refused at apply.

They are in ``pod_schemas.yaml``, which ``cut_pod_schemas`` makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml


@cache
def pod_schema(kind: str) -> Mapping[str, Any]:
    """The structural schema of a kind, such as ``Affinity``."""
    text = resources.files(__package__).joinpath("pod_schemas.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.safe_load(text)[kind]
    return found
