"""An HTTP proxy between a client and a real S3 server that breaks what passes through, on order.

It understands just enough of HTTP/1.1 to know when a request was stored. Requests are passed on byte for byte
(path and Host header too), so that signatures stay right.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LONGEST_HANG: Final = 120.0  # seconds; what hangs is let go when the proxy stops


class Fault(Enum):
    """What happens to a request."""

    HANG = "hang"
    """It is read and never answered."""
    SLOW_DOWN = "slow_down"
    """503 SlowDown, not passed on."""
    INTERNAL_ERROR = "internal_error"
    """500 InternalError, not passed on."""
    FORBIDDEN = "forbidden"
    """403 AccessDenied, not passed on."""
    CONFLICT = "conflict"
    """409 ConditionalRequestConflict, not passed on."""
    NOT_IMPLEMENTED = "not_implemented"
    """501 NotImplemented, not passed on."""
    ERROR_IN_200 = "error_in_200"
    """200 with an error in the body, as a late failure of CompleteMultipartUpload looks; not passed on."""
    NOT_S3 = "not_s3"
    """502 with a web page, as a broken load balancer gives it; not passed on."""
    CUT_BEFORE = "cut_before"
    """The connection is reset in the middle of the request's body; not passed on."""
    CUT_AFTER = "cut_after"
    """It is passed on and carried out; then the connection is reset and the answer lost."""


@dataclass(frozen=True)
class Request:
    """A request that came by. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def operation(self) -> str:
        """The S3 operation, of those that an upload needs; else the method."""
        query = urlsplit(self.path).query
        known = {
            ("POST", "uploads"): "CreateMultipartUpload",
            ("PUT", "uploadId"): "UploadPart",
            ("POST", "uploadId"): "CompleteMultipartUpload",
            ("DELETE", "uploadId"): "AbortMultipartUpload",
            ("PUT", ""): "PutObject",
        }
        for (method, parameter), name in known.items():
            if method == self.method and (parameter in query if parameter else not query):
                return name
        return self.method


@dataclass
class FlakyProxy:
    """A running proxy at ``endpoint``. Faults come from ``script``, one a request, then from ``decide``.

    Both may be changed at any time. ``requests`` are all that came, in order, broken ones included.
    """

    upstream: str
    tls: ssl.SSLContext | None = None
    """Speak TLS to the client; plain HTTP goes on to the server."""
    requests: list[Request] = field(default_factory=list)
    script: deque[Fault | None] = field(default_factory=deque)
    decide: Callable[[Request], Fault | None] = field(default=lambda _: None)
    _server: _Server | None = None
    _address: tuple[str, int] = ("127.0.0.1", 0)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _let_go: threading.Event = field(default_factory=threading.Event)

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self._address[0]}:{self._address[1]}"

    @property
    def operations(self) -> list[str]:
        """The S3 operations of ``requests``."""
        return [request.operation for request in self.requests]

    def fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            return self.script.popleft() if self.script else self.decide(request)

    def hang(self) -> None:
        self._let_go.wait(_LONGEST_HANG)

    def start(self) -> None:
        """Listen: at first on a free port, after ``stop`` on the same one."""
        self._let_go.clear()
        self._server = _Server(self._address, self)
        self._address = ("127.0.0.1", self._server.server_port)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def stop(self) -> None:
        """Refuse connections, and reset those that are open."""
        if self._server is not None:
            self._let_go.set()
            self._server.shutdown()
            self._server.server_close()
            self._server.reset_all()
            self._server = None


@contextmanager
def flaky_proxy(upstream: str, tls: ssl.SSLContext | None = None) -> Iterator[FlakyProxy]:
    """A proxy before the server at ``upstream`` (a URL), listening until the block ends."""
    proxy = FlakyProxy(upstream, tls)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: FlakyProxy) -> None:
        self.proxy = proxy
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the game."""

    def reset_all(self) -> None:
        for connection in list(self._open):
            _reset(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle_one_request(self) -> None:
        """One request of a connection; a reset one ends it."""
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):  # ValueError: the socket was closed by reset_all
            self.close_connection = True

    def handle_expect_100(self) -> bool:
        """The body is asked for where it is read."""
        return True

    def do_anything(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers)
        fault = self.server.proxy.fault_for(request)
        self._ask_for_body(headers)
        size = int(headers.get("content-length", "0"))
        if fault is Fault.CUT_BEFORE:
            self.rfile.read(min(size, 1))
            self._cut()
            return
        body = self.rfile.read(size)
        if len(body) < size:  # the client, or this proxy, was stopped meanwhile
            self._cut()
            return
        if fault is Fault.HANG:
            self.server.proxy.hang()
            self._cut()
        elif fault in _ANSWERS:
            self._answer(*_ANSWERS[fault])
        else:
            self._pass_on(body, lose_answer=fault is Fault.CUT_AFTER)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_anything  # noqa: N815  # names that http.server wants

    def _ask_for_body(self, headers: dict[str, str]) -> None:
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _pass_on(self, body: bytes, *, lose_answer: bool) -> None:
        address = urlsplit(self.server.proxy.upstream).netloc
        upstream = http.client.HTTPConnection(address, timeout=_LONGEST_HANG)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    upstream.putheader(name, value)
            upstream.endheaders()
            upstream.send(body)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        if lose_answer:
            self._cut()
            return
        kept = [
            (n, v) for n, v in answer.getheaders() if n.lower() not in ("transfer-encoding", "connection")
        ]
        if self.command != "HEAD" and answer.status not in (204, 304):
            kept = [(n, v) for n, v in kept if n.lower() != "content-length"]
            kept.append(("Content-Length", str(len(content))))
        self._send(answer.status, kept, content)

    def _answer(self, status: int, content_type: str, body: str) -> None:
        content = body.encode()
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(content))),
            ("x-amz-request-id", f"PROXY{len(self.server.proxy.requests)}"),
        ]
        self._send(status, headers, content)

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _cut(self) -> None:
        self.close_connection = True
        _reset(self.connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server gives it
        """Quiet."""


def _reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN, as a crashed host's kernel does."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
        connection.close()
    except OSError:
        return


def _xml(code: str, message: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )


_ANSWERS: Final[dict[Fault | None, tuple[int, str, str]]] = {
    Fault.SLOW_DOWN: (503, "application/xml", _xml("SlowDown", "Please reduce your request rate.")),
    Fault.INTERNAL_ERROR: (
        500,
        "application/xml",
        _xml("InternalError", "We encountered an internal error."),
    ),
    Fault.FORBIDDEN: (403, "application/xml", _xml("AccessDenied", "Access Denied")),
    Fault.CONFLICT: (409, "application/xml", _xml("ConditionalRequestConflict", "Conflicting operation.")),
    Fault.NOT_IMPLEMENTED: (
        501,
        "application/xml",
        _xml("NotImplemented", "A header you provided implies functionality that is not implemented"),
    ),
    Fault.ERROR_IN_200: (200, "application/xml", _xml("InternalError", "We encountered an internal error.")),
    Fault.NOT_S3: (502, "text/html", "<html><body>Bad gateway</body></html>"),
}
