"""``python -m s3sink_ingester.config > docs/settings.md`` writes the settings' reference."""

import sys

from s3sink_ingester.config.reference import reference

sys.stdout.write(reference())
