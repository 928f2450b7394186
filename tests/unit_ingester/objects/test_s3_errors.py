"""What every failure of a request means: the table, and that its names exist."""

from __future__ import annotations

import botocore.exceptions
import botocore.parsers
import pytest
from s3sink_ingester.errors import StoreRefused, StoreUnavailable
from s3sink_ingester.objects.s3.errors import SLOWLY, SOON, Failure, judge


def answer(code: str, status: int, message: str = "") -> Failure:
    return Failure((code,), status, f"PutObject: {code}: {message}")


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("SlowDown", 503, "slow_down"),
        ("ServiceUnavailable", 503, "service_unavailable"),
        ("InternalError", 500, "internal_error"),
        ("InternalError", 200, "internal_error"),  # inside a 200 answer
        ("ConditionalRequestConflict", 409, "conflict"),
        ("OperationAborted", 409, "conflict"),
        ("RequestTimeout", 400, "timeout"),
        ("Throttling", 400, "slow_down"),
        ("TooManyRequests", 429, "slow_down"),
        ("BadDigest", 400, "bad_digest"),
        ("XAmzContentSHA256Mismatch", 400, "bad_digest"),
        ("IncompleteBody", 400, "reset"),
        ("NoSuchUpload", 404, "upload_lost"),
        ("InvalidPart", 400, "upload_lost"),
        ("ExpiredToken", 400, "expired_token"),
        ("KMS.InternalException", 500, "http_500"),
        ("", 500, "http_500"),
        ("502", 502, "http_502"),
        ("504", 504, "http_504"),
        ("429", 429, "http_429"),
        ("409", 409, "http_409"),
        ("408", 408, "http_408"),
        ("Strange", 0, "unknown"),
    ],
)
def test_retried_soon(code: str, status: int, reason: str) -> None:
    verdict = judge(answer(code, status, "the store's words"))
    assert isinstance(verdict, StoreUnavailable)
    assert verdict.reason == reason
    assert "the store's words" in str(verdict)


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("AccessDenied", 403, "access_denied"),
        ("AllAccessDisabled", 403, "access_denied"),
        ("NoSuchBucket", 404, "no_such_bucket"),
        ("InvalidBucketName", 400, "no_such_bucket"),
        ("PermanentRedirect", 301, "wrong_region"),
        ("AuthorizationHeaderMalformed", 400, "wrong_region"),
        ("InvalidAccessKeyId", 403, "bad_credentials"),
        ("SignatureDoesNotMatch", 403, "bad_credentials"),
        ("XAdminUserNotFound", 404, "bad_credentials"),  # versitygw's word for an unknown key
        ("RequestTimeTooSkewed", 403, "clock_skew"),
        ("EntityTooLarge", 400, "too_large"),
        ("KeyTooLongError", 400, "bad_key"),
        ("NotImplemented", 501, "not_implemented"),
        ("QuotaExceeded", 403, "no_space"),
        ("KMS.DisabledException", 400, "kms_key"),
        ("KMS.NotFoundException", 400, "kms_key"),
        ("InvalidStorageClass", 400, "bad_settings"),
        ("401", 401, "access_denied"),
        ("403", 403, "access_denied"),
        ("404", 404, "http_404"),
        ("413", 413, "too_large"),
        ("507", 507, "no_space"),
        ("501", 501, "not_implemented"),
        ("InvalidArgument", 400, "http_400"),
        ("307", 307, "http_307"),
    ],
)
def test_refused(code: str, status: int, reason: str) -> None:
    verdict = judge(answer(code, status, "the store's words"))
    assert isinstance(verdict, StoreRefused)
    assert verdict.reason == reason
    assert "the store's words" in str(verdict)


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (botocore.exceptions.EndpointConnectionError, StoreUnavailable, "unreachable"),
        (botocore.exceptions.ConnectTimeoutError, StoreUnavailable, "timeout"),
        (botocore.exceptions.ReadTimeoutError, StoreUnavailable, "timeout"),
        (botocore.exceptions.ConnectionClosedError, StoreUnavailable, "reset"),
        (botocore.exceptions.ProxyConnectionError, StoreUnavailable, "proxy"),
        (botocore.exceptions.SSLError, StoreUnavailable, "tls"),
        (botocore.exceptions.HTTPClientError, StoreUnavailable, "connection"),
        (botocore.exceptions.CredentialRetrievalError, StoreUnavailable, "credentials"),
        (botocore.exceptions.MetadataRetrievalError, StoreUnavailable, "credentials"),
        (botocore.parsers.ResponseParserError, StoreUnavailable, "bad_response"),
        (botocore.exceptions.NoCredentialsError, StoreRefused, "no_credentials"),
        (botocore.exceptions.PartialCredentialsError, StoreRefused, "no_credentials"),
        (botocore.exceptions.NoRegionError, StoreRefused, "bad_settings"),
        (botocore.exceptions.ParamValidationError, StoreRefused, "bad_settings"),
        (botocore.exceptions.ProfileNotFound, StoreRefused, "bad_settings"),
    ],
)
def test_without_an_answer(
    error: type[Exception], kind: type[StoreUnavailable | StoreRefused], reason: str
) -> None:
    verdict = judge(Failure(tuple(c.__name__ for c in error.__mro__), 0, "PutObject: details"))
    assert isinstance(verdict, kind)
    assert verdict.reason == reason


@pytest.mark.parametrize("code", ["SlowDown", "AccessDenied", "Strange"])
def test_the_request_id_is_told_beside_the_message(code: str) -> None:
    verdict = judge(Failure((code,), 403, f"PutObject: {code}", "QN2"))
    assert (str(verdict), verdict.request_id) == (f"PutObject: {code}", "QN2")


def test_exceptions_in_the_table_exist() -> None:
    """A name that botocore doesn't have (any more) would never be met."""
    client_side = {name for name in SOON | SLOWLY if name.endswith("Error") and is_exception_of_client(name)}
    assert client_side >= {
        "EndpointConnectionError",
        "ConnectionError",
        "ReadTimeoutError",
        "ConnectTimeoutError",
        "ProxyConnectionError",
        "SSLError",
        "ConnectionClosedError",
        "ResponseStreamingError",
        "IncompleteReadError",
        "HTTPClientError",
        "ResponseParserError",
        "CredentialRetrievalError",
        "MetadataRetrievalError",
        "TokenRetrievalError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "BotoCoreError",
    }


def is_exception_of_client(name: str) -> bool:
    return hasattr(botocore.exceptions, name) or hasattr(botocore.parsers, name)


def test_no_name_means_two_things() -> None:
    assert not SOON.keys() & SLOWLY.keys()


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (answer("NotImplemented", 501), True),
        (answer("InvalidArgument", 400, "Unsupported header 'x-amz-checksum-sha256' received"), True),
        (answer("InvalidRequest", 400, "If-None-Match is not supported"), True),
        (answer("InvalidArgument", 400, "Invalid storage class"), False),
        (answer("AccessDenied", 403, "If-None-Match"), False),
        (answer("SlowDown", 503), False),
    ],
)
def test_headers_that_a_store_does_not_know(failure: Failure, expected: bool) -> None:
    assert failure.header_unsupported is expected


def test_a_taken_key_is_told_by_its_status() -> None:
    assert answer("PreconditionFailed", 412).already_there
    assert not answer("ConditionalRequestConflict", 409).already_there
