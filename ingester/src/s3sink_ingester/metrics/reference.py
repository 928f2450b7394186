"""The metrics' reference in Markdown, made from the catalog."""

from __future__ import annotations

from typing import Final

from s3sink_ingester.metrics.catalog import CATALOG

HEAD: Final = """\
# Metrics of an ingester

<!-- Made by `python -m s3sink_ingester.metrics`; a test tells when it is out of date. Change the catalog. -->

`GET /metrics` on the admin port, in Prometheus' text format. With `workers` above 1 each metric has the label `worker`
as well (`worker-0`, ...), and those of the supervisor are at the end. Nothing that clients choose is a label: what a
shard key sends is in the objects. Counters count since the process started, unless it says otherwise.

Beside these there are the usual ones of a Python process: `process_cpu_seconds_total`,
`process_resident_memory_bytes`, `process_open_fds`, `python_gc_collections_total`, ...
"""

TAIL: Final = """\
## Supervisor

With `workers` above 1, or while a left-over volume is being emptied.

| metric | type | label | meaning |
| --- | --- | --- | --- |
| `s3sink_worker_up` | gauge | `worker` | Whether the process runs and answers. |
| `s3sink_worker_restarts_total` | counter | `worker` | How often the process ended by itself and was started again. |
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    for section, metrics in CATALOG.items():
        rows = [f"## {section}\n", "| metric | type | label | meaning |", "| --- | --- | --- | --- |"]
        for metric in metrics:
            label = f"`{metric.label}`" if metric.label else ""
            rows.append(f"| `{metric.name}` | {metric.type.value} | {label} | {metric.help} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join([*parts, TAIL])
