"""One client connection: bytes in, records to the intake, replies out in the order of the requests.

The straight path (`data_received` → `RequestParser.whole` → `Endpoint.route` → `Intake.submit`, later `committed`)
serves a request that came in one piece on a connection where nothing is unusual. All else takes the general path;
both end in the same methods. `_owed` is the truth about replies: an entry for each request whose reply isn't
written, oldest first. The oldest is never ready, for then it would be written.

What connections share is a `Port`; how long a client may take for what is `Deadlines`, looked at by `sweep`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, cast

from s3sink_ingester.errors import RequestError, S3SinkError
from s3sink_ingester.http.deadlines import NEVER, Deadlines, Overdue
from s3sink_ingester.http.endpoint import Endpoint
from s3sink_ingester.http.heads import Head
from s3sink_ingester.http.port import BACKLOG, CONNECTIONS, Port, shown
from s3sink_ingester.http.protocol import Phase, RequestParser
from s3sink_ingester.http.responses import CONTINUE, closing, without_body
from s3sink_ingester.records import Batch

_READY: Final = -1
"""In place of a cost in `_owed`: the reply may go as soon as those before it have gone."""

_WRITE_BUFFER_BYTES: Final = 64 * 1024
"""Replies that a client hasn't read; beyond it no further request of it is looked at."""

# Reasons for not looking at further requests of a connection.
_HOLD_WRITE: Final = 1  # the client doesn't read its replies
_HOLD_PIPELINE: Final = 2  # enough requests are under way
_HOLD_ROUTING: Final = 4  # a body is being routed in a thread: what comes after it must be submitted after it


