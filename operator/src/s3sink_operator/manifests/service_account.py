"""The pods' identity: what a role in AWS is tied to, by EKS Pod Identity or by an annotation that others set. Pure."""

from __future__ import annotations

from typing import Any

from s3sink_operator import names
from s3sink_operator.manifests.base import Context, Owner, child
from s3sink_operator.spec import Spec

KIND = ("v1", "ServiceAccount")


def service_account(spec: Spec, owner: Owner, context: Context) -> dict[str, Any]:
    """One without rights in the cluster, so no pod gets a token for the API server."""
    return child(KIND, names.child(owner.name), owner, automountServiceAccountToken=False)


def is_wanted(spec: Spec, owner: Owner, context: Context) -> bool:
    """Not if the user brings one."""
    return not spec.pod_template.service_account_name


def name_of(spec: Spec, owner: Owner) -> str:
    """Of the pods' service account."""
    return spec.pod_template.service_account_name or names.child(owner.name)
