"""Settings as ``records`` takes them, and its rules about prefixes. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from s3sink_ingester import records
from s3sink_ingester.config.settings import ObjectSettings, OnInvalid, Partitioning, Settings

STORYS_FIELD: Final = "path"
_TOKEN: Final = re.compile(r"\{(\w+)\}")


def router(settings: Settings) -> records.Router:
    """The router of these settings, which have to be checked."""
    return records.Router(
        partitioning(settings.partitioning), layout(settings.object), settings.source.max_record_bytes
    )


def partitioning(settings: Partitioning) -> records.Partitioning:
    return records.Partitioning(
        regex=settings.regex,
        json_pointers=settings.json_pointers,
        header=settings.header,
        url_path=settings.url_path,
        quarantine=settings.on_invalid is OnInvalid.QUARANTINE,
        max_partitions=settings.max_partitions,
    )


def layout(settings: ObjectSettings) -> records.Layout:
    return records.Layout(prefix=settings.prefix, error_prefix=settings.error_prefix)


def default_prefix(settings: Partitioning) -> str:
    """The story's ``{path}/`` where the key has such a field, else every field of the key, a folder each."""
    fields = records.key_fields(partitioning(settings))
    names = (STORYS_FIELD,) if STORYS_FIELD in fields else fields
    return "".join(f"{{{name}}}/" for name in names)


def prefix_problems(prefix: str, key: Partitioning | None) -> Sequence[str]:
    """What is wrong with a prefix. ``key``: how the key is found, or None if that is not known: any field will do."""
    fields = _TOKEN.findall(prefix) if key is None else records.key_fields(partitioning(key))
    return records.check_prefix(prefix, fields)


def error_prefix_problems(error_prefix: str, prefix: str) -> Sequence[str]:
    return records.check_error_prefix(error_prefix, prefix)
