"""Records into batches, one a partition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NoReturn

from s3sink_ingester.errors import BadRecord, RequestError
from s3sink_ingester.records.decode import Framing, split_json, split_lines
from s3sink_ingester.records.keys import Extractor, RequestKey, Token
from s3sink_ingester.records.partition import Batch, Invalid, Kind, Partition, Reason
from s3sink_ingester.records.partitioning import Partitioning, key_fields, make_extractor
from s3sink_ingester.records.templates import check_error_prefix, check_prefix, parse

MAX_NAMED = 100
"""Bad records that a refusal names; the others are counted."""
MIN_CACHED_KEYS = 16_384
"""Keys whose partitions are kept at least; about 300 bytes each, 3 KiB at most."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Templates of object prefixes."""

    prefix: str = "{path}/"
    error_prefix: str = "errors/{reason}/{time:%Y/%m/%d/%H}/"


class Router:
    """What a sink's settings make of a request. May be called from several threads at once.

    ``max_record_bytes`` bounds a record as it was sent, without its line end. Raises ``ValueError`` for settings
    that the checks would have refused.
    """

    def __init__(self, partitioning: Partitioning, layout: Layout, max_record_bytes: int) -> None:
        problems = check_prefix(layout.prefix, key_fields(partitioning))
        problems += check_error_prefix(layout.error_prefix, layout.prefix)
        if problems:
            raise ValueError("; ".join(problems))
        errors = parse(layout.error_prefix)
        self._template = parse(layout.prefix, errors.head())
        self._errors = {
            reason: Partition(errors.render({"reason": reason.encode()}), reason.kind) for reason in Reason
        }
        self._overflow = self._errors[Reason.OVERFLOW]
        self._extractor = make_extractor(partitioning, self._template.fields())
        self._key_advice = (
            f"the header {partitioning.header}"
            if partitioning.header
            else "the URL, as in /ingest/customer-7"
        )
        self._quarantine = partitioning.quarantine
        self._max_partitions = partitioning.max_partitions
        self._max_record_bytes = max_record_bytes
        self._cache: dict[Token, Partition] = {}
        self._cache_limit = max(MIN_CACHED_KEYS, 2 * partitioning.max_partitions)

    @property
    def needs_key(self) -> bool:
        """Whether ``route`` needs the request's key."""
        return self._extractor is None

    def route(
        self, body: bytes, framing: Framing, key: str | None, open_partitions: Collection[str]
    ) -> list[Batch]:
        """Batches of a decoded body: each record in one, in order within it, no two with the same name.

        ``key``: the header's value or URL's part, if ``needs_key``; bytes that aren't UTF-8 as surrogate escapes.
        ``open_partitions``: names now open; only asked for its length and for single names. Once
        ``max_partitions`` are open, the raw records of further ones go to the overflow partition. (Requests that
        are routed in threads at the same time may together open a few more.)

        Payloads: a record's content is stored as it is and ends in one newline, which is added if missing. A single
        message that holds line ends is several lines of the object.

        Raises ``RequestError``: 400 if there is no record, the framing is broken, or records are invalid and not
        to be quarantined (the first ``MAX_NAMED`` are named); 413 if the only record or the number of records is
        too large.
        """
        extractor = self._extractor or self._request_key(key)
        if framing is Framing.SINGLE:
            return [self._route_one(body, extractor, open_partitions)]
        records = split_lines(body) if framing is Framing.LINES else split_json(body)
        if not records:
            raise RequestError(400, "the body holds no record")
        if len(body) <= self._max_record_bytes or len(max(records, key=len)) <= self._max_record_bytes:
            try:
                return self._route_all(records, extractor, open_partitions)
            except (Invalid, _Special):
                pass  # some record is a case of its own
        return self._route_each(records, extractor, open_partitions)

    def _partition_of(self, token: Token, extractor: Extractor) -> Partition:
        """The data partition of a key; raises ``Invalid``. Keys without one aren't cached."""
        partition = self._cache.get(token)
        if partition is None:
            partition = Partition(self._template.render(extractor.values(token)), Kind.DATA)
            if len(self._cache) >= self._cache_limit:
                self._cache.clear()
            self._cache[token] = partition
        return partition

    def _route_one(self, body: bytes, extractor: Extractor, open_partitions: Collection[str]) -> Batch:
        if not body:
            raise RequestError(400, "the body is empty: a message has at least one byte")
        try:
            if len(body) > self._max_record_bytes:
                raise self._too_large(body)
            token, content = extractor.one(body)
            partition = self._cache.get(token) or self._partition_of(token, extractor)
        except Invalid as invalid:
            if not self._quarantine:
                self._refuse([(0, invalid)], 1, 1)
            partition, content = self._errors[invalid.reason], body
        else:
            if len(open_partitions) >= self._max_partitions and partition.name not in open_partitions:
                partition, content = self._overflow, body
        return partition, content if content.endswith(b"\n") else content + b"\n", 1

    def _route_all(
        self, records: Sequence[bytes], extractor: Extractor, open_partitions: Collection[str]
    ) -> list[Batch]:
        """All records at once, each token looked at once; raises ``Invalid`` or ``_Special`` if that won't do."""
        groups: defaultdict[Token, list[bytes]] = defaultdict(list)
        extractor.fill(records, groups)
        known = self._cache.get
        batches = []
        for token, contents in groups.items():
            partition = known(token) or self._partition_of(token, extractor)
            count = len(contents)
            if count == 1:
                batches.append((partition, contents[0] + b"\n", 1))
            else:
                contents.append(b"")
                batches.append((partition, b"\n".join(contents), count))
        names = {batch[0].name for batch in batches}
        if len(names) < len(batches):
            raise _Special  # tokens that mean the same: their records belong in one batch, in order
        room = self._max_partitions - len(open_partitions)
        if len(names) > room and sum(name not in open_partitions for name in names) > room:
            raise _Special  # some go to the overflow partition
        return batches

    def _route_each(
        self, records: Sequence[bytes], extractor: Extractor, open_partitions: Collection[str]
    ) -> list[Batch]:
        """Record by record: names bad ones, quarantines, overflows."""
        groups = _Groups(self._partition_of, extractor, open_partitions, self._max_partitions)
        bad: list[tuple[int, Invalid]] = []
        count = 0
        for index, record in enumerate(records):
            try:
                if len(record) > self._max_record_bytes:
                    raise self._too_large(record)
                token, content = extractor.one(record)
                contents = groups.get(token) or groups.admit(token)
                if contents is None:
                    groups.of(self._overflow).append(record)
                else:
                    contents.append(content)
            except Invalid as invalid:
                if self._quarantine:
                    groups.of(self._errors[invalid.reason]).append(record)
                    continue
                count += 1
                if count <= MAX_NAMED:
                    bad.append((index, invalid))
        if bad:
            self._refuse(bad, count, len(records))
        return groups.batches()

    def _too_large(self, record: bytes) -> Invalid:
        return Invalid(
            Reason.TOO_LARGE,
            f"{len(record)} bytes, more than the {self._max_record_bytes} that a record may have",
        )

    def _request_key(self, key: str | None) -> RequestKey:
        extractor = RequestKey(key, self._key_advice)
        if not self._quarantine:
            try:
                self._partition_of(extractor.token(), extractor)
            except Invalid as invalid:
                raise RequestError(400, invalid.detail) from invalid  # about the request, not about records
        return extractor

    def _refuse(self, bad: Sequence[tuple[int, Invalid]], count: int, total: int) -> NoReturn:
        index, first = bad[0]
        # RFC 9110's 413 is about the whole content: it fits where that is the one record.
        status = 413 if total == 1 and first.reason is Reason.TOO_LARGE else 400
        detail = f"record {index} is invalid: {first.detail}"
        if count > 1:
            detail = f"{count} of {total} records are invalid; {detail}"
        raise RequestError(
            status, detail, records=[BadRecord(number, invalid.detail) for number, invalid in bad]
        )


