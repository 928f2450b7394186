"""The data port: listens, sweeps, stops. Connections do the rest."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from s3sink_ingester.http.access import Access
from s3sink_ingester.http.connection import Connection
from s3sink_ingester.http.endpoint import Intake, Resolve
from s3sink_ingester.http.limits import Limits
from s3sink_ingester.http.port import Port
from s3sink_ingester.http.responses import Replies
from s3sink_ingester.http.stats import HttpStats

_log = logging.getLogger(__name__)

_BACKLOG = 1024


class HttpServer:
    """One listening socket and its connections, on the running loop.

    `resolve`: finds a request's endpoint by its head. `replies`: given the time here; endpoints make their replies
    with the same. `access`: who may send, and TLS; by default whoever reaches the port, without it. `clock`: monotonic
    seconds. `now`: Unix seconds, for the Date header. `threads`: route large and encoded bodies.
    """

    def __init__(
        self,
        resolve: Resolve,
        intake: Intake,
        replies: Replies,
        limits: Limits | None = None,
        *,
        access: Access | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        threads: int = 2,
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="http-route")
        self._access = access or Access()
        resolve = self._access.guarding(resolve)
        self._port = Port(resolve, intake, replies, limits or Limits(), clock, self._executor)
        self._port.stats.access = self._access.stats
        self._now = now
        self._server: asyncio.Server | None = None
        self.port = 0
        """The port that is listened on once started, also where 0 was asked for."""
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def stats(self) -> HttpStats:
        """Counts since the start."""
        return self._port.stats

    @property
    def bytes_in_flight(self) -> int:
        """Bytes of requests in memory now."""
        return self._port.in_flight

    async def start(self, host: str, port: int, *, reuse_port: bool = False) -> None:
        """Listen. `reuse_port`: other processes may listen on the same port and share its connections.

        Raises ConfigError: the keys or the certificate can't be used; OSError: the address is in use or isn't ours.
        """
        self._access.load()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._connection, host, port, reuse_port=reuse_port, backlog=_BACKLOG, **self._tls()
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._watch = loop.create_task(self._access.watch(self._port.forget_endpoints))
        self._tick()

    def drain(self) -> None:
        """From now on every reply is the last on its connection, so that clients move on; goes on listening."""
        self._port.draining = True
        for connection in tuple(self._port.connections):
            connection.retire()

    def resume(self) -> None:
        """Undo `drain` for connections that come from now on."""
        self._port.draining = False

    async def stop(self, grace: float) -> None:
        """Stop listening, answer what is in flight, close; what isn't answered after `grace` seconds is cut off."""
        if self._server is not None:
            self._server.close()
        self._port.draining = True
        for connection in tuple(self._port.connections):
            connection.stop()
        try:
            await asyncio.wait_for(self._port.empty.wait(), grace)
        except TimeoutError:
            _log.warning("%d connections are cut off: the grace period is over", len(self._port.connections))
        for connection in tuple(self._port.connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        # A body that is still being routed belongs to a connection that is gone.
        self._executor.shutdown(wait=False, cancel_futures=True)

    def sweep(self) -> None:
        """Do all that is due: time-outs, ages, the Date. Called by itself; tests with a clock of their own call it."""
        now = self._port.now = self._port.clock()
        self._port.replies.tick(self._now())
        for connection in tuple(self._port.connections):
            connection.sweep(now)

    def _connection(self) -> Connection:
        """One that was accepted; over TLS it is made only after its handshake."""
        self._port.stats.access.handshakes += self._access.tls is not None
        return Connection(self._port)

    def _tls(self) -> dict[str, Any]:
        """What the listener is told of TLS."""
        limits = self._port.limits
        if self._access.tls is None:
            return {}
        return {
            "ssl": self._access.tls,
            "ssl_handshake_timeout": limits.header_timeout,
            "ssl_shutdown_timeout": limits.linger,  # how long a client may take to end its side
        }

    def _tick(self) -> None:
        self.sweep()
        # Once a second is often enough, unless connections may live for less than some seconds.
        interval = min(1.0, max(0.05, self._port.limits.keep_alive / 4))
        self._timer = asyncio.get_running_loop().call_later(interval, self._tick)
