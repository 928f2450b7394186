"""A client of a sink's Service. The Service is played: each request goes to another ready pod, on a new connection."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress

from tests.crash.ledger import Fate, Ledger
from tests.rig.kubeapi import ApiError, Object


class Sender:
    """Sends requests that nobody sends again, and writes into the ledger what it was told."""

    def __init__(self, pods: Callable[[], list[Object]], ledger: Ledger, records: int = 5) -> None:
        """``pods``: those that the Service would send requests to. ``records``: of each request."""
        self._ready_pods = pods
        self._ledger = ledger
        self._rng = random.Random(len(ledger.sent))
        self._records = records
        self._turn = 0
        self._known: list[Object] = []
        self._looked = 0.0
        self.last = ""
        """What the latest request was told."""
        self.acked = 0
        """Requests."""

    def send_one(self) -> Fate | None:
        """Send a request once; returns what is known of it, None if there was no pod to send it to."""
        pods = self._pods()
        if not pods:
            return None
        self._turn += 1
        pod = pods[self._turn % len(pods)]
        request, lines = self._ledger.open(self._rng, 4, self._records, 80)
        fate = self._post(pod["status"]["podIP"], b"\n".join(lines))
        self._ledger.known(request, fate)
        self.acked += fate is Fate.ACKED
        return fate

    def _pods(self) -> list[Object]:
        if time.monotonic() - self._looked > 0.3:
            with suppress(ApiError):  # the API server is away: the Service stays as it was
                self._known = self._ready_pods()
            self._looked = time.monotonic()
        return self._known

    def _post(self, address: str, body: bytes) -> Fate:
        connection = http.client.HTTPConnection(address, 8888, timeout=30.0)
        try:
            connection.connect()
        except OSError as error:
            self.last = repr(error)
            return Fate.REFUSED  # nothing was sent
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            self.last = f"{answer.status} {answer.read().decode(errors='replace')}"
        except (OSError, http.client.HTTPException) as error:
            self.last = repr(error)
            return Fate.UNKNOWN
        finally:
            connection.close()
        if answer.status == 200:
            assert json.loads(self.last[4:])["accepted"] == self._records
            return Fate.ACKED
        undecided = "made durable" in self.last or "the journal failed" in self.last
        return Fate.UNKNOWN if undecided else Fate.REFUSED
