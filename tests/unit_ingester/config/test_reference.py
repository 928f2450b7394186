"""The settings' page is made from their docstrings, and is up to date."""

import re
import subprocess
import sys
from pathlib import Path

from s3sink_ingester.config.reader import all_paths
from s3sink_ingester.config.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_is_up_to_date() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "s3sink_ingester.config"],
        capture_output=True,
        check=True,
        encoding="utf-8",
        timeout=60,
    )
    assert made.stdout == reference()
    assert PAGE.read_text(encoding="utf-8") == made.stdout, (
        "write it: python -m s3sink_ingester.config > docs/settings.md"
    )


def test_every_setting_has_a_row_with_a_meaning() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \|.*\| (.*) \|$", reference(), re.MULTILINE))
    paths = all_paths()
    groups = {path for path in paths if any(other.startswith(f"{path}.") for other in paths)}
    assert set(rows) >= set(paths) - groups
    assert all(len(meaning) > 5 for meaning in rows.values())
