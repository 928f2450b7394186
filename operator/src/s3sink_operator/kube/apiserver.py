"""The connection to the API server: requests, watch streams, credentials. The only importer of the Kubernetes client.

Objects are plain dicts, in and out. Errors come out as those of ``errors``: whoever calls needs to know whether to
try again, to look again, or to say so; nothing else.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.dynamic import DynamicClient
from yaml import YAMLError

from s3sink_operator.errors import ClusterError, Conflict, OperatorError, Refused, Unavailable

Json = Mapping[str, Any]

APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
_JSON: Final = "application/json"

CONNECT_SECONDS: Final = 30.0
REQUEST_SECONDS: Final = 60.0
WATCH_SECONDS: Final = 300
"""What the server is asked to end a watch after; the client gives up ten seconds later."""
QUIET_SECONDS: Final = 90.0
"""A watch that says nothing for so long is begun again: its peer may be gone. (The server sends bookmarks each minute,
but not where there was no change since it started.)"""
_CONNECTIONS: Final = 64
"""Reconciles ask for a dozen objects at once; watches take one each."""

_REFUSALS: Final = frozenset({400, 403, 405, 406, 413, 415, 422})
_BAD_FIELD: Final = "failed to create typed patch object"
"""Server-side apply answers 500 to a field that the schema doesn't know. Trying again won't help."""


class NotConfigured(OperatorError):
    """There is no cluster to talk to: no kubeconfig and no service account, or one that can't be read."""


class NotFound(Conflict):
    """The object, its namespace or its kind isn't there (404)."""


class Expired(Unavailable):
    """The version to go on from is too old (410): list again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What another client of the same API server needs. Paths of files; ``authorization``: scheme and token."""

    server: str
    ca_path: str | None
    ca_data: str | bytes | None
    insecure: bool
    authorization: str | None
    username: str | None
    password: str | None
    certificate_path: str | None
    key_path: str | None
    proxy: str | None


