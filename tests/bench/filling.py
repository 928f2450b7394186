"""Puts a given amount of records into a server's buffer, in large requests."""

from __future__ import annotations

import http.client
import itertools
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.bench import loads, wrk
from tests.bench.messages import SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BODY = 2000  # records of a request, at most
TRIES = 20
PAUSE = 0.5  # seconds


def post(url: str, form: loads.Form, keys: int, levels: Mapping[str, int]) -> int:
    """Post `levels[key]` records of each key; returns how many were acknowledged. Raises LoadError."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=120)
    posted = 0
    try:
        for lines in bodies(form, keys, levels):
            _post(connection, form.group(lines))
            posted += len(lines)
    finally:
        connection.close()
    return posted


def _post(connection: http.client.HTTPConnection, request: loads.Requests) -> None:
    """Until it is acknowledged: a busy peer drops connections, the ingester must not, and its counts would tell."""
    for _ in range(TRIES):
        try:
            connection.request(
                "POST", request.path, request.bodies[0], {"Content-Type": request.content_type}
            )
            response = connection.getresponse()
            answer = response.read()
        except (http.client.RemoteDisconnected, ConnectionError):
            connection.close()  # the next request opens it again
            time.sleep(PAUSE)
            continue
        if response.status // 100 != 2:
            raise wrk.LoadError(f"the server answered {response.status}: {answer.decode()}")
        return
    raise wrk.LoadError(f"the server dropped the connection {TRIES} times without an answer")


def bodies(form: loads.Form, keys: int, levels: Mapping[str, int]) -> Iterator[list[bytes]]:
    """The records of each request."""
    return _mixed(keys, levels) if form.mixes_keys else _by_key(keys, levels)


def evenly(keys: int, size: int) -> dict[str, int]:
    """Levels that make `size` bytes of records over `keys` keys."""
    return dict.fromkeys(loads.corpus(keys), max(1, size // SIZE // keys))


def _by_key(keys: int, levels: Mapping[str, int]) -> Iterator[list[bytes]]:
    """Requests of one key each, key after key."""
    for key, lines in loads.corpus(keys).items():
        repeated = itertools.cycle(lines)
        for start in range(0, levels[key], BODY):
            yield list(itertools.islice(repeated, min(BODY, levels[key] - start)))


def _mixed(keys: int, levels: Mapping[str, int]) -> Iterator[list[bytes]]:
    """Requests with records of many keys, as a client that batches what comes along would send them."""
    sources = {
        key: itertools.islice(itertools.cycle(lines), levels[key])
        for key, lines in loads.corpus(keys).items()
    }
    body: list[bytes] = []
    while sources:
        for key in list(sources):
            taken = list(itertools.islice(sources[key], 16))
            if not taken:
                del sources[key]
            body += taken
            if len(body) >= BODY:
                yield body
                body = []
    if body:
        yield body
