"""The command ``s3sink-operator``."""

from __future__ import annotations

import asyncio
import logging
import sys

from s3sink_operator.kube.apiserver import NotConfigured
from s3sink_operator.runtime import logs, settings
from s3sink_operator.runtime.run import run

log = logging.getLogger(__name__)


def main() -> None:
    """Run until told to end; exits with the status that ``--help`` names."""
    given = settings.parse(sys.argv[1:])
    logs.configure(given.log_format, given.log_level)
    try:
        sys.exit(asyncio.run(run(given)))
    except NotConfigured as error:
        log.error("%s", error)
    except OSError as error:
        log.error("can't listen on %s:%d: %s", given.host, given.port, error)
    sys.exit(1)


if __name__ == "__main__":
    main()
