"""The two Services: one that gives each pod a name in DNS, one that clients send to. Pure."""

from __future__ import annotations

from typing import Any

from s3sink_operator import names
from s3sink_operator.manifests.base import Context, Owner, child, given
from s3sink_operator.spec import Spec

KIND = ("v1", "Service")


def headless_service(spec: Spec, owner: Owner, context: Context) -> dict[str, Any]:
    """Of every pod, ready or not: one whose buffer is full is the one whose metrics are looked at."""
    return child(
        KIND,
        names.headless_service(owner.name),
        owner,
        spec={
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": names.selector(owner.name),
            "ports": [
                _port(names.DATA_PORT_NAME, names.DATA_PORT, _protocol(spec)),
                _port(names.ADMIN_PORT_NAME, names.ADMIN_PORT, "http"),
            ],
        },
    )


def client_service(spec: Spec, owner: Owner, context: Context) -> dict[str, Any]:
    """Of the ready pods, connections taking turns. Any pod may take any record, so no client is tied to one."""
    return child(
        KIND,
        names.child(owner.name),
        owner,
        **given(annotations=dict(spec.service.annotations)),
        spec={
            "type": spec.service.type,
            "sessionAffinity": "None",
            "selector": names.selector(owner.name),
            "ports": [_port(names.DATA_PORT_NAME, spec.service.port, _protocol(spec))],
        },
    )


def _port(name: str, port: int, protocol: str) -> dict[str, Any]:
    return {
        "name": name,
        "port": port,
        "targetPort": names.ADMIN_PORT_NAME if name == names.ADMIN_PORT_NAME else names.DATA_PORT_NAME,
        "protocol": "TCP",  # part of the key by which server-side apply merges ports
        "appProtocol": protocol,
    }


def _protocol(spec: Spec) -> str:
    """What meshes and ingress controllers go by."""
    return "https" if spec.source.tls.secret_ref else "http"
