"""The ingesters' settings. Pure."""

from __future__ import annotations

from typing import Any

from s3sink_operator import names
from s3sink_operator.manifests import settings
from s3sink_operator.manifests.base import Context, Owner, child
from s3sink_operator.spec import Spec

KIND = ("v1", "ConfigMap")


def config_map(spec: Spec, owner: Owner, context: Context) -> dict[str, Any]:
    """One key, ``settings.yaml``."""
    data = {settings.FILE: settings.text(spec, context.volume_size)}
    return child(KIND, names.child(owner.name), owner, data=data)
