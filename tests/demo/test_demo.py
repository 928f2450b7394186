"""`make demo` holds what it says, and leaves nothing running."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]


def test_every_record_that_was_sent_is_found_once() -> None:
    mark = str(uuid.uuid4())

    done = subprocess.run(
        [sys.executable, "-m", "tests.demo", "--records", "50000"],
        cwd=ROOT,
        env={**os.environ, "S3SINK_TEST_MARK": mark},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "sent = found: every record once" in done.stdout
    assert "kill -9 after 25,000 acknowledged records" in done.stdout
    assert [process for process in psutil.process_iter() if _marked(process, mark)] == []


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("S3SINK_TEST_MARK") == mark
    except psutil.Error:
        return False  # gone meanwhile, or another user's
