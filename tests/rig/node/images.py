"""Images for a node without a registry: a base made by debootstrap, the project's own on top, all as OCI archives.

``python -m tests.rig.node.images FOLDER`` writes them; it needs root and the network, so it runs before the node's
namespaces are made. What doesn't change is kept in a cache outside the work tree.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.rig.kubetools import ROOT

TAG: Final = "e2e"
INGESTER: Final = f"localhost/s3sink-ingester:{TAG}"
OPERATOR: Final = f"localhost/s3sink-operator:{TAG}"
BASE: Final = "localhost/s3sink-base:bookworm"
"""Debian with python3: what the images are built on, and what small helper pods run."""
PAUSE: Final = "localhost/pause:e2e"
"""What holds a pod's namespaces."""
ALL: Final = (PAUSE, BASE, INGESTER, OPERATOR)

_PACKAGES: Final = "python3-minimal,python3-venv,ca-certificates"
_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "s3sink"
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")


def archive_of(folder: Path, image: str) -> Path:
    """Where an image's archive is."""
    return folder / (image.partition("/")[2].replace(":", "-") + ".tar")


def prepare(folder: Path) -> None:
    """Build every image and write its archive into ``folder``. Raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    if not _exists(BASE):
        _make_base()
    _from_base(PAUSE, "--entrypoint", '["/bin/sleep","infinity"]', "--cmd", "")
    environment = {**os.environ, "BASE": BASE, "TAG": TAG, "REPOSITORY": "localhost", "BUILDER": "buildah"}
    if _CERTIFICATES.exists():
        environment["CA"] = str(_CERTIFICATES)
    _run(str(ROOT / "scripts" / "images.sh"), env=environment)
    for image in ALL:
        archive = archive_of(folder, image)
        archive.unlink(missing_ok=True)
        _run("buildah", "push", "--quiet", image, f"oci-archive:{archive}:{image}")


def _make_base() -> None:
    tree = _CACHE / "base-bookworm.tar"
    if not tree.exists():
        with tempfile.TemporaryDirectory() as name:
            root = Path(name, "root")
            sys.stderr.write("Making a base image with debootstrap (once a machine; a minute)\n")
            _run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root))
            for left in (
                "var/cache/apt",
                "var/lib/apt/lists",
                "usr/share/doc",
                "usr/share/man",
                "usr/share/locale",
            ):
                _run("rm", "-rf", str(root / left))
            part = tree.with_suffix(".part")
            _run("tar", "--create", "--file", str(part), "--directory", str(root), ".")
            part.rename(tree)
    container = _run("buildah", "from", "scratch")
    _run("buildah", "add", "--quiet", container, str(tree), "/")
    _commit(container, BASE)


def _from_base(image: str, *settings: str) -> None:
    container = _run("buildah", "from", BASE)
    _run("buildah", "config", *settings, container)
    _commit(container, image)


def _commit(container: str, image: str) -> None:
    _run("buildah", "commit", "--quiet", container, image)
    _run("buildah", "rm", container)


def _exists(image: str) -> bool:
    return subprocess.run(["buildah", "inspect", image], capture_output=True, check=False).returncode == 0


def _run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
