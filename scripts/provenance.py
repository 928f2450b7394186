"""Prints what an image was made from: an in-toto statement with SLSA's provenance, version 1. Standard library alone.

usage: python3 scripts/provenance.py PACKAGE IMAGE DIGEST, in an environment as scripts/images.sh had it

It is as true as the machine that it was written on: nobody signs it. See docs/images.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TYPE = "https://s3sink.dev/build/buildah/v1"


def statement(package: str, image: str, digest: str) -> dict[str, Any]:
    """``digest``: of the image's manifest, ``sha256:...``."""
    algorithm, _, value = digest.partition(":")
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": image, "digest": {algorithm: value}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": TYPE,
                "externalParameters": {
                    "dockerfile": f"{package}/Dockerfile",
                    "arguments": {key: os.environ[key] for key in ("BASE", "RUNTIME") if os.environ.get(key)},
                    "sourceDateEpoch": int(
                        os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct")
                    ),
                },
                "resolvedDependencies": [*sources(), *bases(package), *locks(package)],
            },
            "runDetails": {
                "builder": {
                    "id": f"{TYPE}/scripts/images.sh",
                    "version": {"buildah": said("buildah", "--version")},
                },
            },
        },
    }


def sources() -> list[dict[str, Any]]:
    """The commit; ``dirty`` where the work tree had more than it."""
    changed = git("status", "--porcelain", "--", "ingester", "operator", "requirements")
    return [
        {
            "name": "source",
            "digest": {"gitCommit": git("rev-parse", "HEAD")},
            "annotations": {"dirty": bool(changed)},
        }
    ]


def bases(package: str) -> list[dict[str, Any]]:
    """The images that it was built on, by the digests that buildah knows them by."""
    default = re.search(r"^ARG BASE=(\S+)", (ROOT / package / "Dockerfile").read_text(), re.MULTILINE)
    base = os.environ.get("BASE") or (default[1] if default else "")
    found = []
    for name in dict.fromkeys((base, os.environ.get("RUNTIME") or base)):
        digest = said("buildah", "inspect", "--type", "image", "--format", "{{.FromImageDigest}}", name)
        found.append({"uri": name, "digest": {"sha256": digest.removeprefix("sha256:")}})
    return found


def locks(package: str) -> list[dict[str, Any]]:
    """The lists of packages, each of which is pinned by hash in them."""
    return [
        {"name": path, "digest": {"sha256": hashlib.sha256((ROOT / path).read_bytes()).hexdigest()}}
        for path in (f"requirements/{package}.lock", "requirements/build.lock")
    ]


def git(*arguments: str) -> str:
    """What git says."""
    return said("git", "-C", str(ROOT), *arguments)


def said(*command: str) -> str:
    """What a command says. Raises CalledProcessError."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    json.dump(statement(*sys.argv[1:]), sys.stdout, indent=2)
    sys.stdout.write("\n")
