"""What the connections need from both sides: the API that a request is for, and the core that stores records."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from s3sink_ingester.errors import Overloaded, RequestError, S3SinkError

if TYPE_CHECKING:
    from s3sink_ingester.http.heads import Head
    from s3sink_ingester.records import Batch


class Endpoint(Protocol):
    """Where all requests with one head go. Kept on the head, so it must depend on the head alone, or be forgotten when
    what else it depends on changes (`Port.forget_endpoints`).

    `inline_bytes`: a body longer than this is routed in a thread, so that the loop isn't blocked; `route` must
    therefore be safe to call in a thread while it is also called on the loop.
    """

    inline_bytes: int

    def route(self, body: bytes) -> tuple[list[Batch], bytes]:
        """The records of a complete body, and the whole reply to give once they are durable.

        No batches: there is nothing to store, and the reply is given at once. Raises RequestError.
        """
        ...

    def refused(self, error: RequestError | Overloaded) -> bytes:
        """The whole reply for a request to this endpoint that is refused. Connection headers aren't its task."""
        ...


class Resolve(Protocol):
    """Finds the endpoint of a head."""

    def __call__(self, head: Head, /) -> Endpoint:
        """Raises RequestError: 400, 401, 403, 404, 405, 415."""
        ...


class Waiter(Protocol):
    """Who waits for records to become durable. Called on the event loop, one call a submit, in their order."""

    def committed(self) -> None:
        """The records are on stable storage."""
        ...

    def failed(self, error: S3SinkError) -> None:
        """They may not be: the client must send them again."""
        ...


class Intake(Protocol):
    """The core, as seen by the data port.

    `refusal`: why no records are taken now; None: they are. Read for each request before its body is read, so
    it must be a plain attribute. `open_partitions`: names of the partitions now open, or about to be.
    """

    @property
    def refusal(self) -> Overloaded | None: ...

    @property
    def open_partitions(self) -> Collection[str]: ...

    def submit(self, batches: list[Batch], waiter: Waiter) -> None:
        """Take records, all or none; never blocks. Raises S3SinkError if it takes none; then `waiter` isn't told."""
        ...
