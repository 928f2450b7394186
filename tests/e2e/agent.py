"""Runs in pods of the tests, on the ingester's image: sends records to a Service, and kills processes of its node.

Standard library alone; tests talk to it through the API server (``tests.rig.agents``).

| request | body | answer |
| --- | --- | --- |
| ``GET /`` | | ``{}`` |
| ``POST /runs`` | fields of ``Run`` | ``{"run": number}``: requests are being sent |
| ``GET /runs/<number>`` | | ``{"fates": {request: fate}, "last": text, "done": bool}``, what is known of each request |
| ``DELETE /runs/<number>`` | | the same, once no request is under way any more |
| ``POST /kill`` | ``{"uid": of a pod, "program": text}`` | ``{"killed": number}`` by their command lines |
"""

from __future__ import annotations

import binascii
import http.client
import json
import os
import random
import ssl
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FILLER = b"abcdefghijklmnopqrstuvwxyz" * 400
PARTITIONS = 4
TIMEOUT = 30.0  # seconds


@dataclass
class Run:
    """Load on one address. Every request is sent once; its id is never used again."""

    host: str
    port: int
    first: int
    """Id of the first request."""
    count: int
    """How many requests there may be."""
    records: int
    """Of each request."""
    size: int
    """Bytes of filler in a record, at most."""
    pause: float
    """Seconds between a sender's requests."""
    senders: int
    kept: int
    """Requests that a connection is kept for."""
    key: str = ""
    """What clients have to show, if anything."""
    authorities: str = ""
    """Who must have signed the server's certificate, in PEM; empty: no TLS."""
    _fates: dict[int, str] = field(default_factory=dict)
    _last: str = ""
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin to send."""
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(self.senders)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no more, and wait for what was sent."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def report(self) -> dict[str, Any]:
        """What is known so far."""
        with self._lock:
            done = not any(thread.is_alive() for thread in self._threads)
            return {"fates": dict(self._fates), "last": self._last, "done": done}

    def _send(self) -> None:
        connection: http.client.HTTPConnection | None = None
        used = 0
        while not self._stopping.is_set() and (request := self._take()) is not None:
            if connection is None or used == self.kept:
                connection, used = self._connection(), 0
            body = b"\n".join(lines(request, self.records, self.size))
            fate, text = post(connection, body, self.records, self.key)
            used += 1
            with self._lock:
                self._fates[request], self._last = fate, text
            if fate != "acked" or used == self.kept:
                connection.close()
                connection = None
            self._stopping.wait(self.pause)

    def _connection(self) -> http.client.HTTPConnection:
        if not self.authorities:
            return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        context = ssl.create_default_context(cadata=self.authorities)
        context.check_hostname = False  # it is called by the address that it has just got
        return http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT, context=context)

    def _take(self) -> int | None:
        with self._lock:
            if self._next == self.count:
                return None
            self._next += 1
            return self.first + self._next - 1


def lines(request: int, records: int, size: int) -> list[bytes]:
    """Records as ``tests.crash.ledger`` reads them, each with its key in front."""
    made = []
    for index in range(records):
        partition = b"p%d" % random.randrange(PARTITIONS)
        head = b"%d.%d.%d %s %s" % (request, index, records, partition, FILLER[: random.randrange(size)])
        made.append(b"%s %s %08x" % (partition, head, binascii.crc32(head)))
    return made


def post(connection: http.client.HTTPConnection, body: bytes, records: int, key: str) -> tuple[str, str]:
    """Send a request once. Returns what is known of it (as ``ledger.Fate``) and what was said."""
    try:
        if connection.sock is None:
            connection.connect()
    except OSError as error:
        return "refused", repr(error)  # nothing was sent
    try:
        shown = {"Authorization": f"Bearer {key}"} if key else {}
        connection.request("POST", "/", body, {"Content-Type": "application/x-ndjson", **shown})
        answer = connection.getresponse()
        text = f"{answer.status} {answer.read().decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return "unknown", repr(error)
    if answer.status == 200 and json.loads(text[4:])["accepted"] == records:
        return "acked", text
    undecided = answer.status == 200 or "made durable" in text or "the journal failed" in text
    return ("unknown" if undecided else "refused"), text


def kill(uid: str, program: str) -> int:
    """``kill -9`` of a pod's processes; returns how many there were."""
    names = (uid, uid.replace("-", "_"))  # as cgroupfs and as systemd have it in the name of a group
    killed = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            groups = (folder / "cgroup").read_text()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if any(name in groups for name in names) and program in command:
                os.kill(int(folder.name), 9)
                killed += 1
    return killed


class Handler(BaseHTTPRequestHandler):
    """See the table above."""

    runs: dict[str, Run] = {}  # noqa: RUF012  # of the process: a handler lives for one request

    def do_GET(self) -> None:
        self._answer(self._run().report() if self._name else {})

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/kill"):
            self._answer({"killed": kill(**given)})
            return
        name = str(len(self.runs) + 1)
        self.runs[name] = Run(**given)
        self.runs[name].start()
        self._answer({"run": name})

    def do_DELETE(self) -> None:
        run = self._run()
        run.stop()
        self._answer(run.report())

    @property
    def _name(self) -> str:
        return self.path.rpartition("/")[2]

    def _run(self) -> Run:
        return self.runs[self._name]

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a request that fails raises, and that is written."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
