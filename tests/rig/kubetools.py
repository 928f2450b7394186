"""Where the binaries of Kubernetes come from."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_BUILD: Final = ROOT / "tests" / "cluster" / "build.sh"


@cache
def find(name: str) -> Path:
    """A binary of Kubernetes, or the folder ``prometheus-crds``: yours if you have one, else built, once a machine."""
    for variable in ("KUBEBUILDER_ASSETS", "S3SINK_TOOLS"):
        path = Path(os.environ.get(variable, ""), name)
        if os.environ.get(variable) and path.exists():
            return path
    done = subprocess.run([_BUILD, "--print-dir", name], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip(), name)
