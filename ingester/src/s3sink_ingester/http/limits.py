"""Bounds of the data port."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All times in seconds, sizes in bytes. Raises ValueError if a single request could never be taken."""

    max_request_bytes: int = 32 * 1024 * 1024
    """A request's body, as sent."""

    max_bytes_in_flight: int = 64 * 1024 * 1024
    """Bodies in memory over all connections, until their records are durable; beyond it requests get 503."""

    max_connections: int = 10_000
    """Connections held open; further ones get 503."""

    max_refused_connections: int = 64
    """How many of the further ones may be open to read their 503; the rest is reset."""

    max_pipelined: int = 64
    """Requests of one connection under way at a time; then it isn't read from."""

    keep_alive: float = 10.0
    """How long a connection may be idle; and the age from which its next reply is its last, so that load spreads
    over new pods."""

    header_timeout: float = 10.0
    """How long a head may take from its first byte."""

    body_timeout: float = 60.0
    """How long a body may take from the end of its head, however slow; after that it must have come at
    `min_body_rate` on average."""

    body_idle_timeout: float = 30.0
    """How long a body may stand still."""

    min_body_rate: float = 16 * 1024.0
    """Bytes a second; see `body_timeout`."""

    write_timeout: float = 30.0
    """How long a client may leave its replies unread while more are held back."""

    linger: float = 2.0
    """How long a client may take to close its side after we have closed ours."""

    def __post_init__(self) -> None:
        if self.max_bytes_in_flight < self.max_request_bytes:
            raise ValueError("max_bytes_in_flight must be at least max_request_bytes")
