"""The operator's command line as frozen settings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, cast

from s3sink_operator.units import parse_duration

_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_LEVELS: Final = ("debug", "info", "warning", "error")
_LEAST_RESYNC: Final = 5.0

_EPILOG: Final = """
The cluster is found as kubectl finds it: --kubeconfig, else $KUBECONFIG, else the service account of the pod this
runs in, else ~/.kube/config. Exit status: 0 after SIGTERM or SIGINT, 1 when it can't go on (lost lease, no cluster),
2 for a wrong command line.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one operator process is told. Seconds."""

    image: str
    """Image that ingesters run."""
    namespaces: tuple[str, ...] = ()
    """Namespaces that are served; empty: all."""
    elect: bool = False
    lease_namespace: str = "default"
    lease_name: str = "s3sink-operator"
    host: str = "0.0.0.0"
    port: int = 8080
    resync: float = 60.0
    """How often each sink is looked at though nothing seems to have changed."""
    workers: int = 8
    """Sinks that are reconciled at once."""
    log_format: Literal["json", "text"] = "json"
    log_level: str = "info"
    kubeconfig: str | None = None
    context: str | None = None
    identity: str = "s3sink-operator"
    """Name of this process, in events and leases."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="s3sink-operator",
        description="Turns S3Sinks into StatefulSets of ingesters with disk buffers, and keeps them so.",
        epilog=_EPILOG,
    )
    add = made.add_argument
    add("--version", action="version", version=f"%(prog)s {version('s3sink-operator')}")
    add(
        "--ingester-image",
        metavar="IMAGE",
        help="image that ingesters run; required, here or as $INGESTER_IMAGE",
    )
    add(
        "--namespace",
        metavar="NAME",
        action="append",
        default=[],
        help="serve this namespace only; may be repeated (default: all namespaces)",
    )
    add(
        "--workers",
        metavar="N",
        type=_count,
        default=8,
        help="sinks reconciled at once (default: %(default)s)",
    )
    add(
        "--resync",
        metavar="TIME",
        type=_resync,
        default="60s",
        help="how often each sink is looked at and its status brought up to date, though nothing seems to have"
        " changed; at least 5s (default: %(default)s)",
    )
    add(
        "--listen",
        metavar="HOST:PORT",
        type=_listen,
        default="0.0.0.0:8080",
        help="where /healthz, /readyz and /metrics are served (default: %(default)s)",
    )
    add(
        "--leader-elect",
        action="store_true",
        help="be at work only while holding a Lease, so that several replicas can run",
    )
    add(
        "--lease-namespace",
        metavar="NAME",
        help="where the Lease is (default: $POD_NAMESPACE, else the pod's namespace, else the first --namespace,"
        " else default)",
    )
    add("--lease-name", metavar="NAME", default="s3sink-operator", help="its name (default: %(default)s)")
    add("--kubeconfig", metavar="FILE", help="cluster and user to use")
    add("--context", metavar="NAME", help="context of the kubeconfig (default: its current one)")
    add("--log-format", choices=("json", "text"), help="of the lines on standard error (default: json)")
    add("--log-level", choices=_LEVELS, help="least level that is logged (default: info)")
    add("--dev", action="store_true", help="for a terminal: --log-format text, --listen 127.0.0.1:8080")
    return made


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Exits with a message and status 2 if the command line is wrong."""
    cli = parser()
    given = cli.parse_args(arguments)
    image = given.ingester_image or environment.get("INGESTER_IMAGE", "")
    if not image:
        cli.error("give --ingester-image or $INGESTER_IMAGE: the image that ingesters are to run")
    namespaces = tuple(dict.fromkeys(given.namespace))
    host, port = given.listen
    if given.dev and given.listen == parser().parse_args([]).listen:
        host = "127.0.0.1"
    return Settings(
        image=image,
        namespaces=namespaces,
        elect=given.leader_elect,
        lease_namespace=given.lease_namespace or _lease_namespace(namespaces, environment),
        lease_name=given.lease_name,
        host=host,
        port=port,
        resync=given.resync,
        workers=given.workers,
        log_format=cast("Literal['json', 'text']", given.log_format or ("text" if given.dev else "json")),
        log_level=given.log_level or "info",
        kubeconfig=given.kubeconfig,
        context=given.context,
        identity=environment.get("POD_NAME") or f"s3sink-operator-{os.getpid()}",
    )


def _lease_namespace(namespaces: Sequence[str], environment: Mapping[str, str]) -> str:
    if found := environment.get("POD_NAMESPACE"):
        return found
    if _NAMESPACE_FILE.exists():
        return _NAMESPACE_FILE.read_text().strip()
    return namespaces[0] if namespaces else "default"


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 256")
    return int(text)


def _resync(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if seconds < _LEAST_RESYNC:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 5s")
    return seconds


def _listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 0.0.0.0:8080 or [::]:8080")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)
