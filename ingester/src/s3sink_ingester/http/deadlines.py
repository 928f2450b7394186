"""How long a connection may take for what. Pure: times are told to it, in seconds of the port's clock.

A connection notes when things happened; the server asks once a second which deadline is over, since a timer for
each connection would cost more than its requests.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from s3sink_ingester.http.limits import Limits
from s3sink_ingester.http.protocol import Phase


class Overdue(Enum):
    """What took too long. The value is its name in the metrics where it has one."""

    LINGER = "linger"
    """The client doesn't close its side, though everything is answered and ours is closed."""
    WRITE = "write"
    """The client doesn't read its replies."""
    IDLE = "idle"
    """No request came."""
    HEAD = "head"
    BODY = "body"


NEVER: Final = float("inf")


class Deadlines:
    """When things happened on one connection.

    `born`: it was accepted. `last_reply`: written, or it was accepted. `phase_since`: the parser's phase began.
    `progress`: bytes of a request came. `write_held_since`: the client stopped reading, NEVER if it does.
    `finished`: our side was closed, NEVER if it isn't.
    """

    __slots__ = ("born", "finished", "last_reply", "phase_since", "progress", "write_held_since")

    def __init__(self, now: float) -> None:
        self.born = self.last_reply = self.phase_since = self.progress = now
        self.write_held_since = self.finished = NEVER

    def outgoing(self, now: float, limits: Limits) -> Overdue | None:
        """What the client owes us the end of: its side of the connection, or reading its replies."""
        if self.finished != NEVER:
            return Overdue.LINGER if now - self.finished >= limits.linger else None
        if now - self.write_held_since >= limits.write_timeout:
            return Overdue.WRITE
        return None

    def incoming(self, now: float, limits: Limits, phase: Phase, body_received: int) -> Overdue | None:
        """What the client owes us the rest of, where nothing else holds it up. `body_received`: bytes so far."""
        if phase is Phase.IDLE:
            return Overdue.IDLE if now - self.last_reply >= limits.keep_alive else None
        took = now - self.phase_since
        if phase is Phase.HEAD:
            return Overdue.HEAD if took >= limits.header_timeout else None
        slow = took >= limits.body_timeout and body_received < took * limits.min_body_rate
        return Overdue.BODY if slow or now - self.progress >= limits.body_idle_timeout else None
