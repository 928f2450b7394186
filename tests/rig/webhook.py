"""A mutating admission webhook, as Kyverno and its like have one: what a test says is changed in each request."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.rig.jsonserver import Reply, serving
from tests.rig.kubeapi import Kind, Object

if TYPE_CHECKING:
    from tests.rig.controlplane import ControlPlane

WEBHOOKS: Final = Kind(
    "admissionregistration.k8s.io/v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    namespaced=False,
)


@contextmanager
def mutating_webhook(plane: ControlPlane, namespace: str, patch: list[Object]) -> Iterator[None]:
    """Every StatefulSet that is created or updated in the namespace gets a JSON ``patch``, whoever sends it."""
    with serving(plane.issue("webhook"), _reply(patch)) as port:
        name = f"tests-{namespace}"
        plane.api.apply(WEBHOOKS, _configuration(plane, name, namespace, port), "tests")
        try:
            yield
        finally:
            plane.api.delete(WEBHOOKS, "", name)


def _configuration(plane: ControlPlane, name: str, namespace: str, port: int) -> Object:
    authority = base64.b64encode(plane.ca.read_bytes()).decode()
    rule = {
        "operations": ["CREATE", "UPDATE"],
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "resources": ["statefulsets"],
    }
    hook = {
        "name": "mutate.tests.example",
        "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": authority},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": WEBHOOKS.api_version,
        "kind": WEBHOOKS.kind,
        "metadata": {"name": name},
        "webhooks": [hook],
    }


def _reply(patch: list[Object]) -> Reply:
    encoded = base64.b64encode(json.dumps(patch).encode()).decode()

    def reply(path: str, body: bytes) -> Object:
        review = json.loads(body)
        uid = review["request"]["uid"]
        answer = {"uid": uid, "allowed": True, "patchType": "JSONPatch", "patch": encoded}
        return {**review, "response": answer}

    return reply
