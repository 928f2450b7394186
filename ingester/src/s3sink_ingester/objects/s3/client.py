"""The requests that an upload needs, and the only importer of botocore (what boto3's clients are made of).

Blocking and safe to share between threads. Own retries are off: the uploader owns retrying, or a store that is
away would be asked several times as often as planned. Every failure comes out as ``RequestFailed``.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.parsers import ResponseParserError

from s3sink_ingester.objects.s3.errors import Failure, RequestFailed

if TYPE_CHECKING:
    from botocore.session import Session
    from mypy_boto3_s3 import S3Client

    from s3sink_ingester.config import Destination

CONNECT_TIMEOUT: Final = 5.0  # seconds
READ_TIMEOUT: Final = 60.0  # seconds without a byte from the store
_FALLBACK_REGION: Final = "us-east-1"  # what stores other than AWS expect in signatures


@dataclass(frozen=True, slots=True)
class Description:
    """What is said about an object beside its bytes."""

    content_type: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that the store has: its number from 1, the store's tag, and its SHA-256 if that was sent."""

    number: int
    etag: str
    sha256: bytes | None


class S3Requests:
    """See the module. ``connections``: how many are kept. ``session``: where settings and credentials come from.

    By default that is botocore's chain: environment variables, web identity (IRSA), container credentials (EKS
    Pod Identity), profile files, the instance's metadata; each renewed by botocore before it expires.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        connections: int,
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        session: Session | None = None,
    ) -> None:
        self.bucket = destination.bucket or ""
        self._destination = destination
        self._config = Config(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            max_pool_connections=connections,
            tcp_keepalive=True,
            retries={"mode": "standard", "total_max_attempts": 1},
            # Checksums are given, never computed here: no aws-chunked bodies, which not every store takes.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent_extra="s3sink",
        )
        self._session = session or botocore.session.get_session()
        self._client: S3Client | None = None
        self._building = threading.Lock()

    def put_object(
        self,
        key: str,
        data: IO[bytes],
        size: int,
        description: Description,
        *,
        sha256: bytes | None,
        create_only: bool,
    ) -> None:
        """Store ``size`` bytes. ``sha256``: have them checked. ``create_only``: fail if the key is taken."""
        with self._request("PutObject") as client:
            client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=data,
                ContentLength=size,
                **_checksum(sha256),
                **_if_none_match(create_only),
                **self._new_object(description),
            )

    def create_upload(self, key: str, description: Description, *, checksums: bool) -> str:
        """Begin a multipart upload; returns its id. ``checksums``: every part will come with its SHA-256."""
        with self._request("CreateMultipartUpload") as client:
            extra: dict[str, Any] = {"ChecksumAlgorithm": "SHA256"} if checksums else {}
            answer = client.create_multipart_upload(
                Bucket=self.bucket, Key=key, **extra, **self._new_object(description)
            )
            return answer["UploadId"]

    def upload_part(
        self, key: str, upload_id: str, number: int, data: IO[bytes], size: int, *, sha256: bytes | None
    ) -> SentPart:
        """Send part ``number`` (from 1) of a multipart upload."""
        with self._request("UploadPart") as client:
            answer = client.upload_part(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,
                ContentLength=size,
                **_checksum(sha256),
            )
            return SentPart(number, answer["ETag"], sha256)

    def complete_upload(
        self, key: str, upload_id: str, parts: Sequence[SentPart], *, create_only: bool
    ) -> None:
        """Make one object of the parts. An error inside a 200 answer is an error here too."""
        with self._request("CompleteMultipartUpload") as client:
            listed: list[Any] = [
                {"PartNumber": part.number, "ETag": part.etag, **_checksum(part.sha256)} for part in parts
            ]
            client.complete_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": listed},
                **_if_none_match(create_only),
            )

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Give up a multipart upload and free its parts."""
        with self._request("AbortMultipartUpload") as client:
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)

    def close(self) -> None:
        """Close idle connections."""
        if self._client is not None:
            self._client.close()

    @contextmanager
    def _request(self, operation: str) -> Iterator[S3Client]:
        try:
            yield self._connected()
        except NoCredentialsError as error:
            # A client keeps the credentials that it found when it was made, even none. The next request
            # looks again: the pod's credentials may only have been late.
            self._client = None
            raise RequestFailed(_without_answer(operation, error)) from error
        except ClientError as error:
            raise RequestFailed(_answer(error)) from error
        except (BotoCoreError, ResponseParserError) as error:
            raise RequestFailed(_without_answer(operation, error)) from error

    def _connected(self) -> S3Client:
        with self._building:
            if self._client is None:
                self._client = self._build()
            return self._client

    def _build(self) -> S3Client:
        client = self._create_client(sign_payload=False)
        if client.meta.endpoint_url.startswith("https:"):
            return client
        return self._create_client(sign_payload=True)

    def _create_client(self, *, sign_payload: bool) -> S3Client:
        """``sign_payload`` hashes every body once more; over TLS the signed SHA-256 header vouches for the bytes."""
        destination = self._destination
        region = destination.region or self._session.get_config_variable("region") or _FALLBACK_REGION
        style = destination.addressing_style.lower()
        s3: Any = {"addressing_style": style, "payload_signing_enabled": sign_payload}
        try:
            client = self._session.create_client(
                "s3",
                region_name=region,
                endpoint_url=destination.endpoint,
                config=self._config.merge(Config(s3=s3)),
            )
        except ValueError as error:  # botocore's word for an endpoint that is not a URL
            raise RequestFailed(Failure(("InvalidEndpoint",), 0, str(error))) from error
        return cast("S3Client", client)

    def _new_object(self, description: Description) -> dict[str, Any]:
        destination = self._destination
        fields = {
            "ContentType": description.content_type,
            "Metadata": dict(description.metadata),
            "ServerSideEncryption": destination.encryption.type,
            "SSEKMSKeyId": destination.encryption.kms_key_id,
            "StorageClass": destination.storage_class,
        }
        return {name: value for name, value in fields.items() if value}


def _checksum(sha256: bytes | None) -> dict[str, Any]:
    return {} if sha256 is None else {"ChecksumSHA256": base64.b64encode(sha256).decode("ascii")}


def _if_none_match(create_only: bool) -> dict[str, Any]:
    return {"IfNoneMatch": "*"} if create_only else {}


def _answer(error: ClientError) -> Failure:
    answer: Mapping[str, Any] = error.response
    said, meta = answer.get("Error", {}), answer.get("ResponseMetadata", {})
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    status = int(meta.get("HTTPStatusCode", 0))
    detail = f"{error.operation_name}: {code}: {message} (HTTP {status})"
    return Failure((code,), status, detail, meta.get("RequestId") or None)


def _without_answer(operation: str, error: Exception) -> Failure:
    names = tuple(kind.__name__ for kind in type(error).__mro__)
    return Failure(names, 0, f"{operation}: {_without_key(error)}")


def _without_key(error: Exception) -> str:
    """The client's message, of a URL only the host: with its path it would be another one for each object."""
    url = error.kwargs.get("endpoint_url") if isinstance(error, BotoCoreError) else None
    if not url:
        return str(error)
    host = urlsplit(url)
    return str(error).replace(url, f"{host.scheme}://{host.netloc}")
