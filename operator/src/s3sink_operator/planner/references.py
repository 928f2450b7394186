"""What a spec can't be acted on for: it doesn't parse, names what isn't there or can't be used, or needs larger volumes
than there are. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from s3sink_operator import names
from s3sink_operator.spec import Spec, usable_bytes, usable_bytes_needed
from s3sink_operator.state import Observed, SecretFacts

INVALID_SPEC: Final = "InvalidSpec"
MAX_KEY_BYTES: Final = 4096
"""Of an API key; the ingester's limit."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a config isn't used. ``reason`` in CamelCase; ``message``: where, and what to do. ``passes``: by itself."""

    reason: str
    message: str
    passes: bool = False


@dataclass(frozen=True, slots=True)
class _Need:
    """A Secret that a field names, and the keys that must be in it (none: API keys under any name, one at least)."""

    field: str
    secret: str
    keys: tuple[str, ...]


def missing(spec: Spec, observed: Observed) -> tuple[Problem, ...]:
    """Everything that the spec names and that isn't there."""
    return (*_secrets(spec, observed), *_storage_class(spec, observed))


def digest_at_start(spec: Spec, observed: Observed) -> str:
    """Another one whenever a Secret is that pods read when they start; empty if they read none."""
    to = spec.destination
    found = (
        observed.secrets.get(one.name) for one in (to.credentials.secret_ref, to.ca_bundle.secret_ref) if one
    )
    return ".".join(facts.digest for facts in found if facts is not None)


def too_small(spec: Spec, volume_size: str) -> tuple[Problem, ...]:
    """Ingesters would refuse settings that need more than the volumes have. ``volume_size``: of the smallest."""
    if usable_bytes(volume_size) >= usable_bytes_needed(spec):
        return ()
    message = (
        f"spec.buffer.size: a volume still has {volume_size}, too little for objects of {spec.batch.max_bytes} and "
        f"requests of {spec.source.max_request_bytes}; settings wait until it has grown to {spec.buffer.size}"
    )
    return (Problem("VolumesTooSmall", message, passes=True),)


def _needs(spec: Spec) -> Iterator[_Need]:
    if (credentials := spec.destination.credentials.secret_ref) is not None:
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        yield _Need("spec.destination.credentials.secretRef", credentials.name, keys)
    if (authorities := spec.destination.ca_bundle.secret_ref) is not None:
        yield _Need("spec.destination.caBundle.secretRef", authorities.name, (names.CA_KEY,))
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
        yield from _keys(need, facts) if need.keys else _api_keys(need, facts)


def _keys(need: _Need, facts: SecretFacts) -> Iterator[Problem]:
    absent = [key for key in need.keys if key not in facts.keys]
    if absent:
        yield Problem(
            "SecretKeyMissing",
            f"{need.field}: the Secret {need.secret} has no key {' and no key '.join(absent)}; add it",
        )
    blank = [key for key in need.keys if key in facts.blank]
    if blank:
        yield Problem(
            "SecretKeyUnusable",
            f"{need.field}: in the Secret {need.secret} the value of {' and of '.join(blank)} is empty; fill it in",
        )


def _api_keys(need: _Need, facts: SecretFacts) -> Iterator[Problem]:
    """Ingesters leave out what is no key, and those under names that begin with a dot, which are hidden files."""
    if not facts.keys:
        yield Problem(
            "SecretKeyMissing",
            f"{need.field}: the Secret {need.secret} is empty; each of its values is to be a key for clients",
        )
    elif not any(key not in facts.unsendable and not key.startswith(".") for key in facts.keys):
        yield Problem(
            "SecretKeyUnusable",
            f"{need.field}: no value in the Secret {need.secret} can be an API key: one is 1 to {MAX_KEY_BYTES} "
            "visible ASCII characters without blanks, under a name that doesn't begin with a dot",
        )


def _storage_class(spec: Spec, observed: Observed) -> Iterator[Problem]:
    """One that is left out may be missing: then volumes are made by hand."""
    name = spec.buffer.storage_class_name
    if name and observed.storage_class is None:
        yield Problem(
            "StorageClassNotFound",
            f"spec.buffer.storageClassName: there is no StorageClass {name}; create it (it can't be changed here)",
        )
