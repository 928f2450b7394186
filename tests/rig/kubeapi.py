"""A small client of the Kubernetes API for the rig and its tests: plain dicts, blocking, safe to use from threads.

It is not the operator's client, on purpose: what judges a program should not share its code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import quote, urlencode

import urllib3

if TYPE_CHECKING:
    from pathlib import Path

Object = dict[str, Any]
T = TypeVar("T")

_JSON: Final = "application/json"
MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
_APPLY: Final = "application/apply-patch+yaml"
_CONNECT_SECONDS: Final = 10.0
_WATCH_SECONDS: Final = 60
"""A watch is begun anew after that time, so that a thread that is told to stop does so even in a quiet cluster."""


class ApiError(Exception):
    """The API server refused, or could not be reached (``status`` is 0 then)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of objects and where they are served."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of one object, or of all in a namespace, or of all."""
        root = "/api" if "/" not in self.api_version else "/apis"
        parts = [root, self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, quote(name), subresource) if part]
        return "/".join(parts)


PODS: Final = Kind("v1", "Pod", "pods")
NODES: Final = Kind("v1", "Node", "nodes", namespaced=False)
EVENTS: Final = Kind("v1", "Event", "events")
CLAIMS: Final = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
VOLUMES: Final = Kind("v1", "PersistentVolume", "persistentvolumes", namespaced=False)
CONFIG_MAPS: Final = Kind("v1", "ConfigMap", "configmaps")
SECRETS: Final = Kind("v1", "Secret", "secrets")
SERVICES: Final = Kind("v1", "Service", "services")
ENDPOINT_SLICES: Final = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
ACCOUNTS: Final = Kind("v1", "ServiceAccount", "serviceaccounts")
NAMESPACES: Final = Kind("v1", "Namespace", "namespaces", namespaced=False)
STATEFUL_SETS: Final = Kind("apps/v1", "StatefulSet", "statefulsets")
REVISIONS: Final = Kind("apps/v1", "ControllerRevision", "controllerrevisions")
JOBS: Final = Kind("batch/v1", "Job", "jobs")
AUTOSCALERS: Final = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
BUDGETS: Final = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
POLICIES: Final = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
STORAGE_CLASSES: Final = Kind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)
LEASES: Final = Kind("coordination.k8s.io/v1", "Lease", "leases")
CRDS: Final = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False)
SERVICE_MONITORS: Final = Kind("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors")
SINKS: Final = Kind("s3sink.dev/v1alpha1", "S3Sink", "s3sinks")


