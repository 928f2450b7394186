"""``python -m s3sink_operator.crd > crds/s3sinks.s3sink.dev.yaml`` writes the CRD; with ``reference``, its page:
``python -m s3sink_operator.crd reference > docs/s3sink.md``."""

import sys

from s3sink_operator.crd.definition import manifest
from s3sink_operator.crd.reference import reference

if sys.argv[1:] not in ([], ["reference"]):
    sys.exit("usage: python -m s3sink_operator.crd [reference]")
sys.stdout.write(reference() if sys.argv[1:] else manifest())
