"""`python -m s3sink_ingester`, and what the installed command `s3sink-ingester` calls."""

from __future__ import annotations

import sys

from s3sink_ingester.cli import run


def main() -> None:
    """Run the command line of this process; ends it with the exit code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
