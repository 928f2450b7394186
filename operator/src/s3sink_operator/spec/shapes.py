"""Shapes of text fields: each check raises ValueError that says what to write instead. Pure.

Where the ingester has a check of the same name, this one accepts nothing that it refuses (``tests/contract``).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

STORAGE_CLASSES: Final = (
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
    "REDUCED_REDUNDANCY",
)
AWS_HOSTS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
FRAMING_HEADERS: Final = (
    "connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive",
    "te", "trailer", "transfer-encoding", "upgrade",
)  # fmt: skip

BUCKET_PATTERN: Final = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
DOTTED_NUMBERS_PATTERN: Final = r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+"
RESERVED_STARTS: Final = ("xn--", "sthree-", "amzn-s3-demo-")
RESERVED_ENDS: Final = ("-s3alias", "--ol-s3", ".mrap", "--table-s3", "--x-s3")
WORD_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
AWS_REGION_PATTERN: Final = r"[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}"
_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
PORT_AND_PATH_PATTERN: Final = r"(:[0-9]{1,5})?(/.*)?"
ENDPOINT_PATTERN: Final = rf"https?://({_LABEL}(\.{_LABEL})*|\[[0-9A-Fa-f:.]+\]){PORT_AND_PATH_PATTERN}"
KMS_KEY_PATTERN: Final = r"[A-Za-z0-9:/_.-]{1,2048}"
HEADER_PATTERN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
OBJECT_NAME_PATTERN: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"


def bucket(text: str) -> None:
    """A general purpose bucket's name by Amazon S3's rules, which other stores follow."""
    if "/" in text:
        raise ValueError(
            f"{text!r} is more than a bucket's name; write the bucket alone and the folder in object.prefix"
        )
    reserved = text.startswith(RESERVED_STARTS) or text.endswith(RESERVED_ENDS)
    numbers = re.fullmatch(DOTTED_NUMBERS_PATTERN, text)
    if reserved or ".." in text or numbers or not re.fullmatch(BUCKET_PATTERN, text):
        raise ValueError(
            f"{text!r} is not a bucket's name; write 3 to 63 of a-z, 0-9, '-' and '.',"
            " beginning and ending with a letter or digit, such as 'the-output-bucket'"
        )


def region(text: str) -> None:
    """Any word: what stores other than AWS call their regions is theirs. ``aws_region`` is the stricter check."""
    if not re.fullmatch(WORD_PATTERN, text):
        raise ValueError(f"{text!r} is not a region; write one such as 'us-east-1'")


def aws_region(text: str) -> None:
    if not re.fullmatch(AWS_REGION_PATTERN, text):
        raise ValueError(f"{text!r} is not an AWS region; write one such as 'us-east-1'")


def storage_class(text: str) -> None:
    """Any word; ``aws_storage_class`` is the stricter check."""
    if not re.fullmatch(WORD_PATTERN, text):
        raise ValueError(f"{text!r} is not a storage class; write one such as 'STANDARD_IA'")


def aws_storage_class(text: str) -> None:
    if text not in STORAGE_CLASSES:
        raise ValueError(
            f"{text!r} is not a storage class of Amazon S3; write one of {', '.join(STORAGE_CLASSES)}"
        )


def endpoint(text: str) -> None:
    """``http(s)://host[:port][/path]``. Never shows a password that stands in the URL."""
    if "@" in text:
        raise ValueError(
            "holds an '@': credentials come from a Secret; write 'https://host:port' and name the Secret in"
            " credentials.secretRef"
        )
    if not re.fullmatch(ENDPOINT_PATTERN, text) or not _has_port(text):
        raise ValueError(f"{text!r} is not a URL; write one such as 'https://minio.storage.svc:9000'")
    if re.search(r"[?#\s]", text):
        raise ValueError(f"{text!r} is more than an endpoint; write 'https://host:port' alone")


def _has_port(url: str) -> bool:
    """Whether its port, if it names one, is one; and its address, if it is one of IPv6."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def is_aws(endpoint: str) -> bool:
    """Whether this endpoint (empty: the default one) is Amazon's."""
    return not endpoint or (urlsplit(endpoint).hostname or "").endswith(AWS_HOSTS)


def without_bucket(endpoint: str, bucket: str) -> str:
    """The endpoint without the bucket, if its host name begins or its path ends with it."""
    parts = urlsplit(endpoint)
    place = parts.netloc.removeprefix(f"{bucket}.")
    path = parts.path.rstrip("/")
    return parts._replace(netloc=place, path=path.removesuffix(f"/{bucket}")).geturl()


def kms_key_id(text: str) -> None:
    """A key's id, ARN or alias; the store knows which exist."""
    if not re.fullmatch(KMS_KEY_PATTERN, text):
        raise ValueError(f"{text!r} is not a KMS key; write its ARN, its id or 'alias/name'")


def header(text: str) -> None:
    """A header that clients may choose the value of."""
    if not re.fullmatch(HEADER_PATTERN, text):
        raise ValueError(f"{text!r} is not the name of an HTTP header; write one such as 'X-Shard-Key'")
    if text.lower() in FRAMING_HEADERS:
        raise ValueError(f"'{text}' has a meaning of its own in HTTP; write one such as 'X-Shard-Key'")


def object_name(text: str) -> None:
    """The name of another Kubernetes object."""
    if not re.fullmatch(OBJECT_NAME_PATTERN, text):
        raise ValueError(
            f"{text!r} is not an object's name; write a-z, 0-9, '-' and '.', beginning and ending with"
            " a letter or digit"
        )
