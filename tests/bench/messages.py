"""The bench's records: log lines of 512 bytes in the story's form, `<key> <content>`, that gzip about 3 : 1."""

from __future__ import annotations

import itertools
import json
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIZE = 512  # bytes of a record: key, space, content, line feed
VERBS = ("checkout", "refund", "session", "search", "upload", "export", "webhook", "retry", "accepted")
NOUNS = ("invoice", "report", "cart", "payment", "timeout", "shipment", "customer", "token", "cache")


def keys(count: int) -> list[str]:
    """Shard keys as a team would have them: a short name and a number."""
    return [f"customer-{number:05d}" for number in range(count)]


def records(shards: Sequence[str], each: int) -> dict[str, list[bytes]]:
    """For each shard key `each` different records of SIZE - 1 bytes (no line feed), the same on every run."""
    rng = random.Random(20181124)
    return {shard: [_record(shard, rng) for _ in range(each)] for shard in shards}


def shuffled(by_key: dict[str, list[bytes]]) -> list[bytes]:
    """All of the records in a random order, the same on every run."""
    every = list(itertools.chain.from_iterable(by_key.values()))
    random.Random(3600).shuffle(every)
    return every


def groups(lines: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    """Consecutive groups of `size` lines; a rest that fills no group is left out."""
    for start in range(0, len(lines) - size + 1, size):
        yield lines[start : start + size]


def _record(shard: str, rng: random.Random) -> bytes:
    document = {
        "time": f"2026-11-24T{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.random() * 60:09.6f}Z",
        "request_id": f"{rng.getrandbits(128):032x}",
        "customer": shard,
        "method": rng.choice(("GET", "POST", "PUT")),
        "path": f"/v1/{rng.choice(NOUNS)}/{rng.randrange(1_000_000)}",
        "status": rng.choice((200, 200, 200, 201, 304, 404, 503)),
        "duration_ms": round(rng.expovariate(0.05), 3),
        "remote": ".".join(str(rng.randrange(256)) for _ in range(4)),
        "agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Safari/537.36",
    }
    line = f'{shard} {json.dumps(document)[:-1]}, "message": "'.encode()
    while len(line) < SIZE:
        line += f"{rng.choice(VERBS)} {rng.choice(NOUNS)} ".encode()
    return line[: SIZE - 3] + b'"}'
