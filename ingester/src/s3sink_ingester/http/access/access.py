"""Both Secrets of one data port, and what they are used for."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from s3sink_ingester.http.access.certificate import Certificate, ServerTls, read_certificate
from s3sink_ingester.http.access.keys import ApiKeys, digest, key_of
from s3sink_ingester.http.access.mounted import Secret, Unusable, content, visible_files
from s3sink_ingester.http.endpoint import Resolve
from s3sink_ingester.http.stats import AccessStats, ReloadStats

_log = logging.getLogger(__name__)

REFRESH_SECONDS: Final = 1.0


class Access:
    """`load` before the port listens; `watch` while it does.

    `auth_path`: directory of API keys, None: whoever reaches the port may send. `tls_path`: directory of the
    certificate and its key, None: no TLS. `interval`: seconds between looks at them.
    """

    def __init__(
        self, auth_path: str | None = None, tls_path: str | None = None, *, interval: float = REFRESH_SECONDS
    ) -> None:
        self.stats = AccessStats()
        self._keys = ApiKeys()
        self.stats.unauthorized = self._keys.refused
        self._has_keys = auth_path is not None
        self._tls = None if tls_path is None else ServerTls()
        self._interval = interval
        self._forget: Callable[[], None] = _nothing
        self._secrets: list[Secret[Any]] = []
        if auth_path is not None:
            counts = self.stats.reloads["auth"] = ReloadStats()
            self._secrets.append(Secret("source.auth.path", auth_path, read_keys, self._take_keys, counts))
        if tls_path is not None:
            counts = self.stats.reloads["tls"] = ReloadStats()
            self._secrets.append(
                Secret("source.tls.path", tls_path, read_certificate, self._take_certificate, counts)
            )

    @property
    def tls(self) -> ssl.SSLContext | None:
        """For the listener; None: no TLS."""
        return None if self._tls is None else self._tls.context

    def guarding(self, resolve: Resolve) -> Resolve:
        """`resolve`, for those who may send."""
        return self._keys.guarding(resolve) if self._has_keys else resolve

    def load(self) -> None:
        """Read the Secrets. Raises ConfigError if one can't be used."""
        for secret in self._secrets:
            secret.load()

    async def watch(self, forget: Callable[[], None]) -> None:
        """Take changes until cancelled. `forget`: called when whom `guarding` let in may not come in any more."""
        self._forget = forget
        while self._secrets:
            await asyncio.sleep(self._interval)
            for secret in self._secrets:
                await secret.refresh()

    def _take_keys(self, digests: frozenset[bytes]) -> None:
        gone = self._keys.digests - digests
        self._keys.digests = digests
        self.stats.keys = len(digests)
        if gone:
            self._forget()

    def _take_certificate(self, certificate: Certificate) -> None:
        if self._tls is not None:
            self._tls.use(certificate)
        self.stats.certificate_expires = certificate.expires


def read_keys(directory: Path) -> frozenset[bytes]:
    """The digests of all keys; files without one are left out and told. Raises `Unusable` if there is none."""
    digests = set()
    problems = []
    for name in visible_files(directory):
        try:
            digests.add(digest(key_of(content(directory / name))))
        except ValueError as error:
            problems.append(f"the file {name} {error}")
    if not digests:
        raise Unusable("; ".join(["no file in it holds an API key", *problems]))
    for problem in problems:
        _log.warning("source.auth.path: %s", problem)
    return frozenset(digests)


def _nothing() -> None:
    """Nothing was let in yet."""
