"""Arguments and figures that several subcommands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from s3sink_ingester import logs
from s3sink_ingester.config import Settings, load, local_settings
from s3sink_ingester.config.units import parse_duration
from s3sink_ingester.volume import MAX_EPOCH_CHARACTERS, is_epoch

DEFAULT_GRACE = 25.0
"""Seconds. Kubernetes gives a pod 30 unless told otherwise."""


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """`--config` or `--local`, one of which is needed."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", metavar="FILE", type=Path, help="settings in YAML; see docs/settings.md")
    source.add_argument(
        "--local",
        metavar="DIR",
        type=Path,
        help="no settings: objects in DIR/objects, the buffer in DIR/buffer; a message is a key, a space and the "
        "content; an object an hour or 25 MiB, gzip; only this machine can connect",
    )


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """How to log; logs go to standard error."""
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info", help="default: info")
    parser.add_argument(
        "--log-format",
        choices=logs.FORMATS,
        default="auto",
        help="default: auto, which is text on a terminal, else json",
    )


def add_grace_argument(parser: argparse.ArgumentParser, default: float) -> None:
    """How long ending may take."""
    parser.add_argument(
        "--grace",
        metavar="DURATION",
        type=duration,
        default=default,
        help="how long it may go on sealing and uploading after SIGTERM, such as 25s or 2m; "
        f"default: {default:g}s. Kubernetes' terminationGracePeriodSeconds must be longer",
    )


def settings_of(given: argparse.Namespace) -> Settings:
    """The settings that the arguments name. Raises `ConfigError`."""
    if given.local is not None:
        return local_settings(given.local)
    return load(given.config, os.environ)


def with_ports(settings: Settings, data: int | None, admin: int | None) -> Settings:
    """The settings with other ports, where they are given."""
    if data is not None:
        settings = replace(settings, source=replace(settings.source, port=data))
    if admin is not None:
        settings = replace(settings, admin=replace(settings.admin, port=admin))
    return settings


def destination_name(settings: Settings) -> str:
    """The destination for people."""
    destination = settings.destination
    if destination.path is not None:
        return destination.path
    return f"s3://{destination.bucket}" + (f" at {destination.endpoint}" if destination.endpoint else "")


def duration(text: str) -> float:
    """An argument that is a duration. Raises ArgumentTypeError."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def epoch(text: str) -> str:
    """An argument that names a drain. Raises ArgumentTypeError."""
    if not is_epoch(text):
        raise argparse.ArgumentTypeError(f"write 1 to {MAX_EPOCH_CHARACTERS} printable characters")
    return text


def port(text: str) -> int:
    """An argument that is a port, 0 for any free one. Raises ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no port; write a number from 0 (any free port) to 65535"
        )
    return int(text)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with aligned columns; the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    return ["  ".join(_aligned(row, widths)).rstrip() for row in (headings, *rows)]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
