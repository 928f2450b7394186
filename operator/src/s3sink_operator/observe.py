"""Gathers all that there is of one sink: its objects, what its ingesters say, the Secrets and the class it names.

Reads only; every read is made at each reconcile, so that nothing is decided on what was remembered.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from s3sink_operator import names
from s3sink_operator.errors import Refused
from s3sink_operator.kube import paths
from s3sink_operator.planner.references import MAX_KEY_BYTES
from s3sink_operator.state import (
    JOB,
    POD,
    SECRET,
    SERVICE_MONITOR,
    STATEFUL_SET,
    STORAGE_CLASS,
    VOLUME_CLAIM,
    Cluster,
    Ingesters,
    Object,
    Observed,
    Ref,
    Report,
    Resource,
    SecretFacts,
    ref_of,
)

T = TypeVar("T")

_CHILDREN: Final = (
    paths.SERVICE_ACCOUNT,
    paths.CONFIG_MAP,
    paths.SERVICE,
    paths.NETWORK_POLICY,
    STATEFUL_SET,
    paths.DISRUPTION_BUDGET,
    paths.AUTOSCALER,
)
"""Of each kind there may be one called ``names.child``; of Services the headless one as well."""
_OPTIONAL: Final = (SERVICE_MONITOR,)
_SENDABLE: Final = re.compile(rb"[\x21-\x7e]{1,%d}" % MAX_KEY_BYTES)
"""An API key, as ingesters take it."""
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_SECRETS: Final = (
    ("destination", "credentials", "secretRef", "name"),
    ("destination", "caBundle", "secretRef", "name"),
    ("source", "auth", "secretRef", "name"),
    ("source", "tls", "secretRef", "name"),
)


async def observe(sink: Ref, cluster: Cluster, ingesters: Ingesters) -> Observed | None:
    """None: there is no such sink (any more). Raises Unavailable, Conflict or Refused."""
    found = await cluster.get(sink)
    if found is None:
        return None
    uid: str = found["metadata"]["uid"]
    labels = {names.SINK_LABEL: sink.name}
    async with _together() as group:
        children = group.create_task(_children(sink, cluster))
        optional = group.create_task(_optional(sink, cluster))
        pods = group.create_task(_pods(sink.namespace, labels, cluster, ingesters))
        volumes = group.create_task(cluster.list(VOLUME_CLAIM, sink.namespace, labels))
        jobs = group.create_task(_jobs(sink.namespace, {names.SINK_UID_LABEL: uid}, cluster, ingesters))
        secrets = group.create_task(_secrets(found, cluster))
        storage_class = group.create_task(_storage_class(found, cluster))
    return Observed(
        sink=found,
        children={**children.result(), **{ref_of(one): one for one in optional.result().values() if one}},
        pods=pods.result()[0],
        volumes=tuple(volumes.result()),
        jobs=tuple(jobs.result()[0]),
        job_pods=jobs.result()[1],
        reports={**pods.result()[1], **jobs.result()[2]},
        secrets=secrets.result(),
        storage_class=storage_class.result(),
        served=frozenset(optional.result()),
    )


async def _children(sink: Ref, cluster: Cluster) -> dict[Ref, Object]:
    name, headless = names.child(sink.name), names.headless_service(sink.name)
    refs = [Ref(one.api_version, one.kind, sink.namespace, name) for one in _CHILDREN]
    refs.append(Ref(paths.SERVICE.api_version, paths.SERVICE.kind, sink.namespace, headless))
    live = await _all(cluster.get(ref) for ref in refs)
    return {ref_of(one): one for one in live if one is not None}


async def _optional(sink: Ref, cluster: Cluster) -> dict[Resource, Object | None]:
    """Of each optional kind that can be used here the live child. One that the operator has no right to isn't there."""
    found: dict[Resource, Object | None] = {}
    for one in _OPTIONAL:
        if await cluster.serves(one):
            with suppress(Refused):
                found[one] = await cluster.get(
                    Ref(one.api_version, one.kind, sink.namespace, names.child(sink.name))
                )
    return found