class ApiServer:
    """A pool of connections to one API server, as one user."""

    def __init__(self, api: client.ApiClient, *, quiet: float = QUIET_SECONDS) -> None:
        """``quiet``: seconds after which a watch that says nothing is ended."""
        api.user_agent = "s3sink-operator"
        self._api = api
        self._quiet = quiet
        # Discovery happens only if the dynamic client is awaited; what is wanted of it are its requests.
        self._dynamic = DynamicClient(api)

    @classmethod
    async def connect(
        cls, kubeconfig: str | None = None, context: str | None = None, *, quiet: float = QUIET_SECONDS
    ) -> Self:
        """As kubectl does it: the file given, else ``$KUBECONFIG``, else the service account of a pod, else
        ``~/.kube/config``. Nothing is sent yet. Raises NotConfigured."""
        settings = client.Configuration()
        settings.connection_pool_maxsize = _CONNECTIONS
        wants_file = bool(kubeconfig or context or os.environ.get("KUBECONFIG"))
        try:
            if not wants_file and os.environ.get("KUBERNETES_SERVICE_HOST"):
                config.load_incluster_config(settings)
            else:
                await config.load_kube_config(kubeconfig, context=context, client_configuration=settings)
            # Else aiohttp looks for proxies and a netrc file at each request, in threads: half of what one costs.
            settings.proxy = settings.proxy or _proxy(settings.host)
            settings.client_session_kwargs = {"trust_env": False}
            # Authorities of old clusters (EKS's, for one) have no key identifiers, which Python asks for since 3.13.
            settings.disable_strict_ssl_verification = True
            return cls(client.ApiClient(settings), quiet=quiet)
        except (
            config.ConfigException,
            YAMLError,
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ) as error:
            # The last ones: a file that is YAML and no kubeconfig.
            raise NotConfigured(f"no cluster to talk to: {error}") from error

    @property
    def address(self) -> str:
        """URL of the API server."""
        host: str = self._api.configuration.host
        return host

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
        seconds: float = REQUEST_SECONDS,
    ) -> dict[str, Any]:
        """One request, once. Raises NotFound, Conflict, Refused or Unavailable, after ``seconds`` at the latest."""
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, CONNECT_SECONDS))
        with _translated(f"{method} {path}"):
            response = await self._send(method, path, query, body, content_type, accept, limits)
            async with response:
                answer: dict[str, Any] = json.loads(await response.read())
            return answer

    async def stream(
        self, path: str, *, query: Mapping[str, str], accept: str = _JSON
    ) -> AsyncGenerator[dict[str, Any]]:
        """Follow a watch to its end: each line of it. It ends after some minutes, or when it was quiet for long.

        Raises Expired, Refused, NotFound or Unavailable.
        """
        limits = aiohttp.ClientTimeout(
            total=WATCH_SECONDS + 10, sock_connect=CONNECT_SECONDS, sock_read=self._quiet
        )
        asked = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
            **query,
        }
        with _translated(f"watch of {path}"):
            response = await self._send("GET", path, asked, None, _JSON, accept, limits)
            try:
                while line := await _line(response):
                    change: dict[str, Any] = json.loads(line)
                    if change.get("type") == "ERROR":
                        status = change.get("object", {})
                        raise error_of(int(status.get("code", 500)), status, None)
                    yield change
            finally:
                response.close()

    async def credentials(self) -> Credentials:
        """As they are now: tokens are replaced while a pod lives. Raises NotConfigured."""
        settings = self._api.configuration
        try:
            token = await settings.get_api_key_with_prefix("BearerToken")
        except (config.ConfigException, OSError) as error:
            raise NotConfigured(str(error)) from error
        return Credentials(
            server=settings.host,
            ca_path=settings.ssl_ca_cert,
            ca_data=settings.ca_cert_data,
            insecure=not settings.verify_ssl,
            authorization=token,
            username=settings.username or None,
            password=settings.password or None,
            certificate_path=settings.cert_file,
            key_path=settings.key_file,
            proxy=settings.proxy,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Json | None,
        content_type: str,
        accept: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        response: aiohttp.ClientResponse = await self._dynamic.request(
            method,
            path,
            body=body,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept},
            content_type=content_type,
            serialize=False,
            _request_timeout=limits,
        )
        return response


def _proxy(url: str) -> str | None:
    """What the environment says (``HTTPS_PROXY``, ``NO_PROXY``)."""
    parts = urlsplit(url)
    if parts.hostname is None or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def error_of(code: int, status: Json, retry_after: float | None, what: str = "") -> ClusterError:
    """What an answer of the API server means. ``status``: its body, a ``Status`` if it is the API server's own."""
    message = str(status.get("message") or f"{what}: HTTP {code}")
    details = status.get("details") or {}
    if retry_after is None and details.get("retryAfterSeconds"):
        retry_after = float(details["retryAfterSeconds"])
    causes = {cause.get("field") for cause in details.get("causes") or ()}
    if code == 404:
        return NotFound(message)
    if code == 409 or (code == 422 and "metadata.uid" in causes):
        # The latter: server-side apply with the UID of an object that is no more, where another one has its name.
        return Conflict(message)
    if code == 410:
        return Expired(message)
    if code in _REFUSALS or (code == 500 and _BAD_FIELD in message):
        return Refused(message)
    return Unavailable(message, retry_after)


async def _line(response: aiohttp.ClientResponse) -> bytes:
    """The next line of a watch; empty at its end, or when nothing came for long."""
    try:
        return await response.content.readline()
    except TimeoutError:
        return b""


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except client.ApiException as error:
        headers = error.headers or {}
        raise error_of(
            int(error.status or 0), _status(error.body), _seconds(headers.get("Retry-After")), what
        ) from None
    except TimeoutError as error:
        raise Unavailable(f"{what}: no answer in time") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # ValueError: not JSON, or a line without end. What answers isn't, or not only, the API server.
        raise Unavailable(f"{what}: {str(error) or type(error).__name__}") from error


def _status(body: str | bytes | None) -> Json:
    try:
        found = json.loads(body or "")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isascii() and header.isdigit() else None
