"""The command line: arguments in, an exit code out. One module a subcommand; here are the parser and the errors.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | anything else; of `drain`: something is left |
| 2 | the arguments or the settings can't be used, or a port is taken |
| 3 | another process has the volume |
| 4 | the volume was written by a newer version |
| 5 | of `inspect`: what was acknowledged isn't all accounted for |
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from s3sink_ingester.cli import drain, inspect, serve
from s3sink_ingester.errors import ConfigError, S3SinkError, VolumeError
from s3sink_ingester.ports import AddressUnavailable
from s3sink_ingester.runtime import package_version

USAGE = 2
OTHER = 1

_DESCRIPTION = """\
Takes messages over HTTP, makes them durable on disk before it answers, and uploads them to S3 in compressed objects.
"""

_EPILOG = """\
exit codes:
  0  done
  1  something else; drain: something is left
  2  arguments or settings can't be used, or a port is taken
  3  another process has the volume
  4  the volume was written by a newer version
  5  inspect: not all acknowledged records are accounted for

examples:
  s3sink-ingester serve --local ./local
  s3sink-ingester serve --config settings.yaml
  s3sink-ingester drain --config settings.yaml
  s3sink-ingester inspect ./local/buffer
"""


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. Raises SystemExit for --help and bad arguments (2)."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        code: int = given.run(given)
    except ConfigError as error:
        for problem in error.problems:
            _complain(str(problem))
        return USAGE
    except AddressUnavailable as error:
        _complain(str(error))
        return USAGE
    except VolumeError as error:
        _complain(str(error))
        return error.exit_code
    except S3SinkError as error:
        _complain(str(error))
        return OTHER
    except KeyboardInterrupt:
        return 128 + 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="s3sink-ingester",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {package_version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (serve, drain, inspect):
        module.register(commands)
    return parser


def _complain(what: str) -> None:
    print(f"s3sink-ingester: {what}", file=sys.stderr)
