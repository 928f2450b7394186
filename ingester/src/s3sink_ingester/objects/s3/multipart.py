"""Uploads in parts, and the clean-up of those that a crash cut short.

Parts of an upload that is never completed are stored, paid for and seen by nobody. So the upload's id is kept in
a small file beside the sealed file (``<path>.mpu``) before the first part is sent; the next put of the object
aborts that upload first. Only a crash between the store's answer and that file leaves an upload behind. It has no
parts and costs nothing; to look for such uploads takes a further right, and misses the request that is still on its
way. A lifecycle rule on the bucket (AbortIncompleteMultipartUpload) clears even those.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from s3sink_ingester.disk import write_atomically
from s3sink_ingester.errors import StoreUnavailable
from s3sink_ingester.objects.content import Part, body
from s3sink_ingester.objects.s3.errors import RequestFailed, judge

if TYPE_CHECKING:
    from s3sink_ingester.disk import Disk
    from s3sink_ingester.objects import SealedObject
    from s3sink_ingester.objects.s3.client import Description, S3Requests

SIDECAR_SUFFIX: Final = ".mpu"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StartedUpload:
    """A multipart upload in the store. The bucket is kept too: settings may change before it is aborted."""

    bucket: str
    key: str
    upload_id: str


def upload(
    requests: S3Requests,
    disk: Disk,
    obj: SealedObject,
    parts: Sequence[Part],
    description: Description,
    *,
    create_only: bool,
    checksums: bool,
) -> None:
    """Store the object in parts. Raises RequestFailed; what was sent is then aborted, now or by the next put."""
    upload_id = requests.create_upload(obj.key, description, checksums=checksums)
    started = StartedUpload(requests.bucket, obj.key, upload_id)
    _remember(disk, obj, started)
    try:
        sent = [
            requests.upload_part(
                obj.key,
                upload_id,
                number,
                body(disk, obj.path, part.offset, part.size),
                part.size,
                sha256=part.sha256 if checksums else None,
            )
            for number, part in enumerate(parts, start=1)
        ]
        requests.complete_upload(obj.key, upload_id, sent, create_only=create_only)
    except RequestFailed as failed:
        if failed.failure.answered:  # a store that is away is not asked again: the next put will
            abort(requests, started)
            _forget(disk, obj)
        raise
    _forget(disk, obj)


def abort_leftover(requests: S3Requests, disk: Disk, obj: SealedObject) -> None:
    """Abort what an earlier put of this object left unfinished. Raises StoreUnavailable."""
    if disk.size(_sidecar(obj)) is None:
        return
    started = _recall(disk, obj)
    if started is not None:
        abort(requests, started)
    _forget(disk, obj)


def abort(requests: S3Requests, started: StartedUpload) -> None:
    """Abort an upload. Raises StoreUnavailable; an abort that is refused is logged, for a retry can't help."""
    try:
        requests.abort_upload(started.bucket, started.key, started.upload_id)
    except RequestFailed as failed:
        if failed.failure.no_such_upload:
            return
        verdict = judge(failed.failure)
        if isinstance(verdict, StoreUnavailable):
            raise verdict from failed
        _log.warning(
            "multipart upload %s of %s stays behind: %s",
            started.upload_id,
            started.key,
            verdict,
            extra={"request_id": verdict.request_id},
        )


def _remember(disk: Disk, obj: SealedObject, started: StartedUpload) -> None:
    try:
        write_atomically(disk, _sidecar(obj), json.dumps(asdict(started)).encode())
    except OSError as error:  # a full disk must not keep the upload, which frees it, from happening
        _log.warning("multipart upload of %s can't be noted: %s", obj.key, error)


def _recall(disk: Disk, obj: SealedObject) -> StartedUpload | None:
    try:
        return StartedUpload(**json.loads(disk.read(_sidecar(obj))))
    except (OSError, TypeError, ValueError) as error:
        _log.warning("the note about a multipart upload of %s can't be read: %s", obj.key, error)
        return None


def _forget(disk: Disk, obj: SealedObject) -> None:
    try:
        disk.unlink(_sidecar(obj), missing_ok=True)
    except OSError as error:  # it only makes the next put, if there is one, abort in vain
        _log.warning("%s can't be removed: %s", _sidecar(obj), error)


def _sidecar(obj: SealedObject) -> str:
    return obj.path + SIDECAR_SUFFIX
