"""The CustomResourceDefinition as an object and as the file in ``crds/``. Pure."""

from __future__ import annotations

from typing import Any, Final

import yaml

from s3sink_operator import names
from s3sink_operator.crd.rules import ROOT
from s3sink_operator.crd.schema import spec_schema
from s3sink_operator.crd.status import COLUMNS, SCALE, STATUS
from s3sink_operator.crd.text import PlainDumper

HEAD: Final = """\
# Made by `python -m s3sink_operator.crd` from the types in operator/src/s3sink_operator/spec; a test tells when it is
# out of date. Needs Kubernetes 1.30 or newer.
"""
MAX_NAME: Final = 253  # Kubernetes' own; without it the rules about names would cost too much


def definition() -> dict[str, Any]:
    """The CRD."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.PLURAL}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.KIND.lower(),
                "shortNames": ["s3s"],
                "categories": ["s3sink"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root()},
                    "subresources": {"status": {}, "scale": SCALE},
                    "additionalPrinterColumns": list(COLUMNS),
                }
            ],
        },
    }


def manifest() -> str:
    """The file."""
    return HEAD + yaml.dump(definition(), Dumper=PlainDumper, sort_keys=False, width=110, allow_unicode=True)


def _root() -> dict[str, Any]:
    return {
        "description": "A sink for messages over HTTP: pods keep them on volumes and upload compressed objects.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": MAX_NAME}}},
            "spec": spec_schema(),
            "status": STATUS,
        },
        "x-kubernetes-validations": [rule.schema() for rule in ROOT],
    }
