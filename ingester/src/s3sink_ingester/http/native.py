"""The ingester's own API: any path is a tag, the content type says how the body is cut into records. Pure.

| request | records |
| --- | --- |
| `POST /`, `/ingest`, `/<tag>` | the key is in the records, or in a header |
| `POST /ingest/<key>` | the key is in the path, percent-encoded (`partitioning.urlPath`) |
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from s3sink_ingester.errors import Overloaded, RequestError
from s3sink_ingester.http.endpoint import Endpoint, Intake
from s3sink_ingester.http.heads import NO_LENGTH, Head
from s3sink_ingester.http.responses import Replies
from s3sink_ingester.records import Batch, Framing, Router, decode_body

INLINE_BYTES: Final = 256 * 1024
"""Longer bodies are routed in a thread."""
INLINE_ENCODED_BYTES: Final = 16 * 1024
"""Longer encoded bodies are decoded and routed in a thread."""

MAX_ENDPOINTS_KEPT: Final = 1024
"""A target is at most 4 KiB and a header 16 KiB; real ones are a hundredth of that."""

_FRAMINGS: Final = {
    "": Framing.SINGLE,
    "application/octet-stream": Framing.SINGLE,
    # What `curl -d` sends unless told otherwise; nobody means a form here.
    "application/x-www-form-urlencoded": Framing.SINGLE,
    "application/x-ndjson": Framing.LINES,
    "application/ndjson": Framing.LINES,
    "application/jsonl": Framing.LINES,
    "application/x-jsonlines": Framing.LINES,
    "application/json": Framing.JSON,
}


class NativeEndpoint:
    """Requests with one framing, encoding and key."""

    __slots__ = ("_encodings", "_framing", "_intake", "_key", "_limit", "_replies", "_router", "inline_bytes")

    def __init__(
        self,
        api: NativeApi,
        framing: Framing,
        encodings: str,
        key: str | None,
    ) -> None:
        self.inline_bytes = INLINE_ENCODED_BYTES if encodings else INLINE_BYTES
        self._framing = framing
        self._encodings = encodings
        self._key = key
        self._router = api.router
        self._intake = api.intake
        self._replies = api.replies
        self._limit = api.max_request_bytes

    def route(self, body: bytes) -> tuple[list[Batch], bytes]:
        """See Endpoint. Raises RequestError: 400 (no record, corrupt, bad records), 413 (decoded), 415 (encoding)."""
        if self._encodings:
            body = decode_body(body, self._encodings, self._limit)
        batches = self._router.route(body, self._framing, self._key, self._intake.open_partitions)
        count = batches[0][2] if len(batches) == 1 else sum(batch[2] for batch in batches)
        return batches, self._replies.accepted(count)

    def refused(self, error: RequestError | Overloaded) -> bytes:
        """See Endpoint."""
        return self._replies.problem(error)


class NativeApi:
    """Resolves heads.

    `key_header`: the header whose value is the key (`partitioning.header`). `key_in_path`: the key is in the path
    (`partitioning.urlPath`). `max_request_bytes`: bound of a decoded body.
    """

    def __init__(
        self,
        router: Router,
        intake: Intake,
        replies: Replies,
        *,
        max_request_bytes: int,
        key_header: str | None = None,
        key_in_path: bool = False,
    ) -> None:
        self.router = router
        self.intake = intake
        self.replies = replies
        self.max_request_bytes = max_request_bytes
        self._key_header = None if key_header is None else key_header.lower()
        self._key_in_path = key_in_path
        self._endpoints: dict[tuple[str, str, str, str | None], NativeEndpoint] = {}

    def resolve(self, head: Head) -> Endpoint:
        """Raises RequestError: 404 (no such path), 405, 411 (no length), 415 (content type).

        A missing key is the router's to judge: its records may have to be quarantined.
        """
        if head.method != "POST":
            raise RequestError(405, "records are sent with POST; probes and metrics are on the admin port")
        headers = head.headers
        key = None if self._key_header is None else headers.get(self._key_header)
        told = (head.target, headers.get("content-type", ""), headers.get("content-encoding", ""), key)
        # Heads that differ in a trace id or a length only are different heads with the same endpoint.
        endpoint = self._endpoints.get(told)
        if endpoint is None:
            endpoint = self._make(*told)
            if len(self._endpoints) >= MAX_ENDPOINTS_KEPT:
                self._endpoints.clear()
            self._endpoints[told] = endpoint
        if head.length == NO_LENGTH:
            raise RequestError(411, "send Content-Length or Transfer-Encoding: chunked", close=True)
        return endpoint

    def _make(self, target: str, content_type: str, encodings: str, header_key: str | None) -> NativeEndpoint:
        path_key = self._key_of_path(target.partition("?")[0])
        key = (
            path_key if header_key is None else header_key.encode("latin-1").decode(errors="surrogateescape")
        )
        if encodings.lower() == "identity":
            encodings = ""
        return NativeEndpoint(self, _framing(content_type), encodings, key)

    def _key_of_path(self, path: str) -> str | None:
        folder, _, rest = path[1:].partition("/")
        if self._key_in_path and folder == "ingest" and "/" not in rest:
            return unquote(rest, errors="surrogateescape")
        if not path.startswith("/") or "/" in path[1:]:
            raise RequestError(
                404,
                f"nothing is at {path}; POST to /, /ingest or /<tag> (/ingest/<key> with partitioning.urlPath)",
            )
        return None


def _framing(content_type: str) -> Framing:
    essence = content_type.partition(";")[0].strip().lower()
    framing = _FRAMINGS.get(essence)
    if framing is not None:
        return framing
    if essence.startswith("text/"):
        return Framing.SINGLE
    raise RequestError(
        415,
        f"{essence} isn't taken; send text/plain or application/octet-stream (the body is one record), "
        "application/x-ndjson (a record a line) or application/json (a document, or an array of them)",
    )
