"""The servers under test: s3sink, in this checkout or an older one, and its peers where they are installed."""

from __future__ import annotations

import io
import subprocess
import tarfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from isal import isal_zlib

from tests.bench.loads import Form
from tests.rig.ingester import Ingester, s3_destination, story_settings
from tests.rig.s3servers import S3Server, versitygw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "bench"
DRAIN_TIMEOUT = 900.0  # seconds


@dataclass(frozen=True)
class Bench:
    """What all measurements share: the cores, the S3 server, the size of a chunk."""

    directory: Path
    server_core: int
    load_core: int
    versitygw: Path | None  # None: objects go to a directory, and peers can't be measured
    chunk_bytes: int


class Server(Protocol):
    """A running server."""

    @property
    def url(self) -> str: ...

    @property
    def pid(self) -> int: ...

    def accepted(self) -> int | None:
        """Records that it says it took since it was started on an empty volume; None if it does not say."""

    def finish(self) -> None:
        """Return when every record it took is in an object."""


class Contestant(Protocol):
    """A kind of server that the bench can start."""

    @property
    def name(self) -> str: ...

    @property
    def form(self) -> Form: ...

    @property
    def is_peer(self) -> bool: ...

    def launch(self, bench: Bench, directory: Path, store: Store, stack: ExitStack) -> Server:
        """Start it on an empty `directory`; `stack` stops it."""


@dataclass(frozen=True)
class Store:
    """Where objects go, and the directory in which they can be counted."""

    objects: Path
    server: S3Server | None = None
    endpoint: str = ""  # of `server`, or of something in front of it

    @property
    def destination(self) -> dict[str, object]:
        return s3_destination(self.endpoint, BUCKET) if self.endpoint else {"path": str(self.objects)}


@contextmanager
def store(bench: Bench, directory: Path) -> Iterator[Store]:
    """A real S3 server on the load's core where there is one, else a directory."""
    if bench.versitygw is None:
        yield Store(directory / "objects")
        return
    with versitygw(bench.versitygw, directory, core=bench.load_core) as server:
        server.client().create_bucket(Bucket=BUCKET)
        yield Store(directory / "s3" / BUCKET, server, server.endpoint)


def count_records(objects: Path) -> int:
    """The lines of all gzip objects under a directory."""
    total = 0
    for path in objects.rglob("*.gz"):
        inflate = isal_zlib.decompressobj(wbits=31)
        with path.open("rb") as packed:
            while block := packed.read(1 << 20):
                total += inflate.decompress(block).count(b"\n")
        if not inflate.eof or inflate.unused_data:
            raise ValueError(f"{path} is not one whole gzip member")
    return total


class S3Sink:
    """The ingester with the story's settings."""

    form = Form("/", "text/plain", "application/x-ndjson", b"\n".join, mixes_keys=True)
    is_peer = False

    def __init__(self, name: str, source: Path | None = None) -> None:
        """`source`: the package root of another checkout, None for the installed one."""
        self.name = name
        self._source = source

    def prepare(self, bench: Bench, directory: Path, destination: dict[str, object]) -> Ingester:
        """An ingester on `directory` that is not started yet."""
        settings = story_settings(directory, destination)
        settings["batch"]["maxBytes"] = bench.chunk_bytes
        return Ingester(directory, settings, core=bench.server_core, source=self._source)

    def launch(self, bench: Bench, directory: Path, store: Store, stack: ExitStack) -> Server:
        ingester = self.prepare(bench, directory, store.destination)
        stack.callback(ingester.stop_if_running)
        ingester.start()
        return RunningS3Sink(ingester)


class RunningS3Sink:
    """An ingester that is ready."""

    def __init__(self, ingester: Ingester) -> None:
        self._ingester = ingester
        self.url = ingester.data_url

    @property
    def pid(self) -> int:
        return self._ingester.process.pid

    def accepted(self) -> int | None:
        return self._ingester.status().accepted_records

    def finish(self) -> None:
        self._ingester.drain(DRAIN_TIMEOUT)


@contextmanager
def checkout(repository: Path, revision: str, directory: Path) -> Iterator[Path]:
    """The ingester's sources as of `revision`, unpacked into `directory`; yields the package root."""
    command = ["git", "-C", str(repository), "archive", revision, "ingester/src"]
    archive = subprocess.run(command, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(directory, filter="data")
    yield directory / "ingester" / "src"
