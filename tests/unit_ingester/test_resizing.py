"""`buffer.size` is followed in the settings file, and nothing else is: another size is taken, a bad one is told."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from s3sink_ingester.config import Settings, loads
from s3sink_ingester.gate import RECOVERING
from s3sink_ingester.resizing import Follower, SettingsFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MI = 2**20


def text(size: str, **batch: str) -> str:
    """Settings with a buffer of this size."""
    return f"""
        destination: {{path: /objects}}
        source: {{maxRequestBytes: 64Ki}}
        partitioning: {{header: X-Shard-Key}}
        batch: {{maxBytes: {batch.get("max_bytes", "1Mi")}}}
        buffer: {{size: {size}, segmentBytes: 1Mi}}
    """


@dataclass
class Taker:
    """What is resized."""

    settings: Settings
    refuses: Exception | None = None

    def resize(self, size: int) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.settings = loads(text(str(size)), {})


@pytest.fixture
def app() -> Taker:
    return Taker(loads(text("64Mi"), {}))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """As Kubernetes does: a new directory, then a link to it is swapped, through which the file's path leads."""
    path = tmp_path / "settings.yaml"
    path.symlink_to("..data/settings.yaml")

    def write(content: str) -> Path:
        generation = tmp_path / f"..generation-{len(list(tmp_path.iterdir()))}"
        generation.mkdir()
        (generation / "settings.yaml").write_text(content)
        fresh = tmp_path / "..data_tmp"
        fresh.symlink_to(generation.name)
        os.replace(fresh, tmp_path / "..data")
        return path

    return write


@pytest.mark.parametrize(("workers", "expected"), [(1, 128 * MI), (2, 64 * MI), (4, 32 * MI)])
async def test_a_changed_size_is_shared_by_the_workers(
    app: Taker, write: Callable[[str], Path], workers: int, expected: int
) -> None:
    follower = Follower(SettingsFile(write(text("32Mi")), workers), app, {})
    await follower.look()
    write(text("128Mi"))
    await follower.look()
    assert app.settings.buffer.size == expected


async def test_what_is_in_use_is_not_taken_again(app: Taker, write: Callable[[str], Path]) -> None:
    app.refuses = AssertionError("nothing is to be taken")
    follower = Follower(SettingsFile(write(text("64Mi"))), app, {})
    await follower.look()
    write(text("64Mi", max_bytes="2Mi"))
    await follower.look()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (text("100 pigs"), "buffer.size"),
        (text("5Mi"), "too small"),
        (text("128Mi", max_bytes="a lot"), "batch.maxBytes"),
        ("", "no settings"),
        ("{", "settings.yaml"),
        (r'name: "\UFFFFFFFF"', "double quotes"),
    ],
)
async def test_what_cant_be_used_is_told_once_and_changes_nothing(
    app: Taker,
    write: Callable[[str], Path],
    caplog: pytest.LogCaptureFixture,
    content: str,
    complaint: str,
) -> None:
    follower = Follower(SettingsFile(write(content)), app, {})
    for _ in range(3):
        await follower.look()
    told = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert len(told) == 1
    assert complaint in told[0]
    assert app.settings.buffer.size == 64 * MI
    write(text("128Mi"))
    await follower.look()
    assert app.settings.buffer.size == 128 * MI


async def test_what_runs_must_fit_into_it_whatever_else_the_file_says(
    app: Taker, write: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    app.settings = loads(text("512Mi", max_bytes="100Mi"), {})
    await Follower(SettingsFile(write(text("32Mi"))), app, {}).look()
    assert app.settings.buffer.size == 512 * MI
    assert "write at least" in caplog.text


async def test_a_file_that_is_gone_is_told(
    app: Taker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await Follower(SettingsFile(tmp_path / "settings.yaml"), app, {}).look()
    assert "settings.yaml" in caplog.text


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), RECOVERING])
async def test_a_volume_that_cant_be_asked_now_is_asked_again(
    app: Taker, write: Callable[[str], Path], error: Any
) -> None:
    app.refuses = error
    follower = Follower(SettingsFile(write(text("128Mi"))), app, {})
    await follower.look()
    assert app.settings.buffer.size == 64 * MI
    app.refuses = None
    await follower.look()
    assert app.settings.buffer.size == 128 * MI