class _Special(Exception):
    """Records have to be looked at one by one."""


class _Groups(dict[Token, list[bytes]]):
    """Contents by token. Tokens of one partition share one list, so its records stay in order."""

    def __init__(
        self,
        partition_of: Callable[[Token, Extractor], Partition],
        extractor: Extractor,
        open_partitions: Collection[str],
        max_partitions: int,
    ) -> None:
        super().__init__()
        self._partition_of = partition_of
        self._extractor = extractor
        self._open = open_partitions
        self._room = max_partitions - len(open_partitions)
        self._by_name: dict[str, tuple[Partition, list[bytes]]] = {}

    def admit(self, token: Token) -> list[bytes] | None:
        """The list of a token not seen before; None if its partition isn't open and no more may be."""
        partition = self._partition_of(token, self._extractor)
        group = self._by_name.get(partition.name)
        if group is None:
            if partition.name not in self._open:
                if self._room <= 0:
                    return None
                self._room -= 1
            group = self._by_name[partition.name] = (partition, [])
        contents = self[token] = group[1]
        return contents

    def of(self, partition: Partition) -> list[bytes]:
        return self._by_name.setdefault(partition.name, (partition, []))[1]

    def batches(self) -> list[Batch]:
        return [
            (
                partition,
                b"\n".join([*contents, b""]),
                len(contents),
            )
            for partition, contents in self._by_name.values()
        ]
