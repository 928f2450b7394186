"""Every error the ingester raises on purpose.

Errors are raised where the fact is known and translated at one edge: ``RequestError`` and ``Overloaded``
become HTTP replies in ``http``; ``ConfigError`` and ``VolumeError`` become messages and exit codes in the
command line; ``DestinationError`` becomes a retry in the uploader. This module imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class S3SinkError(Exception):
    """Base of all errors raised on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the settings.

    ``path`` is dotted, as the user wrote it (``batch.maxBytes``); ``message`` says what to write instead.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(S3SinkError):
    """The settings can't be used. Carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class BadRecord:
    """One record of a request that can't be taken: its zero-based ``index`` and the ``reason``."""

    index: int
    reason: str


class RequestError(S3SinkError):
    """A request that is refused with a 4xx; nothing of it was stored.

    ``status``: HTTP status. ``detail``: what is wrong and what to do. ``records``: the bad records, if it
    is about records. ``close``: the connection can't be used any more (its framing is lost or its body unread).
    """

    def __init__(
        self, status: int, detail: str, *, records: Sequence[BadRecord] = (), close: bool = False
    ) -> None:
        self.status = status
        self.detail = detail
        self.records = tuple(records)
        self.close = close
        super().__init__(detail)


class Overloaded(S3SinkError):
    """The buffer can't take records now; the client should come back.

    ``reason``: one of ``full``, ``draining``, ``recovering``, ``failed``, ``backlog``, ``stopping``
    (a metric label). ``retry_after``: whole seconds. ``close``: the client should go to another pod.
    """

    def __init__(self, reason: str, detail: str, *, retry_after: int = 1, close: bool = False) -> None:
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.close = close
        super().__init__(detail)


class VolumeError(S3SinkError):
    """The volume can't be used as it is. ``exit_code`` is what the command line exits with."""

    exit_code: ClassVar[int] = 1


class VolumeLocked(VolumeError):
    """Another process uses this volume."""

    exit_code: ClassVar[int] = 3


class FormatTooNew(VolumeError):
    """The volume was written by a newer version whose format this one doesn't know."""

    exit_code: ClassVar[int] = 4


class JournalFailed(S3SinkError):
    """A write or sync of the journal failed: what it held is unknown until the volume is recovered."""


class DestinationError(S3SinkError):
    """An upload failed. The object stays on the volume whatever happens."""


class StoreFailed(DestinationError):
    """The object store didn't take it.

    ``reason`` is a short metric label such as ``timeout`` or ``access_denied``; the text is the store's own message.
    ``request_id`` is how the store calls that one request, for its support: it isn't part of the text, which stays the
    same as long as the trouble does.
    """

    def __init__(self, reason: str, detail: str, request_id: str | None = None) -> None:
        self.reason = reason
        self.request_id = request_id
        super().__init__(detail)


class StoreUnavailable(StoreFailed):
    """The object store is away or busy (refused, timeout, 5xx, 409, 429): retry soon."""


class StoreRefused(StoreFailed):
    """The object store said no (403, NoSuchBucket, ...): a person has to act; retried slowly."""


class ChunkUnreadable(S3SinkError):
    """The disk doesn't give back what is in a chunk's file, or not all of it."""


class ObjectUnreadable(DestinationError):
    """The disk doesn't give back what is in a sealed file, or not all of it: a few times retried, then as corrupt."""


class ObjectCorrupt(DestinationError):
    """The sealed file on the volume doesn't match the digest in the journal: quarantine, never upload."""
