"""`serve`: take records until SIGTERM."""

from __future__ import annotations

import argparse
import logging

from s3sink_ingester import logs, runtime
from s3sink_ingester.cli import common
from s3sink_ingester.config import Settings
from s3sink_ingester.errors import VolumeError
from s3sink_ingester.resizing import SettingsFile
from s3sink_ingester.runtime import Stop
from s3sink_ingester.workers import layout

_log = logging.getLogger(__name__)

_EPILOG = """\
examples:
  s3sink-ingester serve --local ./local
  curl -d 'LAX {"flight": 17}' http://localhost:8888/
  curl http://localhost:8889/status

  s3sink-ingester serve --config settings.yaml --log-level warning

Credentials for S3 come from the environment, a web identity or the machine, as for the AWS command line.
API keys (source.auth.path) and a certificate (source.tls.path) are read from directories, again when they change;
of the settings only buffer.size is.
SIGTERM: finish what is under way, seal and upload until the grace ends; what is left stays on the volume.
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "serve",
        help="take records over HTTP and upload them",
        description="Take records over HTTP, make them durable, upload them in batches.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common.add_settings_arguments(parser)
    parser.add_argument(
        "--port",
        metavar="N",
        type=common.port,
        help="data port, 0 for any free one; default: 8888, or the settings'",
    )
    parser.add_argument(
        "--admin-port",
        metavar="N",
        type=common.port,
        help="admin port, 0 for any free one; default: 8889, or the settings'",
    )
    common.add_grace_argument(parser, common.DEFAULT_GRACE)
    common.add_log_arguments(parser)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Serve; returns the exit code. Raises `ConfigError`, `AddressUnavailable`, `VolumeError`."""
    settings = common.with_ports(common.settings_of(given), given.port, given.admin_port)
    logs.configure(given.log_level, given.log_format)
    left_over = _left_over(settings)
    file = None if given.config is None else SettingsFile(given.config, settings.workers)
    if settings.workers > 1 or left_over:
        return _supervise(settings, given, file)
    return _serve_alone(settings, given.grace, file)


def _left_over(settings: Settings) -> bool:
    try:
        return bool(layout.left_over(settings))
    except OSError as error:
        raise VolumeError(f"{settings.buffer.path} can't be read: {error.strerror}") from error


def _serve_alone(settings: Settings, grace: float, file: SettingsFile | None) -> int:
    from s3sink_ingester import serving  # here: a supervisor needn't hold what only workers use (tens of MiB)

    def announce(ports: serving.Ports) -> None:
        _announce(settings, ports.data, ports.admin)

    async def main(stop: Stop) -> None:
        process = serving.make_process(layout.for_worker(settings, 0))
        await serving.serve(process, stop, announce, file)

    runtime.run(main, grace)
    return 0


def _supervise(settings: Settings, given: argparse.Namespace, file: SettingsFile | None) -> int:
    from s3sink_ingester.workers.supervisor import Options, Supervisor

    options = Options(runtime.package_version(), given.grace, given.log_level, given.log_format, file)

    async def main(stop: Stop) -> int:
        supervisor = Supervisor(settings, options)
        try:
            refused = await supervisor.run(stop.event, lambda data, admin: _announce(settings, data, admin))
        finally:
            await supervisor.close()
        if refused is None:
            return 0
        _log.error("a worker can't start: %s", refused.message)
        return refused.exit_code

    return runtime.run(main, given.grace)


def _announce(settings: Settings, data: int, admin: int) -> None:
    _log.info(
        "serving: records on %s port %d, admin on %s port %d",
        settings.source.host,
        data,
        settings.admin.host,
        admin,
        extra={
            "data_port": data,
            "admin_port": admin,
            "buffer": settings.buffer.path,
            "destination": common.destination_name(settings),
            "workers": settings.workers,
            "tls": settings.source.tls.path is not None,
            "auth": settings.source.auth.path is not None,
        },
    )
