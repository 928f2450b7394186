"""Small real file systems, mounted for a test: full in a second, and nobody else's."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


class CannotMount(Exception):
    """This user or this machine can't mount a file system; the message says why."""


@contextlib.contextmanager
def small_disk(kind: str, directory: Path, mebibytes: int) -> Iterator[Path]:
    """A new file system (``tmpfs`` or ``ext4``) mounted below ``directory``. Raises CannotMount."""
    point = directory / kind
    point.mkdir()
    if kind == "tmpfs":
        _run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "s3sink-test", str(point))
    else:
        image = directory / f"{kind}.image"
        with image.open("wb") as file:
            file.truncate(mebibytes << 20)
        _run(f"mkfs.{kind}", "-q", "-m", "0", str(image))
        _run("mount", "-o", "loop", str(image), str(point))
    try:
        yield point
    finally:
        _run("umount", "--lazy", str(point))


def fill(path: Path, keep: int = 0) -> None:
    """Take all the room that the file system of ``path`` has, but for ``keep`` bytes, with a file at ``path``."""
    with path.open("ab") as file:
        step = 1 << 24
        while step:
            stat = os.statvfs(path.parent)
            free = stat.f_bavail * stat.f_frsize - keep
            step = min(step, free)
            if step <= 0:
                return
            try:
                end = os.fstat(file.fileno()).st_size
                os.posix_fallocate(file.fileno(), end, step)
            except OSError:
                step //= 2


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        raise CannotMount(f"{command[0]} isn't there") from error
    except subprocess.CalledProcessError as error:
        raise CannotMount(f"{' '.join(command[:3])}: {error.stderr.strip()}") from error
