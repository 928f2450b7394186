"""What the data port counts. Plain integers: a request may not pay for a metrics library."""

from __future__ import annotations

from collections import Counter


class ReloadStats:
    """Counts of one mounted Secret since the start. `taken`: changes that are in use. `failures`: attempts to take one
    that failed, a second apart; what was in use stayed in use."""

    __slots__ = ("failures", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.failures = 0


class AccessStats:
    """Who may send.

    `unauthorized`: requests answered 401, by why: `missing`, `wrong`. `keys`: how many are good; None: none is needed.
    `handshakes`: TLS handshakes begun. `certificate_expires`: Unix seconds; None without TLS. `reloads`: of the
    Secrets there are, `auth` and `tls`.
    """

    __slots__ = ("certificate_expires", "handshakes", "keys", "reloads", "unauthorized")

    def __init__(self) -> None:
        self.unauthorized: Counter[str] = Counter()
        self.keys: int | None = None
        self.handshakes = 0
        self.certificate_expires: float | None = None
        self.reloads: dict[str, ReloadStats] = {}


class HttpStats:
    """Counts of one server since its start; only ever grow, but for `connections`. Read them at any time.

    `accepted`: requests answered 200. `refused`: requests answered otherwise, by status.
    `overloaded`: those answered 503, by the reason of the Overloaded (`full`, `draining`, `backlog`, ...).
    `connections`: now open. `connections_total`: ever accepted. `connections_refused`: over the limit.
    `bytes_received`: bytes read from clients, heads and bodies as sent.
    `timeouts`: connections ended, by kind: `head` and `body` (408), `write` (the client doesn't read its
    replies), `idle` (nothing came; normal). `aborted`: connections lost while replies were owed. `access`: see there.
    """

    __slots__ = (
        "aborted",
        "accepted",
        "access",
        "bytes_received",
        "connections",
        "connections_refused",
        "connections_total",
        "overloaded",
        "refused",
        "timeouts",
    )

    def __init__(self) -> None:
        self.accepted = 0
        self.refused: Counter[int] = Counter()
        self.overloaded: Counter[str] = Counter()
        self.connections = 0
        self.connections_total = 0
        self.connections_refused = 0
        self.bytes_received = 0
        self.timeouts: Counter[str] = Counter()
        self.aborted = 0
        self.access = AccessStats()
