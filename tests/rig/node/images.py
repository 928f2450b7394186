"""Images for a node without a registry: a base made by debootstrap, the project's own on top, all as OCI archives.

``python -m tests.rig.node.images FOLDER`` puts them there; it needs root and the network, so it runs before the node's
namespaces are made. What doesn't change is kept in a cache outside the work tree: layers by buildah, archives by the
digest of what is in them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.rig import kubetools
from tests.rig.kubetools import ROOT

TAG: Final = "e2e"
INGESTER: Final = f"localhost/s3sink-ingester:{TAG}"
OPERATOR: Final = f"localhost/s3sink-operator:{TAG}"
BASE: Final = "localhost/s3sink-base:bookworm"
"""Debian with python3: what the images are built on, and what small helper pods run."""
PAUSE: Final = "localhost/pause:e2e"
"""What holds a pod's namespaces."""
S3: Final = "localhost/versitygw:e2e"
"""An S3 server."""
ALL: Final = (PAUSE, BASE, S3, INGESTER, OPERATOR)
NEXT: Final = f"{INGESTER}-next"
"""Another name of the ingester's image: what an upgrade goes to."""

_PACKAGES: Final = "python3-minimal,python3-venv,ca-certificates"
_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "s3sink"
_EPOCH: Final = "315532800"
"""1980: the time of all that is in an image."""
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")


def archive_of(folder: Path, image: str) -> Path:
    """Where an image's archive is."""
    return folder / (image.partition("/")[2].replace(":", "-") + ".tar")


def prepare(folder: Path) -> None:
    """Build every image and put its archive into ``folder``. Raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    if not _exists(BASE):
        _make_base()
    if not _exists(PAUSE):
        _from_base(PAUSE, "--entrypoint", '["/bin/sleep","infinity"]', "--cmd", "")
    _make_s3()
    # Neither a commit nor its time changes an image of these, so what was built before stays good.
    fixed = {"TAG": TAG, "REPOSITORY": "localhost", "REVISION": TAG, "SOURCE_DATE_EPOCH": _EPOCH}
    environment = {**os.environ, **fixed, "BASE": BASE, "BUILDER": "buildah"}
    if _CERTIFICATES.exists():
        environment["CA"] = str(_CERTIFICATES)
    _run(str(ROOT / "scripts" / "images.sh"), env=environment)
    for image in ALL:
        archive_of(folder, image).symlink_to(_archived(image))


def _archived(image: str) -> Path:
    """The archive of what the name stands for now. Those of what it stood for before are removed."""
    name, digest = image.partition("/")[2].partition(":")[0], _id(image)
    kept = _CACHE / "archives" / f"{name}-{digest}.tar"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in kept.parent.glob(f"{name}-*.tar"):
            old.unlink()
        part = kept.with_suffix(f".{os.getpid()}")
        part.unlink(missing_ok=True)
        # It goes no farther than a pipe: not worth compressing.
        _run("buildah", "push", "--quiet", "--disable-compression", image, f"oci-archive:{part}:{image}")
        part.rename(kept)
    return kept


def _make_s3() -> None:
    """An image of the test server's binary alone."""
    binary = kubetools.find("versitygw")
    key = str(int(binary.stat().st_mtime))
    if _exists(S3) and key in _run("buildah", "inspect", "--format", "{{.OCIv1.Config.Labels}}", S3):
        return
    container = _run("buildah", "from", "scratch")
    _run("buildah", "add", "--quiet", container, str(binary), "/usr/local/bin/versitygw")
    settings = ("--env", "PATH=/usr/local/bin", "--entrypoint", '["versitygw"]', "--label", f"built={key}")
    _run("buildah", "config", *settings, container)
    _commit(container, S3)


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


def _id(image: str) -> str:
    return _run("buildah", "inspect", "--format", "{{.FromImageID}}", image)


def _exists(image: str) -> bool:
    return subprocess.run(["buildah", "inspect", image], capture_output=True, check=False).returncode == 0


def _run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
