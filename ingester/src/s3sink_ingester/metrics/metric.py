"""What a metric is, and the ways to read its values from a process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from s3sink_ingester.http.stats import HttpStats
from s3sink_ingester.metrics.uploads import UploadStats
from s3sink_ingester.status import UploadFacts
from s3sink_ingester.store import Store, StoreStatus


class Observed(Protocol):
    """The process, as far as its figures go. All of it is read at once, on the event loop."""

    @property
    def version(self) -> str: ...

    @property
    def state(self) -> str:
        """One of `status.STATES`."""

    @property
    def ready(self) -> bool: ...

    @property
    def store(self) -> Store | None:
        """None while the volume isn't open."""

    @property
    def http(self) -> HttpStats: ...

    @property
    def bytes_in_flight(self) -> int: ...

    @property
    def uploads(self) -> UploadStats: ...

    @property
    def upload_facts(self) -> UploadFacts: ...

    @property
    def recoveries(self) -> int:
        """How often the volume was opened, the start included."""

    @property
    def recovery_seconds(self) -> float | None:
        """How long the last one took."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What all metrics of one scrape are read from."""

    process: Observed
    store: Store | None
    status: StoreStatus | None


class Type(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram's value: `counts` by bucket, one more than there are `bounds`; the `total` of all."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


Value = float | Distribution
Sample = tuple[str, Value]
"""Value of the label (empty where there is none), and the value."""


@dataclass(frozen=True, slots=True)
class Metric:
    """`label`: name of its one label, empty when there is none. `read`: no samples when nothing is known."""

    name: str
    type: Type
    help: str
    read: Callable[[Reading], Iterable[Sample]]
    label: str = ""


def one(read: Callable[[Observed], float | None]) -> Callable[[Reading], Iterator[Sample]]:
    """The one value of a metric without a label; no sample where it is None."""

    def samples(reading: Reading) -> Iterator[Sample]:
        value = read(reading.process)
        if value is not None:
            yield "", value

    return samples


def of_store(read: Callable[[Store], Value]) -> Callable[[Reading], Iterator[Sample]]:
    """A value of the store; no sample while the volume isn't open."""

    def samples(reading: Reading) -> Iterator[Sample]:
        if reading.store is not None:
            yield "", read(reading.store)

    return samples


def of_status(read: Callable[[StoreStatus], float]) -> Callable[[Reading], Iterator[Sample]]:
    """A value of the store's status; no sample while the volume isn't open."""

    def samples(reading: Reading) -> Iterator[Sample]:
        if reading.status is not None:
            yield "", read(reading.status)

    return samples


def each(read: Callable[[Observed], Mapping[str, float]]) -> Callable[[Reading], Iterator[Sample]]:
    """A value for each value of the label."""

    def samples(reading: Reading) -> Iterator[Sample]:
        yield from read(reading.process).items()

    return samples
