"""The loads, and the prebuilt requests that wrk cycles through to make them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tests.bench import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CONNECTIONS = 64
BATCH = 500
# Enough different records that gzip's 32 KiB window meets none of them twice: it would compress a copy for nothing.
RECORDS_EACH = {100: 200, 10_000: 4}


@dataclass(frozen=True)
class Load:
    """`batch` records of SIZE bytes in each request, spread evenly over `keys` shard keys."""

    name: str
    keys: int
    batch: int

    @property
    def title(self) -> str:
        unit = "single messages" if self.batch == 1 else f"batches of {self.batch}"
        return f"{unit}, {self.keys:,} keys"


LOADS = (
    Load("singles", 100, 1),
    Load("batches", 100, BATCH),
    Load("singles-10k", 10_000, 1),
    Load("batches-10k", 10_000, BATCH),
)


@dataclass(frozen=True)
class Requests:
    """Bodies to POST to `path`, all with one content type."""

    path: str
    content_type: str
    bodies: Sequence[bytes]

    def write(self, file: Path) -> None:
        """In cycle.lua's form: each body behind a line with its length in bytes."""
        with file.open("wb") as output:
            for body in self.bodies:
                output.write(b"%d\n" % len(body) + body)


@dataclass(frozen=True)
class Form:
    """How a server takes records: the path, the content types, and the body made of one or more lines."""

    path: str
    single_type: str
    batch_type: str
    body: Callable[[Sequence[bytes]], bytes]
    mixes_keys: bool  # whether the records of one request may have different keys

    def group(self, lines: Sequence[bytes]) -> Requests:
        """One request that holds all of the lines."""
        return Requests(self.path, self.batch_type, [self.body(lines)])


def requests(load: Load, form: Form) -> Requests:
    """The requests of a load in a server's own form, in an order that is the same on every run."""
    by_key = corpus(load.keys)
    if load.batch == 1:
        return Requests(
            form.path, form.single_type, [form.body([line]) for line in messages.shuffled(by_key)]
        )
    if form.mixes_keys:
        grouped = list(messages.groups(messages.shuffled(by_key), load.batch))
    else:
        repeated = {
            key: list(itertools.islice(itertools.cycle(lines), load.batch)) for key, lines in by_key.items()
        }
        grouped = list(repeated.values())
    return Requests(form.path, form.batch_type, [form.body(lines) for lines in grouped])


@cache
def corpus(keys: int) -> dict[str, list[bytes]]:
    """The records of every shard key; built once a run."""
    return messages.records(messages.keys(keys), RECORDS_EACH[keys])
