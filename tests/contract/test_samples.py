"""The samples are what they promise: read by the operator, short where they say so, and known to the docs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from s3sink_operator.spec import parse

FOLDER = Path(__file__).parents[2] / "docs" / "samples"
SAMPLES = sorted(FOLDER.glob("*.yaml"))


def sample(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_each_is_read_and_begins_with_what_it_shows(path: Path) -> None:
    parse(sample(path.stem))
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_names_tell_them_apart() -> None:
    """So that all can be applied to one namespace."""
    names = [sample(path.stem)["metadata"]["name"] for path in SAMPLES]
    assert len(set(names)) == len(names) >= 8


def test_the_story_of_2018_is_what_it_was() -> None:
    """`body_size_limit 32m`, `keepalive_timeout 10s`, `timekey 3600`, `chunk_limit_size 25MB`, gzip, `<path>/...`."""
    spec = parse(sample("story-2018"))
    assert spec.source.max_request_bytes == "32Mi"
    assert spec.source.keep_alive == "10s"
    assert spec.batch.window == "1h"
    assert spec.batch.max_bytes == "25Mi"
    assert spec.object.compression == "gzip"
    assert spec.object.prefix in (None, "{path}/")
    assert spec.service.type == "ClusterIP"
    assert spec.monitoring.service_monitor == "Auto"


def test_the_story_is_short() -> None:
    lines = (FOLDER / "story-2018.yaml").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if not line.startswith("#")]) <= 12
