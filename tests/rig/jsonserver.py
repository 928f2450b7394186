"""A server of JSON over TLS on loopback, in a thread, for what an API server calls: webhooks, aggregated APIs."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.rig.certificates import Certificate
    from tests.rig.kubeapi import Object


Reply = Callable[[str, bytes], "Object"]
"""A document for a request's path and body."""


@contextmanager
def serving(certificate: Certificate, reply: Reply) -> Iterator[int]:
    """It serves meanwhile, every request with 200. Gives the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(reply(self.path, b""))

        def do_POST(self) -> None:
            self._answer(reply(self.path, self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, document: Object) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
