"""Probes of a container, as its spec describes them; time goes ten times as fast, but for how long a probe may take."""

from __future__ import annotations

import http.client
import socket
import time
from dataclasses import dataclass, field
from typing import Final

from tests.rig.kubeapi import Object

FASTER: Final = 10.0


@dataclass
class Probe:
    """One of a container's probes. ``passes``: what the last ``threshold`` results agreed on."""

    name: str
    spec: Object
    address: str
    ports: dict[str, int]
    """Numbers of the container's named ports."""
    passes: bool
    message: str = ""
    _due: float = 0.0
    _streak: int = 0
    _last: bool | None = field(default=None)

    def __post_init__(self) -> None:
        self._due = time.monotonic() + self.spec.get("initialDelaySeconds", 0) / FASTER

    def run_if_due(self) -> bool:
        """Whether ``passes`` may have changed."""
        if time.monotonic() < self._due:
            return False
        good = self._try()
        self._streak = self._streak + 1 if good is self._last else 1
        self._last = good
        needed = self.spec.get("successThreshold" if good else "failureThreshold", 1 if good else 3)
        if self._streak >= needed:
            self.passes = good
        self._due = time.monotonic() + self.spec.get("periodSeconds", 10) / FASTER
        return True

    @property
    def failed(self) -> bool:
        """The failure threshold is reached."""
        return self._last is False and self._streak >= self.spec.get("failureThreshold", 3)

    def _try(self) -> bool:
        timeout = float(self.spec.get("timeoutSeconds", 1))
        try:
            if get := self.spec.get("httpGet"):
                return self._get(self._port(get["port"]), get.get("path", "/"), timeout)
            address = (self.address, self._port(self.spec["tcpSocket"]["port"]))
            socket.create_connection(address, timeout).close()
        except (OSError, http.client.HTTPException) as error:
            self.message = f"{self.name} probe failed: {error}"
            return False
        return True

    def _get(self, port: int, path: str, timeout: float) -> bool:
        connection = http.client.HTTPConnection(self.address, port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        self.message = f"{self.name} probe failed: HTTP probe failed with statuscode: {answer.status}"
        return 200 <= answer.status < 400

    def _port(self, port: int | str) -> int:
        return self.ports[port] if isinstance(port, str) else port
