"""From a spec to the settings of its ingesters, in their own words (docs/settings.md). Pure.

They are read at the start, so a change of them makes new pods; but for ``buffer.size``, which running ingesters follow.

What the spec has a value for is said, also where the ingester's default is the same: a later ingester with another
default doesn't change what a sink does. What is left out of the spec (``object.prefix``, ``object.level``,
``batch.maxAge``) is the ingester's to decide. The name of its objects comes from ``POD_NAME``.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from s3sink_operator import names
from s3sink_operator.manifests.base import digest, given
from s3sink_operator.spec import Partitioning, Spec, usable_bytes
from s3sink_operator.spec.shapes import is_aws
from s3sink_operator.units import format_size

FILE: Final = names.SETTINGS_PATH.rpartition("/")[2]
DIRECTORY: Final = names.SETTINGS_PATH.rpartition("/")[0]
AUTH_PATH: Final = f"{DIRECTORY}/auth"
TLS_PATH: Final = f"{DIRECTORY}/tls"
CA_PATH: Final = f"{DIRECTORY}/ca"
OTHER_STORES_REGION: Final = "us-east-1"
_Dumper: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""Each look at a sink makes the text; the one in C takes a fraction of the time, but not every PyYAML has it."""


def document(spec: Spec, volume_size: str) -> dict[str, Any]:
    """The settings, as plain data. ``volume_size``: of the largest volume; who has a smaller one sees that itself."""
    return {
        "destination": _destination(spec),
        "source": _source(spec),
        "partitioning": _partitioning(spec.partitioning),
        "batch": given(window=spec.batch.window, maxBytes=spec.batch.max_bytes, maxAge=spec.batch.max_age),
        "object": {
            **given(prefix=spec.object.prefix),
            "errorPrefix": spec.object.error_prefix,
            "compression": spec.object.compression,
            **given(level=spec.object.level),
            "format": spec.object.format,
        },
        "buffer": {
            "path": names.BUFFER_PATH,
            "size": format_size(usable_bytes(volume_size)),
            "highWatermarkPercent": spec.buffer.high_watermark_percent,
            "durability": spec.buffer.durability,
        },
        "admin": {"port": names.ADMIN_PORT},
    }


def text(spec: Spec, volume_size: str) -> str:
    """The file."""
    return yaml.dump(
        document(spec, volume_size), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120
    )


def settings_hash(spec: Spec) -> str:
    """Digest of what is read at the start: a change of it is to restart the ingesters."""
    said = document(spec, spec.buffer.size)
    del said["buffer"]["size"]
    return digest(said)


def _destination(spec: Spec) -> dict[str, Any]:
    to = spec.destination
    encryption = to.encryption
    # A pod's environment may name a region for other reasons, as that of IRSA does.
    region = to.region if to.region or is_aws(to.endpoint) else OTHER_STORES_REGION
    return {
        "bucket": to.bucket,
        **given(region=region, endpoint=to.endpoint),
        "addressingStyle": to.addressing_style,
        **given(
            encryption=encryption and given(type=encryption.type, kmsKeyId=encryption.kms_key_id),
            storageClass=to.storage_class,
        ),
    }


def _source(spec: Spec) -> dict[str, Any]:
    source = spec.source
    return {
        "port": names.DATA_PORT,
        "maxRequestBytes": source.max_request_bytes,
        "maxRecordBytes": source.max_record_bytes,
        "keepAlive": source.keep_alive,
        **given(
            auth=source.auth.secret_ref and {"path": AUTH_PATH},
            tls=source.tls.secret_ref and {"path": TLS_PATH},
        ),
    }


def _partitioning(key: Partitioning) -> dict[str, Any]:
    return {
        **given(regex=key.regex, jsonPointers=key.json_pointers, header=key.header),
        **({"urlPath": True} if key.url_path else {}),
        "onInvalid": key.on_invalid,
        "maxPartitions": key.max_partitions,
    }
