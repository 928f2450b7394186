"""From a file and the environment to settings, or to every problem there is at once."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from s3sink_ingester.config import checks, document, routing, strangers
from s3sink_ingester.config.fields import setting_at
from s3sink_ingester.config.reader import Found, build, read, read_value
from s3sink_ingester.config.settings import Admin, Buffer, Destination, Partitioning, Settings, Source
from s3sink_ingester.config.shapes import is_aws
from s3sink_ingester.config.words import kind_of
from s3sink_ingester.errors import ConfigError, Problem

FROM_ENVIRONMENT: Final = {
    "name": ("POD_NAME",),
    "destination.region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "destination.endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
}
STORYS_REGEX: Final = r"^(?P<path>\S+) (?P<content>.+)$"
OTHER_STORES_REGION: Final = "us-east-1"  # stores other than AWS ignore it, but signatures hold one


def load(path: str | os.PathLike[str], env: Mapping[str, str]) -> Settings:
    """The settings in a YAML file. ``env``: the environment, for the name, the region and the endpoint.

    Raises ConfigError with every problem.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError([Problem("", f"{os.fspath(path)}: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem("", f"{os.fspath(path)}: not UTF-8 at byte {error.start}")]) from error
    return loads(text, env)


def loads(text: str, env: Mapping[str, str]) -> Settings:
    """The settings in YAML text; as ``load``."""
    value, problems = document.parse(text)
    if not value:
        raise ConfigError(
            [Problem("", "no settings; write at least destination: and partitioning:"), *problems]
        )
    if not isinstance(value, dict):
        raise ConfigError([Problem("", f"expected a mapping of settings, not {kind_of(value)}")])
    if strangers.is_manifest(value):
        raise ConfigError(
            [Problem("", "this is an S3Sink; an ingester's settings are what stands below its spec:")]
        )
    found = read(value, problems)
    _add_environment(found, env)
    checks.alternatives(found)
    _add_defaults(found)
    settings = build(Settings, found)
    checks.contradictions(settings, found)
    if found.problems:
        raise ConfigError(found.problems)
    return settings


def local_settings(
    directory: str | os.PathLike[str], port: int = 8888, admin_port: int = 8889, host: str = "127.0.0.1"
) -> Settings:
    """The story's settings with the buffer and the objects in a directory.

    ``host``: address of both ports; unless told otherwise only this machine can reach them.
    """
    root = Path(directory)
    return Settings(
        name=_object_name_part(socket.gethostname()),
        destination=Destination(path=str(root / "objects")),
        source=Source(host=host, port=port),
        partitioning=Partitioning(regex=STORYS_REGEX),
        buffer=Buffer(path=str(root / "buffer")),
        admin=Admin(host=host, port=admin_port),
    )


def _add_environment(found: Found, env: Mapping[str, str]) -> None:
    """Values that the environment gives and the document doesn't; problems name the variable."""
    to_bucket = found.given("destination.bucket")
    for path, variables in FROM_ENVIRONMENT.items():
        if found.given(path) or (path.startswith("destination.") and not to_bucket):
            continue
        variable = next((name for name in variables if env.get(name)), None)
        if variable is not None:
            found.origins[path] = variable
            read_value(found, setting_at(Settings, path), env[variable], path)
    if to_bucket:
        _check_credentials(found, env)


def _check_credentials(found: Found, env: Mapping[str, str]) -> None:
    """Half a pair of keys is a mistake that a store would answer with an error about signatures."""
    pair = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    present = [name for name in pair if env.get(name)]
    if len(present) == 1:
        missing = next(name for name in pair if name not in present)
        found.refuse(missing, f"not set in the environment, though {present[0]} is; set both or neither")


def _add_defaults(found: Found) -> None:
    """Defaults that other settings decide."""
    found.values.setdefault("name", _object_name_part(socket.gethostname()))
    plain = build(Settings, found)
    request = plain.source.max_request_bytes
    defaults: dict[str, object] = {
        "batch.maxAge": float(plain.batch.window),
        "source.maxRecordBytes": min(plain.source.max_record_bytes, request),
        "buffer.segmentBytes": max(plain.buffer.segment_bytes, 2 * request),
    }
    if plain.destination.bucket is not None and not is_aws(plain.destination.endpoint):
        defaults["destination.region"] = OTHER_STORES_REGION
    if not any(found.bad(f"partitioning.{source}") for source in checks.KEY_SOURCES):
        defaults["object.prefix"] = routing.default_prefix(plain.partitioning)
    for path, value in defaults.items():
        found.values.setdefault(path, value)


def _object_name_part(host: str) -> str:
    """A host's name as objects may begin with it; the store's id in their names keeps them apart anyway."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", host)[:63].strip("._-") or "local"
