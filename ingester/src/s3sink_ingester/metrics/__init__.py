"""Figures for Prometheus, read from plain numbers at the moment of a scrape.

The data path counts in attributes of its own (`HttpStats`, `SyncStats`, ...): a request doesn't pay for a metrics
library. `metric` says what a metric is; `catalog` says what each one is called, means and is read from, and nowhere
else does; docs/metrics.md is made from it (`python -m s3sink_ingester.metrics`). `exporter` turns it into Prometheus'
text.

Rules: names by Prometheus' conventions, in base units; counters end in `_total`; **shard keys are never labels**,
nor is anything else that clients choose: every label has a bounded set of values.
"""

from s3sink_ingester.metrics.exporter import Exporter
from s3sink_ingester.metrics.metric import Observed
from s3sink_ingester.metrics.uploads import UploadStats

__all__ = ["Exporter", "Observed", "UploadStats"]
