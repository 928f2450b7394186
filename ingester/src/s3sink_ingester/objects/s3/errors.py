"""What every failure of a request means for the object: one table. Pure.

A failure is named by the store's error code (``SlowDown``) or, where no answer came, by the names of the
client's exception classes, most specific first (``ReadTimeoutError``). Names keep this module free of the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from s3sink_ingester.errors import StoreFailed, StoreRefused, StoreUnavailable


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that did not succeed."""

    names: tuple[str, ...]
    """The store's error code, or the client's exception classes from the most specific to the base."""
    status: int
    """HTTP status; 0 when no answer came."""
    detail: str
    """Operation and the store's own message, for people."""
    request_id: str | None = None
    """How the store calls this one request."""

    @property
    def answered(self) -> bool:
        """Whether the store said this itself: it can be talked to."""
        return self.status != 0

    @property
    def already_there(self) -> bool:
        """Whether a conditional create found the key taken. A key names its bytes, so an earlier put of ours did it."""
        return self.status == 412

    @property
    def no_such_upload(self) -> bool:
        """Whether the multipart upload is not there (any more): completed, aborted or expired."""
        return "NoSuchUpload" in self.names

    @property
    def header_unsupported(self) -> bool:
        """Whether the store did not take one of the headers that not every store knows."""
        if self.status == 501:
            return True
        text = self.detail.lower()
        return self.status == 400 and any(header in text for header in _OPTIONAL_HEADERS)


class RequestFailed(Exception):
    """A request failed; not yet judged. Never leaves this package."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.detail)


def judge(failure: Failure) -> StoreFailed:
    """StoreUnavailable (retry soon) or StoreRefused (a person has to act) for a failure.

    The name decides; a name that isn't in the table leaves it to the HTTP status; no status means that the
    request may have been lost on the way, which mends itself.
    """
    kind, reason = _verdict(failure)
    return kind(reason, failure.detail, failure.request_id)


def _verdict(failure: Failure) -> tuple[type[StoreFailed], str]:
    for name in failure.names:
        if reason := SOON.get(name):
            return StoreUnavailable, reason
        if reason := SLOWLY.get(name):
            return StoreRefused, reason
        if name.startswith("KMS.") and failure.status < 500:
            return StoreRefused, "kms_key"
    if failure.status in _STATUS_REFUSED:
        return StoreRefused, _STATUS_REFUSED[failure.status]
    if failure.status in (408, 409, 425, 429) or failure.status >= 500:
        return StoreUnavailable, f"http_{failure.status}"
    if failure.status >= 300:
        return StoreRefused, f"http_{failure.status}"
    return StoreUnavailable, "unknown"


def _table(reasons: Mapping[str, str]) -> dict[str, str]:
    return {name: reason for reason, names in reasons.items() for name in names.split()}


_OPTIONAL_HEADERS: Final = ("if-none-match", "x-amz-checksum", "x-amz-sdk-checksum")

SOON: Final = _table(
    {
        # The store is busy or broken.
        "slow_down": "SlowDown SlowDownRead SlowDownWrite Throttling ThrottlingException ThrottledException"
        " RequestThrottled RequestThrottledException RequestLimitExceeded TooManyRequests"
        " TooManyRequestsException TooManyRequestsException BandwidthLimitExceeded PriorRequestNotComplete",
        "service_unavailable": "ServiceUnavailable ServerNotInitialized XMinioServerNotInitialized Busy ServerBusy",
        "internal_error": "InternalError InternalFailure InternalServerError",
        # Another request to the same key was under way: ours from before a crash.
        "conflict": "ConditionalRequestConflict OperationAborted",
        # The way there is broken.
        "unreachable": "EndpointConnectionError ConnectionError",
        "timeout": "ReadTimeoutError ConnectTimeoutError RequestTimeout RequestTimeoutException",
        "proxy": "ProxyConnectionError",
        "tls": "SSLError",
        "reset": "ConnectionClosedError ResponseStreamingError IncompleteReadError IncompleteBody",
        "connection": "HTTPClientError",
        "bad_response": "ResponseParserError",
        # The file was right when it was hashed, so the bytes changed on the way.
        "bad_digest": "BadDigest InvalidDigest XAmzContentSHA256Mismatch XAmzContentChecksumMismatch",
        # A lifecycle rule or a person aborted the multipart upload: it starts again from the first part.
        "upload_lost": "NoSuchUpload InvalidPart InvalidPartOrder",
        # Credentials come from a service that may be away, and are renewed by themselves.
        "credentials": "CredentialRetrievalError MetadataRetrievalError TokenRetrievalError IDPCommunicationError",
        "expired_token": "ExpiredToken ExpiredTokenException TokenRefreshRequired",
    }
)

SLOWLY: Final = _table(
    {
        "access_denied": "AccessDenied AccessDeniedException AccessForbidden AllAccessDisabled AccountProblem"
        " Forbidden NotSignedUp",
        "no_such_bucket": "NoSuchBucket InvalidBucketName InvalidBucketState",
        "wrong_region": "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException",
        "no_credentials": "NoCredentialsError PartialCredentialsError MissingSecurityHeader",
        "bad_credentials": "InvalidAccessKeyId SignatureDoesNotMatch InvalidToken InvalidClientTokenId"
        " UnrecognizedClientException InvalidIdentityToken InvalidIdentityTokenException InvalidSecurity"
        " XAdminUserNotFound",
        "clock_skew": "RequestTimeTooSkewed RequestExpired",
        "no_space": "QuotaExceeded InsufficientStorage XMinioStorageFull XMinioAdminBucketQuotaExceeded",
        "too_large": "EntityTooLarge MetadataTooLarge RequestHeaderSectionTooLarge",
        "bad_key": "KeyTooLongError InvalidURI ObjectParentIsFile ExistingObjectIsDirectory XMinioInvalidObjectName",
        "not_implemented": "NotImplemented",
        "bad_settings": "InvalidEndpoint InvalidStorageClass InvalidEncryptionAlgorithmError BotoCoreError",
    }
)

_STATUS_REFUSED: Final = {
    301: "wrong_region",
    401: "access_denied",
    403: "access_denied",
    413: "too_large",
    501: "not_implemented",
    507: "no_space",
}
