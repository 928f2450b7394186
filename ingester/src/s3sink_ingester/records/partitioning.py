"""The settings of partitioning, and the extractor that they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from s3sink_ingester.records.keys import REQUEST_KEY_FIELDS, Extractor
from s3sink_ingester.records.patterns import CONTENT, FirstSpace, Regex, compile_pattern
from s3sink_ingester.records.pointers import Pointers


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitioning:
    """How records are partitioned; exactly one of the first four is set."""

    regex: str | None = None
    """Searched in each record as bytes, ``.`` matching line ends."""
    json_pointers: Mapping[str, str] | None = None
    """Field name → RFC 6901 pointer. A value is a string, number or boolean."""
    header: str | None = None
    """Name of the request header that holds the key of all records of a request."""
    url_path: bool = False
    """The key of all records of a request is in its URL."""
    quarantine: bool = False
    """Store invalid records under ``errorPrefix`` instead of refusing the request."""
    max_partitions: int = 10_000
    """Open partitions beyond which records go to the overflow partition."""


def key_fields(partitioning: Partitioning) -> tuple[str, ...]:
    """The fields a prefix may use. The settings have passed their checks."""
    if partitioning.regex is not None:
        return tuple(name for name in compile_pattern(partitioning.regex).groupindex if name != CONTENT)
    if partitioning.json_pointers is not None:
        return tuple(partitioning.json_pointers)
    return REQUEST_KEY_FIELDS


def make_extractor(partitioning: Partitioning, used: tuple[str, ...]) -> Extractor | None:
    """The extractor for records, or None if the key is the request's. ``used``: fields that the prefix uses."""
    if partitioning.regex is not None:
        first_space = FirstSpace.recognise(partitioning.regex, used)
        return first_space or Regex(compile_pattern(partitioning.regex), used)
    if partitioning.json_pointers is not None:
        return Pointers({field: partitioning.json_pointers[field] for field in used})
    return None