class Api:
    """Talks to one API server as one user."""

    def __init__(self, url: str, ca: Path, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Accept": _JSON}
        self._pool = urllib3.PoolManager(ca_certs=str(ca), maxsize=64, retries=False)

    def request(
        self, method: str, path: str, body: object = None, content_type: str = _JSON, **query: object
    ) -> Object:
        """One request; returns the answer's JSON. Raises ApiError."""
        response = self._open(method, path, body, content_type, query)
        return _answer(response.status, response.data)

    def text(self, path: str) -> str:
        """GET something that isn't JSON, such as ``/readyz``. Raises ApiError."""
        response = self._open("GET", path, None, _JSON, {})
        if response.status != 200:
            raise ApiError(response.status, "", response.data.decode(errors="replace"))
        return response.data.decode()

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object, None if there is none (or no such kind)."""
        try:
            return self.request("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def find(self, kind: Kind, namespace: str = "", **labels: str) -> list[Object]:
        """All objects of a kind; ``labels`` are exact. None of a kind that isn't served."""
        return self.select(kind, namespace, ",".join(f"{key}={value}" for key, value in labels.items()))

    def select(self, kind: Kind, namespace: str = "", selector: str = "") -> list[Object]:
        """All objects of a kind that a label selector selects."""
        try:
            found = self.request("GET", kind.path(namespace), labelSelector=selector)
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        return [_complete(kind, item) for item in found["items"]]

    def create(self, kind: Kind, manifest: Object, subresource: str = "") -> Object:
        """Create an object, or post to a ``subresource`` of one. Raises ApiError."""
        meta = manifest["metadata"]
        name = meta["name"] if subresource else ""
        return self.request("POST", kind.path(meta.get("namespace", ""), name, subresource), manifest)

    def apply(self, kind: Kind, manifest: Object, manager: str, subresource: str = "") -> Object:
        """Server-side apply, forced. Raises ApiError."""
        meta = manifest["metadata"]
        path = kind.path(meta.get("namespace", ""), meta["name"], subresource)
        return self.request("PATCH", path, manifest, _APPLY, fieldManager=manager, force="true")

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: object,
        *,
        subresource: str = "",
        content_type: str = MERGE,
    ) -> Object:
        """A JSON merge patch, or another one. Raises ApiError."""
        return self.request("PATCH", kind.path(namespace, name, subresource), patch, content_type)

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
    ) -> bool:
        """Delete one object; whether it was there. Raises ApiError."""
        options: Object = {"propagationPolicy": propagation}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            self.request("DELETE", kind.path(namespace, name), options)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def watch(
        self, kind: Kind, stopping: Event, selector: str = ""
    ) -> Iterator[tuple[Literal["ALL", "ADDED", "MODIFIED", "DELETED"], Any]]:
        """First ``ALL`` with the list of objects, then every change, until ``stopping`` is set.

        ``ALL`` comes again after a break: objects that aren't in it are gone. The API server may be away meanwhile.
        """
        while not stopping.is_set():
            try:
                found = self.request("GET", kind.path(), fieldSelector=selector)
                yield "ALL", [_complete(kind, item) for item in found["items"]]
                yield from self._follow(kind, stopping, selector, found["metadata"]["resourceVersion"])
            except (ApiError, urllib3.exceptions.HTTPError, OSError):
                stopping.wait(0.3)

    def _follow(self, kind: Kind, stopping: Event, selector: str, version: str) -> Iterator[tuple[Any, Any]]:
        while not stopping.is_set():
            query = {
                "watch": "true",
                "resourceVersion": version,
                "fieldSelector": selector,
                "timeoutSeconds": _WATCH_SECONDS,
                "allowWatchBookmarks": "true",
            }
            response = self._open("GET", kind.path(), None, _JSON, query, stream=True)
            if response.status != 200:
                _answer(response.status, response.data)
            with suppress(urllib3.exceptions.ReadTimeoutError), response:
                for line in _lines(response):
                    change = json.loads(line)
                    if change["type"] == "ERROR":
                        raise ApiError(change["object"].get("code", 0), "Watch", str(change["object"]))
                    version = change["object"]["metadata"]["resourceVersion"]
                    if change["type"] != "BOOKMARK":
                        yield change["type"], change["object"]
                    if stopping.is_set():
                        return

    def _open(
        self,
        method: str,
        path: str,
        body: object,
        content_type: str,
        query: Mapping[str, object],
        *,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        given = urlencode({key: value for key, value in query.items() if value not in ("", None)})
        try:
            return self._pool.request(
                method,
                f"{self._url}{path}{'?' if given else ''}{given}",
                body=None if body is None else json.dumps(body),
                headers={**self._headers, "Content-Type": content_type},
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_WATCH_SECONDS + 5.0),
                preload_content=not stream,
            )
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, "Unreachable", str(error)) from error


def wait_for(
    look: Callable[[], T | None], what: str, timeout: float = 180.0, *, why: Callable[[], object] = str
) -> T:
    """Call ``look`` five times a second until it gives something true; returns that.

    Raises AssertionError with ``what`` and what ``why`` says. An API server that is away is waited for.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            found = look()
        except ApiError as error:
            if error.status not in (0, 429, 500, 503, 504):
                raise
            found = None
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout:.0f} s there is still no {what}\n{why()}")
        time.sleep(0.2)


def condition(thing: Object | None, kind: str) -> Object:
    """A condition of an object's status, by its type; empty if it has none."""
    found = ((thing or {}).get("status") or {}).get("conditions") or ()
    return next((one for one in found if one["type"] == kind), {})


def _answer(status: int, data: bytes) -> Object:
    try:
        answer: Object = json.loads(data)
    except ValueError:
        answer = {"reason": "", "message": data.decode(errors="replace")}
    if status >= 400:
        raise ApiError(status, answer.get("reason", ""), answer.get("message", ""))
    return answer


def _complete(kind: Kind, item: Object) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, **item}  # a list leaves both out


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for part in response.stream(65536):
        *lines, rest = (rest + part).split(b"\n")
        yield from (line for line in lines if line)
