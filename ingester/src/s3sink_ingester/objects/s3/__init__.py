"""S3 and the stores that speak its protocol."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from s3sink_ingester.objects import PutOutcome, SealedObject
from s3sink_ingester.objects.content import Part, body, checked_parts, content_type, metadata
from s3sink_ingester.objects.s3 import multipart
from s3sink_ingester.objects.s3.client import (
    CONNECT_TIMEOUT,
    READ_TIMEOUT,
    Description,
    S3Requests,
)
from s3sink_ingester.objects.s3.errors import RequestFailed, judge

if TYPE_CHECKING:
    from botocore.session import Session

    from s3sink_ingester.config import Destination, Uploads
    from s3sink_ingester.disk import Disk

__all__ = ["S3Store"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Features:
    """What not every store supports. ``create_only``: If-None-Match; ``checksums``: x-amz-checksum-sha256."""

    create_only: bool
    checksums: bool


# From the most to the least that is asked of a store; a store that refuses a header gets the next one.
_FALLBACKS: Final = (
    _Features(create_only=True, checksums=True),
    _Features(create_only=False, checksums=True),
    _Features(create_only=True, checksums=False),
    _Features(create_only=False, checksums=False),
)


class S3Store:
    """See ``objects`` for the contract. ``disk`` is the volume that holds the sealed files.

    ``probe_key``: what ``check`` asks about; give it a prefix that the credentials may write to. Timeouts are
    seconds. ``session``: botocore's, where credentials come from; by default its chain.
    """

    def __init__(
        self,
        destination: Destination,
        uploads: Uploads,
        disk: Disk,
        *,
        probe_key: str = ".s3sink-probe",
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        session: Session | None = None,
    ) -> None:
        self._requests = S3Requests(
            destination,
            connections=uploads.concurrency,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            session=session,
        )
        self._uploads = uploads
        self._disk = disk
        self._probe_key = probe_key
        self._fallback = 0

    def put(self, obj: SealedObject) -> PutOutcome:
        """Store the object. Raises StoreUnavailable, StoreRefused, ObjectUnreadable, ObjectCorrupt."""
        multipart.abort_leftover(self._requests, self._disk, obj)
        in_parts = obj.size >= self._uploads.multipart_threshold
        parts = checked_parts(self._disk, obj, self._uploads.part_size if in_parts else max(obj.size, 1))
        fallback = self._fallback
        while True:
            try:
                self._send(obj, parts, _FALLBACKS[fallback])
            except RequestFailed as failed:
                if failed.failure.already_there:
                    return PutOutcome.ALREADY_THERE
                if not failed.failure.header_unsupported or fallback + 1 == len(_FALLBACKS):
                    raise judge(failed.failure) from failed
                fallback += 1
            else:
                self._settle(fallback)
                return PutOutcome.CREATED

    def check(self) -> None:
        """Begin a multipart upload and abort it: needs the rights of an upload and leaves nothing behind.

        Raises StoreUnavailable, StoreRefused. A store without multipart uploads passes unasked.
        """
        description = Description(content_type(self._probe_key), {})
        try:
            upload_id = self._requests.create_upload(self._probe_key, description, checksums=False)
        except RequestFailed as failed:
            if failed.failure.status == 501:
                return
            raise judge(failed.failure) from failed
        bucket = self._requests.bucket
        multipart.abort(self._requests, multipart.StartedUpload(bucket, self._probe_key, upload_id))

    def close(self) -> None:
        """Give back idle connections."""
        self._requests.close()

    def _send(self, obj: SealedObject, parts: list[Part], features: _Features) -> None:
        description = Description(content_type(obj.key), metadata(obj))
        if len(parts) > 1:
            multipart.upload(
                self._requests,
                self._disk,
                obj,
                parts,
                description,
                create_only=features.create_only,
                checksums=features.checksums,
            )
            return
        self._requests.put_object(
            obj.key,
            body(self._disk, obj.path, 0, obj.size),
            obj.size,
            description,
            sha256=obj.sha256 if features.checksums else None,
            create_only=features.create_only,
        )

    def _settle(self, fallback: int) -> None:
        # Only what a store has taken is remembered: a 501 about something else must not cost the guard.
        if fallback != self._fallback:
            self._fallback = fallback
            _log.info("the store does not know every header; from now on: %s", _FALLBACKS[fallback])
