"""What the connections of one data port share, and how a refusal looks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Final

from s3sink_ingester.errors import Overloaded, RequestError, S3SinkError
from s3sink_ingester.http.endpoint import Endpoint, Intake, Resolve
from s3sink_ingester.http.heads import HeadCache
from s3sink_ingester.http.limits import Limits
from s3sink_ingester.http.responses import Replies
from s3sink_ingester.http.stats import HttpStats

if TYPE_CHECKING:
    from s3sink_ingester.http.connection import Connection

_log = logging.getLogger(__name__)

BACKLOG: Final = Overloaded(
    "backlog", "too many bytes are on their way to the disk; send it again a little later"
)
CONNECTIONS: Final = Overloaded("backlog", "too many connections", close=True)


class Port:
    """See the module.

    `empty`: set while there are no connections. `in_flight`: bytes of requests in memory. `now`: of the last sweep.
    """

    __slots__ = (
        "clock", "connections", "draining", "empty", "executor", "heads", "in_flight", "intake", "limits", "now",
        "replies", "resolve", "stats",
    )  # fmt: skip

    def __init__(
        self,
        resolve: Resolve,
        intake: Intake,
        replies: Replies,
        limits: Limits,
        clock: Callable[[], float],
        executor: Executor,
    ) -> None:
        self.resolve = resolve
        self.intake = intake
        self.replies = replies
        self.limits = limits
        self.clock = clock
        self.executor = executor
        self.stats = HttpStats()
        self.heads = HeadCache()
        self.connections: set[Connection] = set()
        self.empty = asyncio.Event()
        self.empty.set()
        self.in_flight = 0
        self.now = clock()
        self.draining = False

    def enter(self, connection: Connection) -> int:
        """A connection was made; by how many there are too many."""
        self.connections.add(connection)
        self.empty.clear()
        self.stats.connections += 1
        self.stats.connections_total += 1
        excess = len(self.connections) - self.limits.max_connections
        if excess > 0:
            self.stats.connections_refused += 1
        return excess

    def leave(self, connection: Connection, *, aborted: bool) -> None:
        """A connection is gone. `aborted`: replies were owed."""
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()
        self.stats.connections -= 1
        self.stats.aborted += aborted

    def forget_endpoints(self) -> None:
        """Resolve every head anew: what a head may do has changed."""
        self.heads.forget_endpoints()
        for connection in self.connections:  # each keeps its latest head, in the cache or not
            connection.forget_endpoint()

    def refusal(self, shown: RequestError | Overloaded, endpoint: Endpoint | None) -> bytes:
        """The reply to a request that is refused, which is counted. `endpoint`: None where it isn't known."""
        if isinstance(shown, Overloaded):
            self.stats.refused[503] += 1
            self.stats.overloaded[shown.reason] += 1
        else:
            self.stats.refused[shown.status] += 1
        return self.replies.problem(shown) if endpoint is None else endpoint.refused(shown)


def shown(error: BaseException) -> RequestError | Overloaded:
    """An error in the form in which a client may see it."""
    if isinstance(error, RequestError | Overloaded):
        return error
    if isinstance(error, S3SinkError):
        return Overloaded("failed", "the records could not be made durable; send them again")
    _log.error("a request failed in a way that nobody thought of", exc_info=error)
    return RequestError(500, "internal error; see the ingester's log", close=True)
