"""Real S3 servers on loopback, one of each a test process, and buckets of their own for the tests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.rig.s3servers import S3Server, find_versitygw, moto, versitygw
from tests.rig.stores import Bucket, new_bucket

_numbers = itertools.count(1)


@contextmanager
def _server(name: str, directory: Path) -> Iterator[S3Server]:
    if name == "moto":
        with moto(directory) as server:
            yield server
        return
    binary = find_versitygw()
    if binary is None:
        if os.environ.get("S3SINK_TOOLS"):
            pytest.fail("S3SINK_TOOLS holds no versitygw")
        pytest.skip("needs versitygw: run make tools, or use make test")
    with versitygw(binary, directory) as server:
        yield server


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], S3Server]]:
    """Gives a server by its name; it is started when it is first asked for."""
    running: dict[str, S3Server] = {}
    with ExitStack() as stack:

        def get(name: str) -> S3Server:
            if name not in running:
                running[name] = stack.enter_context(_server(name, tmp_path_factory.mktemp(name)))
            return running[name]

        yield get


@pytest.fixture(params=["moto", "versitygw"])
def bucket(
    request: pytest.FixtureRequest, start: Callable[[str], S3Server], tmp_path: Path
) -> Iterator[Bucket]:
    """A new bucket on each server in turn."""
    with new_bucket(start(request.param), f"bucket-{next(_numbers)}", tmp_path) as made:
        yield made


@pytest.fixture
def moto_bucket(start: Callable[[str], S3Server], tmp_path: Path) -> Iterator[Bucket]:
    """A new bucket on moto alone, which takes any credentials and has roles."""
    with new_bucket(start("moto"), f"bucket-{next(_numbers)}", tmp_path) as made:
        yield made


@pytest.fixture
def versity_bucket(start: Callable[[str], S3Server], tmp_path: Path) -> Iterator[Bucket]:
    """A new bucket on versitygw alone, for what moto leaves out: signatures, digests, lost uploads."""
    with new_bucket(start("versitygw"), f"bucket-{next(_numbers)}", tmp_path) as made:
        yield made