async def _pods(
    namespace: str, labels: Mapping[str, str], cluster: Cluster, ingesters: Ingesters
) -> tuple[tuple[Object, ...], dict[str, Report]]:
    pods = await cluster.list(POD, namespace, labels)
    reports = await _all(ingesters.report(pod) for pod in pods if _can_be_asked(pod))
    return tuple(pods), {report.pod: report for report in reports if report is not None}


async def _jobs(
    namespace: str, labels: Mapping[str, str], cluster: Cluster, ingesters: Ingesters
) -> tuple[list[Object], tuple[Object, ...], dict[str, Report]]:
    """Drain Jobs, and the pods of theirs, which have no label of a sink's own pods. Mostly there are none."""
    jobs = await cluster.list(JOB, namespace, labels)
    return (jobs, *await _pods(namespace, labels, cluster, ingesters)) if jobs else (jobs, (), {})


def _can_be_asked(pod: Object) -> bool:
    status = pod.get("status", {})
    ends = pod["metadata"].get("deletionTimestamp")
    return bool(status.get("podIP")) and not ends and status.get("phase") == "Running"


async def _secrets(sink: Object, cluster: Cluster) -> dict[str, SecretFacts | None]:
    namespace = sink["metadata"]["namespace"]
    wanted = sorted({name for path in _SECRETS if (name := _text(sink.get("spec"), path))})
    found = await _all(cluster.get(Ref(SECRET.api_version, SECRET.kind, namespace, name)) for name in wanted)
    return {name: None if one is None else facts_of(one) for name, one in zip(wanted, found, strict=True)}


def facts_of(secret: Object) -> SecretFacts:
    """All that is kept of a Secret. The digest covers keys and values, and is the same for the same data."""
    data: Mapping[str, str] = secret.get("data") or {}
    digest = hashlib.sha256()
    blank, unsendable = set(), set()
    for key in sorted(data):
        try:
            value = base64.b64decode(data[key])
        except binascii.Error:  # pragma: no cover -- the API server admits none
            value = data[key].encode()
        for part in (key.encode(), value):
            digest.update(len(part).to_bytes(8, "big") + part)
        if not value.strip():
            blank.add(key)
        if not _SENDABLE.fullmatch(value.strip()):
            unsendable.add(key)
    return SecretFacts(
        keys=frozenset(data),
        digest=digest.hexdigest()[:32],
        blank=frozenset(blank),
        unsendable=frozenset(unsendable),
    )


async def _storage_class(sink: Object, cluster: Cluster) -> Object | None:
    name = _text(sink.get("spec"), ("buffer", "storageClassName"))
    try:
        if name:
            return await cluster.get(Ref(STORAGE_CLASS.api_version, STORAGE_CLASS.kind, "", name))
        return default_class(await cluster.list(STORAGE_CLASS, "", {}))
    except Refused:
        # An operator of some namespaces only may not be allowed to read them. Then a class is taken to be there and
        # to grow volumes; the API server says no if it doesn't.
        return {
            "apiVersion": STORAGE_CLASS.api_version,
            "kind": STORAGE_CLASS.kind,
            "metadata": {"name": name},
            "allowVolumeExpansion": True,
        }


def default_class(classes: Iterable[Object]) -> Object | None:
    """The one that claims without a class get: of several defaults the newest, and of these the first by name."""
    defaults = [
        one for one in classes if (one["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    ]
    defaults.sort(key=lambda one: one["metadata"]["name"])
    return max(defaults, key=lambda one: one["metadata"].get("creationTimestamp") or "", default=None)


def _text(value: Any, path: Iterable[str]) -> str:
    """A text at a path of a spec that needn't be valid; empty if there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


@asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup that raises what went wrong first, not a group of it."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        first: BaseException = errors
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    async with _together() as group:
        tasks = [group.create_task(one) for one in work]
    return [task.result() for task in tasks]
