"""The oracle: every request that was sent, what the client was told, and what is found in the objects.

A stored line proves itself: it names its request, its place in it, how many records the request had and its partition,
and ends in a checksum. So a line that is cut, mixed with another or in the wrong object shows as such.
"""

from __future__ import annotations

import binascii
import gzip
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from random import Random

import zstandard

FILLER = b"abcdefghijklmnopqrstuvwxyz" * 400


class Fate(Enum):
    """What the client knows of a request."""

    ACKED = "acked"
    """200: every record has to be found once."""
    REFUSED = "refused"
    """4xx, or 503 before anything was written: no record may be found."""
    UNKNOWN = "unknown"
    """No answer, or 503 because the journal failed: all of its records once, or none."""


@dataclass(slots=True)
class Sent:
    """A request. ``window``: what the objects' keys must name where the test knows it."""

    records: int
    fate: Fate = Fate.UNKNOWN
    windows: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts of records, but for ``partial`` (requests)."""

    requests: int
    acked: int
    lost: int
    duplicated: int
    partial: int
    refused_found: int
    unacked_found: int
    complaints: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.duplicated or self.partial or self.refused_found or self.complaints)

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.requests + other.requests,
            self.acked + other.acked,
            self.lost + other.lost,
            self.duplicated + other.duplicated,
            self.partial + other.partial,
            self.refused_found + other.refused_found,
            self.unacked_found + other.unacked_found,
            self.complaints + other.complaints,
        )

    def __str__(self) -> str:
        bad = "".join(f"\n  {one}" for one in self.complaints[:20])
        return (
            f"requests {self.requests}, acked {self.acked}, lost {self.lost}, duplicated {self.duplicated}, "
            f"torn requests {self.partial}, refused but found {self.refused_found}, "
            f"unacked found {self.unacked_found}{bad}"
        )


NOTHING = Verdict(0, 0, 0, 0, 0, 0, 0, ())


def line(request: int, index: int, count: int, partition: str, size: int) -> bytes:
    """The content of one record, without its newline."""
    head = b"%d.%d.%d %s %s" % (request, index, count, partition.encode(), FILLER[:size])
    return b"%s %08x" % (head, binascii.crc32(head))


@dataclass(slots=True)
class Ledger:
    """One volume's. The client never sends an id twice."""

    sent: list[Sent] = field(default_factory=list)

    def open(self, rng: Random, partitions: int, records: int, size: int) -> tuple[int, list[bytes]]:
        """A new request's id and its lines, each with its key in front. ``size``: bytes of filler, at most."""
        request = len(self.sent)
        self.sent.append(Sent(records))
        lines = []
        for index in range(records):
            partition = f"p{rng.randrange(partitions)}"
            content = line(request, index, records, partition, rng.randrange(size + 1))
            lines.append(b"%s %s" % (partition.encode(), content))
        return request, lines

    def known(self, request: int, fate: Fate) -> None:
        """The client has its answer."""
        self.sent[request].fate = fate

    @property
    def acked(self) -> int:
        """Records so far."""
        return sum(one.records for one in self.sent if one.fate is Fate.ACKED)

    def found(self, objects: Iterable[tuple[str, bytes]]) -> tuple[dict[int, Counter[int]], list[str]]:
        """How often each record is there, by request and index; and what is wrong with lines and objects."""
        counts: dict[int, Counter[int]] = {}
        complaints: list[str] = []
        for key, data in objects:
            try:
                raw = decoded(key, data)
            except Exception as error:  # noqa: BLE001  # whatever the decoder says, the object is bad
                complaints.append(f"{key}: can't be decoded: {error!r}")
                continue
            for one in raw.splitlines():
                self._count(key, one, counts, complaints)
        return counts, complaints

    def verdict(self, objects: Iterable[tuple[str, bytes]]) -> Verdict:
        """What the objects say about the promises, when nothing is left in the buffer."""
        counts, complaints = self.found(objects)
        lost = duplicated = partial = refused = unacked = 0
        for request, sent in enumerate(self.sent):
            found = counts.get(request)
            if found is None:
                if sent.fate is Fate.ACKED:
                    lost += sent.records
                    complaints.append(f"request {request}: all {sent.records} records are lost")
                continue
            missing = sent.records - len(found)
            duplicated += sum(found.values()) - len(found)
            if missing and sent.fate is Fate.ACKED:
                lost += missing
                complaints.append(f"request {request}: {missing} of {sent.records} records are lost")
            partial += bool(missing)
            if max(found.values()) > 1:
                complaints.append(f"request {request}: {dict(found)} (record: times)")
            if sent.fate is Fate.REFUSED:
                refused += len(found)
                complaints.append(f"request {request} was refused and is found")
            if sent.fate is Fate.UNKNOWN:
                unacked += len(found)
        return Verdict(
            len(self.sent), self.acked, lost, duplicated, partial, refused, unacked, tuple(complaints)
        )

    def _count(
        self, key: str, content: bytes, counts: dict[int, Counter[int]], complaints: list[str]
    ) -> None:
        try:
            head, checksum = content.rsplit(b" ", 1)
            ids, partition, _ = head.split(b" ", 2)
            request, index, records = map(int, ids.split(b"."))
            if int(checksum, 16) != binascii.crc32(head) or self.sent[request].records != records:
                raise ValueError("a checksum or a count is wrong")
        except (ValueError, IndexError) as error:
            complaints.append(f"{key}: {content[:60]!r}: {error}")
            return
        if not key.startswith(f"{partition.decode()}/"):
            complaints.append(f"{key} holds a record of {partition.decode()}")
        windows = self.sent[request].windows
        if windows and key.split("/")[1] not in windows:
            complaints.append(f"{key} holds a record of {sorted(windows)}")
        counts.setdefault(request, Counter())[index] += 1


def decoded(key: str, data: bytes) -> bytes:
    """The lines of an object. Raises whatever the decoder raises for one that isn't whole."""
    return _DECODERS[key.rpartition(".")[2]](data)


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.decompress,
    "zst": lambda data: zstandard.ZstdDecompressor().decompress(data),
    "txt": bytes,
}
