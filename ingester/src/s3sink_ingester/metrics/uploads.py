"""Counts of uploads: an `UploadObserver` of plain numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

from s3sink_ingester.objects import PutOutcome, SealedObject

UPLOAD_BUCKETS_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class UploadStats:
    """Counts since the process started; they outlive a store that is recovered in place.

    `buckets`: successful puts by duration, an entry for each bound and one for what is longer.
    """

    __slots__ = ("buckets", "bytes", "failures", "objects", "records", "seconds")

    def __init__(self) -> None:
        self.objects: Counter[str] = Counter()  # by outcome
        self.bytes = 0
        self.records = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(UPLOAD_BUCKETS_SECONDS) + 1)
        self.failures: Counter[str] = Counter()  # by reason

    def uploaded(self, obj: SealedObject, outcome: PutOutcome, seconds: float) -> None:
        """The object is in the store."""
        self.objects[outcome.value] += 1
        self.bytes += obj.size
        self.records += obj.records
        self.seconds += seconds
        self.buckets[bisect_left(UPLOAD_BUCKETS_SECONDS, seconds)] += 1

    def failed(self, obj: SealedObject | None, reason: str, detail: str) -> None:
        """An attempt failed."""
        self.failures[reason] += 1