class Connection(asyncio.Protocol):
    """Also the Waiter of its requests: the intake answers in the order of `submit`, so one object will do."""

    __slots__ = (
        "_deadlines", "_endpoint", "_final", "_finished", "_held", "_hold", "_lost", "_owed", "_parser", "_peer_done",
        "_port", "_reading", "_retiring", "_straight", "_transport",
    )  # fmt: skip

    _transport: asyncio.Transport
    _deadlines: Deadlines

    def __init__(self, port: Port) -> None:
        self._port = port
        self._parser = RequestParser(port.heads, port.limits.max_request_bytes)
        self._endpoint: Endpoint | None = None  # of the body being read
        # (reply, cost in bytes or _READY, endpoint)
        self._owed: deque[tuple[bytes, int, Endpoint | None]] = deque()
        self._hold = 0
        self._reading = True
        self._final = False  # no further request is looked at; the last reply owed closes the connection
        self._finished = False  # our side was closed
        self._peer_done = False
        self._lost = False
        self._held = 0  # bytes in the parser, as counted in port.in_flight

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # Here and not above: a TLS handshake may have been in between.
        self._deadlines = Deadlines(self._port.clock())
        self._retiring = self._port.draining  # the next reply is the last
        self._straight = not self._retiring
        # The default without TLS; with TLS it would be eight times as much.
        self._transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
        excess = self._port.enter(self)
        if excess > self._port.limits.max_refused_connections:
            self._transport.abort()
        elif excess > 0:
            self._refuse(CONNECTIONS, None)

    def data_received(self, data: bytes) -> None:
        port = self._port
        port.stats.bytes_received += len(data)
        if self._straight:
            parser = self._parser
            body = parser.whole(data)
            if body is not None:
                endpoint = parser.head.endpoint
                if (
                    endpoint is not None
                    and len(body) <= endpoint.inline_bytes
                    and port.intake.refusal is None
                    and port.in_flight < port.limits.max_bytes_in_flight
                    and len(self._owed) < port.limits.max_pipelined
                ):
                    self._take(endpoint, body)
                    return
        if not self._final:
            self._receive(data)

    def eof_received(self) -> bool:
        self._peer_done = True
        if not self._finished:
            self._end_of_input()
        # True: the client may have closed only its side and still read; we close when nothing is owed.
        return not self._finished and self._transport.can_write_eof()  # TLS ends with either side

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._straight = False
        self._port.in_flight -= self._held
        self._held = 0
        self._port.leave(self, aborted=bool(self._owed))

    def pause_writing(self) -> None:
        self._deadlines.write_held_since = self._port.clock()
        self._suspend(_HOLD_WRITE)

    def resume_writing(self) -> None:
        self._deadlines.write_held_since = NEVER
        self._resume(_HOLD_WRITE)

    # What the intake calls, once a submit, in their order.

    def committed(self) -> None:
        reply, cost, _ = self._owed.popleft()
        port = self._port
        port.in_flight -= cost
        port.stats.accepted += 1
        if self._straight and not self._owed:
            self._deadlines.last_reply = port.now
            self._transport.write(reply)
        else:
            self._settle(reply)

    def failed(self, error: S3SinkError) -> None:
        _, cost, endpoint = self._owed.popleft()
        self._port.in_flight -= cost
        told = shown(error)
        if told.close:
            self._final = True
            self._update()
        self._settle(self._port.refusal(told, endpoint))

    # What the server calls.

    def sweep(self, now: float) -> None:
        """Look at every deadline of this connection."""
        limits, deadlines = self._port.limits, self._deadlines
        overdue = deadlines.outgoing(now, limits)
        if overdue is not None:
            if overdue is Overdue.WRITE and not self._transport.is_closing():
                self._port.stats.timeouts[overdue.value] += 1
            self._transport.abort()
        elif not self._finished and not self._hold & _HOLD_WRITE:
            if now - deadlines.born >= limits.keep_alive:
                self.retire()
            if not self._owed and not self._hold:
                self._check_input(now)

    def retire(self) -> None:
        """Make the next reply the connection's last."""
        self._retiring = True
        if self._owed and self._parser.phase is Phase.IDLE:
            self._final = True
        self._update()

    def stop(self) -> None:
        """Close the connection as soon as what is in flight has been answered."""
        self.retire()
        if not self._owed and not self._hold and self._parser.phase is Phase.IDLE and not self._finished:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def forget_endpoint(self) -> None:
        """Resolve the next request anew, even if its head is that of the last."""
        self._parser.head.endpoint = None

    # The way in.

    def _receive(self, data: bytes) -> None:
        port, parser = self._port, self._parser
        now = self._deadlines.progress = port.clock()
        if parser.phase is Phase.IDLE:
            self._deadlines.phase_since = now
        parser.receive(data)
        self._pump(now)
        over = port.in_flight > port.limits.max_bytes_in_flight
        if over and parser.phase is Phase.BODY and not self._final and not self._hold:
            self._refuse(BACKLOG, self._endpoint)

    def _pump(self, now: float) -> None:
        """Deal with everything that the parser has, unless something holds it up."""
        parser, port = self._parser, self._port
        while not self._hold and not self._final:
            try:
                event = parser.next_event()
            except RequestError as error:
                self._refuse(error, self._endpoint if parser.phase is Phase.BODY else None)
                break
            if event is None:
                break
            self._deadlines.phase_since = now
            if isinstance(event, Head):
                self._admit(event)
            else:
                self._dispatch(event)
            if len(self._owed) >= port.limits.max_pipelined:
                self._suspend(_HOLD_PIPELINE)
        held = 0 if self._final else parser.held
        port.in_flight += held - self._held
        self._held = held
        if self._peer_done:
            self._end_of_input()

    def _admit(self, head: Head) -> None:
        """Decide on a request by its head, before its body is read."""
        port = self._port
        try:
            endpoint = head.endpoint or port.resolve(head)
        except RequestError as error:
            self._refuse(error, None, bodiless=head.method == "HEAD")
            return
        limit = port.limits.max_request_bytes
        if head.length > limit:
            self._refuse(RequestError(413, f"the body is longer than {limit} bytes"), endpoint)
            return
        refusal = port.intake.refusal
        if refusal is None and port.in_flight - self._held + head.length > port.limits.max_bytes_in_flight:
            refusal = BACKLOG
        if refusal is not None:
            self._refuse(refusal, endpoint)
            return
        self._endpoint = endpoint
        if head.expects_continue:
            if not self._parser.body_begun:
                self._push(CONTINUE)
        elif head.persistent and head.length >= 0:
            head.endpoint = endpoint

    def _dispatch(self, body: bytes) -> None:
        endpoint = self._endpoint
        assert endpoint is not None, "a body comes after its admitted head"
        if self._retiring or not self._parser.head.persistent:
            self._final = True
            self._update()
        if len(body) > endpoint.inline_bytes:
            self._route_in_thread(endpoint, body)
        else:
            self._take(endpoint, body)

    def _take(self, endpoint: Endpoint, body: bytes) -> None:
        try:
            batches, reply = endpoint.route(body)
        except Exception as error:  # noqa: BLE001 - a fault of ours costs one request, not the connection's others
            self._refuse(error, endpoint)
        else:
            self._submit(endpoint, batches, reply)

    def _route_in_thread(self, endpoint: Endpoint, body: bytes) -> None:
        self._owed.append((b"", len(body), endpoint))  # keeps the place; the last entry until it is routed
        self._port.in_flight += len(body)
        self._suspend(_HOLD_ROUTING)
        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._port.executor, endpoint.route, body).add_done_callback(self._routed)

    def _routed(self, future: asyncio.Future[tuple[list[Batch], bytes]]) -> None:
        _, cost, endpoint = self._owed.pop()
        assert endpoint is not None
        self._port.in_flight -= cost
        error = None if future.cancelled() else future.exception()
        if self._lost or future.cancelled():
            return
        if error is not None:
            self._refuse(error, endpoint)
        else:
            batches, reply = future.result()
            self._submit(endpoint, batches, reply)
        self._resume(_HOLD_ROUTING)

    def _submit(self, endpoint: Endpoint, batches: list[Batch], reply: bytes) -> None:
        # What is held until the commit is the payloads, which may be far longer than an encoded body.
        if len(batches) == 1:
            cost = len(batches[0][1])
        elif batches:
            cost = sum(len(payload) for _, payload, _ in batches)
        else:
            self._port.stats.accepted += 1
            self._push(reply)
            return
        self._owed.append((reply, cost, endpoint))
        self._port.in_flight += cost
        try:
            self._port.intake.submit(batches, self)
        except S3SinkError as error:
            self._owed.pop()
            self._port.in_flight -= cost
            self._refuse(error, endpoint)

    # The way out.

    def _refuse(self, error: BaseException, endpoint: Endpoint | None, *, bodiless: bool = False) -> None:
        """Answer the request being read, or just read, with an error."""
        parser = self._parser
        unread = parser.phase is Phase.BODY and not parser.skip_body()
        told = shown(error)
        reply = self._port.refusal(told, endpoint)
        if bodiless:
            reply = without_body(reply)
        if told.close or unread or self._retiring or not parser.head.persistent:
            self._final = True
            self._update()
        self._push(reply)

    def _push(self, reply: bytes) -> None:
        """Give a reply that waits for nothing but its turn."""
        if self._owed:
            self._owed.append((reply, _READY, None))
        else:
            self._settle(reply)

    def _settle(self, reply: bytes) -> None:
        """The oldest request has its reply: write it, and those that were waiting behind it."""
        owed = self._owed
        replies = [reply]
        while owed and owed[0][1] == _READY:
            replies.append(owed.popleft()[0])
        if self._lost:
            return
        last = self._final and not owed
        if last:
            replies[-1] = closing(replies[-1])
        self._deadlines.last_reply = self._port.now
        self._transport.write(b"".join(replies))
        if last:
            self._finish()
        elif len(owed) <= self._port.limits.max_pipelined // 2:
            self._resume(_HOLD_PIPELINE)

    def _finish(self) -> None:
        """Everything is answered. Closing both sides now could reset the connection under the last reply
        (RFC 9112, 9.6), so only ours is closed; what the client still sends is dropped until it closes too."""
        self._finished = True
        self._deadlines.finished = self._port.clock()
        self._update()
        if self._peer_done or not self._transport.can_write_eof():  # TLS can't close one side only
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write_eof()

    def _end_of_input(self) -> None:
        """The client closed its side: close ours when all of its complete requests have been answered."""
        if self._hold:
            return
        self._final = True
        self._update()
        if not self._owed and not self._finished:
            self._transport.close()

    # Flow control.

    def _suspend(self, reason: int) -> None:
        self._hold |= reason
        self._update()

    def _resume(self, reason: int) -> None:
        if self._hold & reason:
            self._hold &= ~reason
            now = self._deadlines.phase_since = self._deadlines.progress = self._port.clock()
            self._pump(now)
            self._update()

    def _update(self) -> None:
        """Bring what follows from the flags in line with them."""
        self._straight = not (self._hold or self._final or self._retiring or self._lost)
        if self._final:
            self._port.in_flight -= self._held
            self._held = 0
        # When final, reading goes on, so that the client's end is seen; the bytes are dropped.
        reading = self._final or not self._hold
        if reading != self._reading and not self._lost and not self._transport.is_closing():
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _check_input(self, now: float) -> None:
        port, parser = self._port, self._parser
        overdue = self._deadlines.incoming(now, port.limits, parser.phase, parser.body_received)
        if overdue is None or (overdue is Overdue.IDLE and self._transport.is_closing()):
            return
        port.stats.timeouts[overdue.value] += 1
        if overdue is Overdue.IDLE:
            self._transport.close()
        else:
            slow = RequestError(408, f"the {overdue.value} of the request came too slowly", close=True)
            self._refuse(slow, self._endpoint if overdue is Overdue.BODY else None)
