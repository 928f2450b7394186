"""Records: from a request's body to (partition, payload) pairs. Pure.

What may live here: functions of bytes and settings. No event loop, clock, file, socket or thread; no import of
the settings' parsing (plain frozen types come in); nothing that outlives a request but a bounded cache of keys.
What arrives is anybody's bytes: whatever is built from them (output, records, tokens, names, error lists) has a
bound beside it.

``decode`` body → records; ``keys`` (by ``patterns``, ``pointers``, request) record → key; ``templates`` with ``naming``
key → prefix; ``router`` all of it.
"""

from __future__ import annotations

from s3sink_ingester.records.decode import Framing, decode_body
from s3sink_ingester.records.keys import check_header
from s3sink_ingester.records.naming import escape, unescape
from s3sink_ingester.records.partition import Batch, Kind, Partition, Reason
from s3sink_ingester.records.partitioning import Partitioning, key_fields
from s3sink_ingester.records.patterns import check_regex
from s3sink_ingester.records.pointers import check_json_pointers
from s3sink_ingester.records.router import Layout, Router
from s3sink_ingester.records.templates import check_error_prefix, check_prefix, render_prefix

__all__ = [
    "Batch",
    "Framing",
    "Kind",
    "Layout",
    "Partition",
    "Partitioning",
    "Reason",
    "Router",
    "check_error_prefix",
    "check_header",
    "check_json_pointers",
    "check_prefix",
    "check_regex",
    "decode_body",
    "escape",
    "key_fields",
    "render_prefix",
    "unescape",
]
