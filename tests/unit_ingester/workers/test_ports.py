"""Holding a port for several processes."""

from __future__ import annotations

import socket

import pytest
from s3sink_ingester.ports import reserve


def listener(port: int, *, shared: bool) -> socket.socket:
    made = socket.socket()
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    made.listen()
    return made


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_somebody_listens_on_is_refused(shared: bool) -> None:
    with listener(0, shared=shared) as other, pytest.raises(OSError, match="in use"):
        reserve("127.0.0.1", other.getsockname()[1])


def test_workers_listen_beside_the_reservation_which_gets_no_connections() -> None:
    with reserve("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with listener(port, shared=True) as first, listener(port, shared=True) as second:
            clients = [socket.create_connection(("127.0.0.1", port), timeout=5.0) for _ in range(32)]
            for server in (first, second):
                server.setblocking(False)
            accepted = 0
            for server in (first, second):
                while True:
                    try:
                        server.accept()[0].close()
                    except BlockingIOError:
                        break
                    accepted += 1
            assert accepted == len(clients)
            for client in clients:
                client.close()
        with pytest.raises(OSError, match="in use"):
            listener(port, shared=False)
