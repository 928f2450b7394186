"""Where sealed objects go. One contract, three stores: ``s3``, ``files`` (``--local``), ``fake`` (tests).

Admission rule: a store knows bytes, keys and digests; nothing here knows records, windows or the journal.

What ``put`` may assume
    The file of a ``SealedObject`` never changes after it was sealed. No other chunk, volume or process has
    the same key (it carries store id and chunk id, and a digest of the bytes). Two puts of one object run at a
    time only if the volume was recovered in place during the first. ``put`` blocks and is called in threads.

What ``put`` guarantees
    - It is idempotent: the same object may be put any number of times, after any failure, by any process.
    - When it returns, the key holds exactly ``size`` bytes whose SHA-256 is ``sha256``, as durably as the
      store promises; CREATED and ALREADY_THERE both mean "done".
    - A reader of the key sees all of the object or nothing of it, never a part.
    - The file is hashed before it is sent: one that doesn't match raises ``ObjectCorrupt`` and leaves no
      object. The file is never changed or removed, whatever happens.
    - When it raises, nothing is known about the key, and putting again is right. ``StoreUnavailable`` says
      soon, ``StoreRefused`` says that a person has to act first; ``ObjectUnreadable`` is about the file, not the store.
      It raises nothing else on purpose.
    - It ends: every wait for the store is bounded by a timeout.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from s3sink_ingester.records import Kind


class PutOutcome(Enum):
    """How the object came to be in the store."""

    CREATED = "created"
    ALREADY_THERE = "already_there"
    """An earlier put, whose answer was lost, had stored it."""


@dataclass(frozen=True, slots=True)
class SealedObject:
    """A finished file that waits for its upload. Its bytes and its key never change."""

    chunk_id: int
    key: str
    """Where it goes in the store; `/` separates, the last part is the file name."""
    path: str
    """Its file, relative to the volume."""
    size: int
    """Bytes of the file."""
    sha256: bytes
    """Digest of the file, 32 bytes."""
    records: int
    raw_bytes: int
    """Bytes before compression."""
    kind: Kind
    sealed_at: float
    """Epoch seconds."""
    oldest_at: float
    """Epoch seconds at which its oldest record was accepted; what is oldest goes first."""


class ObjectStore(Protocol):
    """See the module for the contract."""

    def put(self, obj: SealedObject) -> PutOutcome:
        """Store the object. Raises StoreUnavailable, StoreRefused, ObjectUnreadable, ObjectCorrupt."""

    def check(self) -> None:
        """Find out whether a put would be taken, without creating an object. Raises as put."""

    def close(self) -> None:
        """Give back connections. Running puts may fail with StoreUnavailable."""
