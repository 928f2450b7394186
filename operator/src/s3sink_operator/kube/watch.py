"""Follows the changes of one kind of objects, by label, for ever: only their metadata, and nothing of it is kept.

Level-triggered: what comes out are hints that something may have changed. A hint too many costs a look, so a watch
that breaks in whatever way begins anew, and tells that hints may have been missed.
"""

from __future__ import annotations

import logging
import random
from asyncio import sleep
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Literal

from s3sink_operator.errors import ClusterError, Conflict, Refused, Unavailable
from s3sink_operator.kube.apiserver import ApiServer, Expired

Metadata = Mapping[str, Any]

_ITEM: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_FIRST_SECONDS: Final = 0.5
_MOST_SECONDS: Final = 30.0
_REFUSED_SECONDS: Final = 300.0
"""A right that is missing, or a kind that isn't there, rarely comes; the one who waits for it tries this often."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What to follow. ``path``: collection in the API."""

    path: str
    labels: str = ""
    fields: str = ""

    @property
    def query(self) -> dict[str, str]:
        """Its selectors."""
        given = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {key: value for key, value in given.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Who is told. None of them may block or raise."""

    changed: Callable[[Metadata], None]
    """An object is new, is different or is gone; its metadata."""
    relisted: Callable[[], None] = lambda: None
    """The watch had broken and goes on; any change meanwhile may have been missed."""
    alive: Callable[[Literal["trying", "heard"]], None] = lambda _: None
    """A try begins, or the API server said something."""


async def follow(
    api: ApiServer,
    watched: Watched,
    hooks: Hooks,
    *,
    pause: Callable[[float], Awaitable[object]] = sleep,
    jitter: Callable[[], float] = random.random,
) -> None:
    """Until cancelled. An API server that is away, restarts or refuses is tried again, less and less often."""
    failures = 0
    was_watched = False
    while True:
        hooks.alive("trying")
        try:
            version = await _version(api, watched)
            hooks.alive("heard")
            failures = 0
            if was_watched:
                hooks.relisted()
            was_watched = True
            await _changes(api, watched, hooks, version, pause)
        except Expired as error:
            log.debug("watch of %s begins anew: %s", watched.path, error)
            await pause(_FIRST_SECONDS * jitter())
        except ClusterError as error:
            delay = delay_after(error, failures, jitter())
            failures += 1
            log.log(level_of(error, failures), "%s; next try in %.1f s", error, delay)
            await pause(delay)


def level_of(error: ClusterError, failures: int) -> int:
    """How loud to tell the failure. ``failures``: in a row. API servers restart; optional kinds may not be there."""
    if isinstance(error, Conflict):
        return logging.DEBUG
    return logging.WARNING if failures == (1 if isinstance(error, Refused) else 4) else logging.DEBUG


def delay_after(error: ClusterError, failures: int, chance: float) -> float:
    """Seconds until the next try. ``failures``: tries before this one that failed; ``chance``: in [0, 1)."""
    if isinstance(error, Refused | Conflict):
        return _REFUSED_SECONDS * (0.5 + chance / 2)
    delay = min(_MOST_SECONDS, _FIRST_SECONDS * 2.0 ** min(failures, 10)) * (0.5 + chance / 2)
    asked = error.retry_after if isinstance(error, Unavailable) else None
    return max(delay, asked or 0.0)


async def _version(api: ApiServer, watched: Watched) -> str:
    """The version to watch from. What there is now isn't told: who starts looks at every sink anyway."""
    page = await api.request("GET", watched.path, query={**watched.query, "limit": "1"}, accept=_LIST)
    version: str = page["metadata"]["resourceVersion"]
    return version


async def _changes(
    api: ApiServer,
    watched: Watched,
    hooks: Hooks,
    version: str,
    pause: Callable[[float], Awaitable[object]],
) -> None:
    """Ends only by raising: a stream that ends, as it does after some minutes, goes on from its last version."""
    while True:
        heard = False
        hooks.alive("trying")
        query = {**watched.query, "resourceVersion": version}
        try:
            async with aclosing(api.stream(watched.path, query=query, accept=_ITEM)) as stream:
                async for change in stream:
                    heard = True
                    hooks.alive("heard")
                    version = change["object"]["metadata"]["resourceVersion"]
                    if change["type"] != "BOOKMARK":
                        hooks.changed(change["object"]["metadata"])
        except Expired:
            raise
        except Unavailable as error:
            if not heard:
                raise  # not a stream that broke, but an API server that is away
            log.debug("%s", error)
        await pause(_FIRST_SECONDS)
