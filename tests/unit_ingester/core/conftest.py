"""What all tests of the core share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

TESTS_BETWEEN_COLLECTIONS = 20


@pytest.fixture(autouse=True)
def _machines_are_collected(request: pytest.FixtureRequest) -> Iterator[None]:
    """A machine is a cycle that holds its disks, and a process as large as pytest's collects cycles once in a while
    only: by then there were 13 GB of them."""
    yield
    stash = request.session.stash
    count = stash.get(_TESTS, 0) + 1
    stash[_TESTS] = count
    if count % TESTS_BETWEEN_COLLECTIONS == 0:
        gc.collect()


_TESTS = pytest.StashKey[int]()
