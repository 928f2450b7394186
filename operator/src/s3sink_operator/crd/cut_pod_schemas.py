"""Cuts parts of a pod's schema out of what an API server says of itself, into ``pod_schemas.yaml``. Run by hand::

    kubectl get --raw /openapi/v3/api/v1 | python -m s3sink_operator.crd.cut_pod_schemas > .../crd/pod_schemas.yaml

Descriptions are left out (any pod's ``kubectl explain`` has them: they would be most of the file), and defaults.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

import yaml

from s3sink_operator.crd.text import PlainDumper

KINDS: Final = ("Affinity", "EnvVar", "ResourceRequirements", "Toleration", "TopologySpreadConstraint")
LEFT_OUT: Final = {
    # Fields that need others of a pod, which an S3Sink doesn't have.
    "ResourceRequirements": ("claims",),
    "EnvVarSource": ("fileKeyRef",),
}
_PREFIX: Final = "io.k8s.api.core.v1."
_QUANTITY: Final = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$",
    "x-kubernetes-int-or-string": True,
}
_KEPT: Final = (
    "type", "format", "enum", "required", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)  # fmt: skip


def cut(openapi: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas of ``KINDS`` in an API server's OpenAPI v3 document of the core group."""
    schemas = openapi["components"]["schemas"]
    return {kind: _structural(schemas[_PREFIX + kind], schemas, kind) for kind in KINDS}


def _structural(schema: Mapping[str, Any], schemas: Mapping[str, Any], kind: str = "") -> dict[str, Any]:
    if "allOf" in schema:
        (reference,) = schema["allOf"]
        return _structural({**reference, **{key: schema[key] for key in schema if key != "allOf"}}, schemas)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        rest = {key: schema[key] for key in schema if key.startswith("x-kubernetes-")}
        return _structural({**schemas[name], **rest}, schemas, name.removeprefix(_PREFIX))
    if "oneOf" in schema:
        return dict(_QUANTITY)
    found = {key: schema[key] for key in _KEPT if key in schema}
    if "properties" in schema:
        kept = [name for name in schema["properties"] if name not in LEFT_OUT.get(kind, ())]
        found["properties"] = {name: _structural(schema["properties"][name], schemas) for name in kept}
    for part in ("items", "additionalProperties"):
        if part in schema:
            found[part] = _structural(schema[part], schemas)
    return found


if __name__ == "__main__":
    sys.stdout.write("# Made by `python -m s3sink_operator.crd.cut_pod_schemas` from Kubernetes 1.34.\n")
    yaml.dump(cut(json.load(sys.stdin)), sys.stdout, Dumper=PlainDumper, sort_keys=False, width=110)
