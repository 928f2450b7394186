"""Settings in, frozen settings out, or every problem at once with what to write instead.

What a setting is called, accepts and means stands in ``settings`` and nowhere else; ``docs/settings.md`` is made
from it. The way of a file: ``document`` (YAML, with duplicates and positions) → ``reader`` (each field by its kind,
in ``kinds`` and ``shapes``) → ``checks`` (what single fields can't tell) → ``Settings``. Nothing here knows what the
settings are used for, but for ``routing``, which asks ``records`` for its own rules.
"""

from s3sink_ingester.config.checks import buffer_size as buffer_size_problem
from s3sink_ingester.config.load import load, loads, local_settings
from s3sink_ingester.config.routing import router
from s3sink_ingester.config.settings import (
    AddressingStyle,
    Admin,
    Auth,
    Batch,
    Buffer,
    Compression,
    Destination,
    Durability,
    Encryption,
    EncryptionType,
    Format,
    ObjectSettings,
    OnInvalid,
    Partitioning,
    Settings,
    Source,
    Tls,
    Uploads,
)

__all__ = [
    "AddressingStyle",
    "Admin",
    "Auth",
    "Batch",
    "Buffer",
    "Compression",
    "Destination",
    "Durability",
    "Encryption",
    "EncryptionType",
    "Format",
    "ObjectSettings",
    "OnInvalid",
    "Partitioning",
    "Settings",
    "Source",
    "Tls",
    "Uploads",
    "buffer_size_problem",
    "load",
    "loads",
    "local_settings",
    "router",
]
