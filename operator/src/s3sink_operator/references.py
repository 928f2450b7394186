"""What a spec can't be acted on for: it doesn't parse, or names what isn't in the cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from s3sink_operator.spec import Spec
from s3sink_operator.state import Observed

INVALID_SPEC = "InvalidSpec"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a config isn't used. ``reason`` in CamelCase; ``message`` says where, and what to do."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class _Need:
    """A Secret that a field names, and the keys that must be in it (none: at least one of any name)."""

    field: str
    secret: str
    keys: tuple[str, ...]


def missing(spec: Spec, observed: Observed) -> tuple[Problem, ...]:
    """Everything that the spec names and that isn't there."""
    return (*_secrets(spec, observed), *_storage_class(spec, observed))


def _needs(spec: Spec) -> Iterator[_Need]:
    if (credentials := spec.destination.credentials.secret_ref) is not None:
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        yield _Need("spec.destination.credentials.secretRef", credentials.name, keys)
    if (auth := spec.source.auth.secret_ref) is not None:
        yield _Need("spec.source.auth.secretRef", auth.name, ())
    if (tls := spec.source.tls.secret_ref) is not None:
        yield _Need("spec.source.tls.secretRef", tls.name, ("tls.crt", "tls.key"))


def _secrets(spec: Spec, observed: Observed) -> Iterator[Problem]:
    namespace = observed.sink["metadata"]["namespace"]
    for need in _needs(spec):
        facts = observed.secrets.get(need.secret)
        if facts is None:
            yield Problem(
                "SecretNotFound",
                f"{need.field}: there is no Secret {need.secret} in the namespace {namespace}; create it",
            )
            continue
        absent = [key for key in need.keys if key not in facts.keys]
        if absent:
            yield Problem(
                "SecretKeyMissing",
                f"{need.field}: the Secret {need.secret} has no key {' and no key '.join(absent)}; add it",
            )
        if not need.keys and not facts.keys:
            yield Problem(
                "SecretKeyMissing",
                f"{need.field}: the Secret {need.secret} is empty; each of its values is to be a key for clients",
            )


def _storage_class(spec: Spec, observed: Observed) -> Iterator[Problem]:
    """One that is left out may be missing: then volumes are made by hand."""
    name = spec.buffer.storage_class_name
    if name and observed.storage_class is None:
        yield Problem(
            "StorageClassNotFound",
            f"spec.buffer.storageClassName: there is no StorageClass {name}; create it (it can't be changed here)",
        )
