"""Ports to listen on: what to say when one can't be had, and holding one for several processes."""

from __future__ import annotations

import os
import socket

from s3sink_ingester.errors import S3SinkError


class AddressUnavailable(S3SinkError):
    """The address to listen on is in use, isn't this machine's, or needs rights."""


def unavailable(setting: str, host: str, port: int, error: OSError) -> AddressUnavailable:
    """What to tell the user. `setting`: where the port is set, such as `source.port`."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return AddressUnavailable(
        f"can't listen on {host} port {port} ({reason}); stop what listens there, or set {setting} to another port"
    )


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds the port, 0 for any free one, for processes that listen on it with SO_REUSEPORT.

    It doesn't listen itself, so it gets no connections. Raises OSError where somebody else listens, even one who
    would share the port: two supervisors must not take each other's records.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as alone:
        alone.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # or connections that ended just now would count
        alone.bind(address)
        alone.listen(1)  # binding alone succeeds beside a listener that allows it
        address = alone.getsockname()
    shared = socket.socket(family, kind, protocol)
    try:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.bind(address)
    except OSError:
        shared.close()
        raise
    return shared
