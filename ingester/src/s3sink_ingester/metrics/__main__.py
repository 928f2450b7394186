"""``python -m s3sink_ingester.metrics > docs/metrics.md`` writes the metrics' reference."""

import sys

from s3sink_ingester.metrics.reference import reference

sys.stdout.write(reference())
