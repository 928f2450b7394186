"""Shapes of text settings: each check raises ValueError that says what to write instead. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from s3sink_ingester.config.words import nearest, quote

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

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_DOTTED_NUMBERS: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_RESERVED_STARTS: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS: Final = ("-s3alias", "--ol-s3", ".mrap", "--table-s3")
_REGION: Final = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]{1,2}")
_ZONE: Final = re.compile(rf"({_REGION.pattern})[a-z]")
_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_OBJECT_NAME_PART: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_FRAMING_HEADERS: Final = frozenset({
    "connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive",
    "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


def bucket(text: str) -> None:
    """A general purpose bucket's name by Amazon S3's rules, which other stores follow."""
    for start in ("s3://", "s3a://", "arn:aws:s3:::"):
        if text.startswith(start):
            name, _, rest = text.removeprefix(start).partition("/")
            advice = f"; '{rest}' belongs in object.prefix" if rest else ""
            raise ValueError(f"{quote(text)} is more than a name; write '{name}'{advice}")
    if "/" in text:
        raise ValueError(f"{quote(text)} holds a '/'; write the bucket alone and the folder in object.prefix")
    if text.endswith("--x-s3"):
        raise ValueError(
            f"{quote(text)} is a directory bucket, which is not supported; use a general purpose one"
        )
    reserved = text.startswith(_RESERVED_STARTS) or text.endswith(_RESERVED_ENDS)
    if reserved or ".." in text or _DOTTED_NUMBERS.fullmatch(text) or not _BUCKET.fullmatch(text):
        raise ValueError(
            f"{quote(text)} is not a bucket's name; write 3 to 63 of a-z, 0-9, '-' and '.',"
            " beginning and ending with a letter or digit, such as 'the-output-bucket'"
        )


def region(text: str) -> None:
    """Any word: what stores other than AWS call their regions is theirs. ``aws_region`` is the stricter check."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text):
        raise ValueError(f"{quote(text)} is not a region; write one such as 'us-east-1'")


def aws_region(text: str) -> None:
    zone = _ZONE.fullmatch(text)
    if zone:
        raise ValueError(f"'{text}' is an availability zone; write the region '{zone[1]}'")
    if not _REGION.fullmatch(text):
        raise ValueError(f"{quote(text)} is not an AWS region; write one such as 'us-east-1'")


def storage_class(text: str) -> None:
    """Any word; ``aws_storage_class`` is the stricter check."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text):
        raise ValueError(f"{quote(text)} is not a storage class; write one such as 'STANDARD'")


def aws_storage_class(text: str) -> None:
    if text not in STORAGE_CLASSES:
        meant = nearest(text, STORAGE_CLASSES)
        advice = f"did you mean '{meant}'?" if meant else f"write one of {', '.join(STORAGE_CLASSES)}"
        raise ValueError(f"{quote(text)} is not a storage class of Amazon S3; {advice}")


def endpoint(text: str) -> None:
    """``http(s)://host[:port][/path]``. Never shows a password that stands in the URL."""
    if "@" in text:
        raise ValueError(
            "holds an '@': credentials are never read from here; write 'https://host:port' alone"
        )
    if not text.lower().startswith(("http://", "https://")):
        advice = (
            f"write 'https://{text}' or 'http://{text}'" if "://" not in text else "write 'https://host:port'"
        )
        raise ValueError(f"{quote(text)} is not a URL; {advice}")
    parts = _split_url(text)
    if parts.query or parts.fragment:
        raise ValueError(f"{quote(text)} has a query; write 'https://host:port' alone")


def is_aws(endpoint: str | None) -> bool:
    """Whether this endpoint (None: the default one) is Amazon's."""
    if endpoint is None:
        return True
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))


def without_bucket(endpoint: str, bucket: str) -> str:
    """The endpoint without the bucket, if its host name begins or its path ends with it."""
    parts = urlsplit(endpoint)
    place = parts.netloc.removeprefix(f"{bucket}.")
    path = parts.path.rstrip("/")
    return parts._replace(netloc=place, path=path.removesuffix(f"/{bucket}")).geturl()


def host(text: str) -> None:
    """An address or host name to listen on."""
    bare = text.removeprefix("[").removesuffix("]")
    if bare != text and _is_ip(bare):
        raise ValueError(f"'{text}': write the address without brackets: '{bare}'")
    if _is_ip(text) or (_HOST_NAME.fullmatch(text) and not _DOTTED_NUMBERS.fullmatch(text)):
        return
    name, colon, port = text.rpartition(":")
    if colon and port.isdigit():
        raise ValueError(f"{quote(text)} holds a port; write '{name}' here and the port in 'port'")
    raise ValueError(f"{quote(text)} is not an address; write one such as '0.0.0.0' or '127.0.0.1'")


def object_name_part(text: str) -> None:
    """What object names begin with, so no '/'; the length of a DNS label, as pods' names are."""
    if not _OBJECT_NAME_PART.fullmatch(text):
        raise ValueError(
            f"{quote(text)} can't begin an object's name; write 1 to 63 of letters, digits, '.', '_' and '-',"
            " beginning and ending with a letter or digit"
        )


def chosen_header(text: str) -> None:
    """A header that clients may choose the value of."""
    if text.lower() in _FRAMING_HEADERS:
        raise ValueError(f"'{text}' has a meaning of its own in HTTP; write one such as 'X-Shard-Key'")


def directory(text: str) -> None:
    if "://" in text:
        raise ValueError(f"{quote(text)} is a URL; write a directory such as '/var/lib/s3sink'")
    if text.startswith("~"):
        raise ValueError(f"{quote(text)}: '~' is not expanded; write the whole path")
    if not text.isprintable() or not text:
        raise ValueError(f"{quote(text)} is not a path; write a directory such as '/var/lib/s3sink'")


def any_text(text: str) -> None:
    """Templates: what they may hold is judged together with the key's fields."""


def kms_key_id(text: str) -> None:
    """A key's id, ARN or alias; the store knows which exist."""
    if not re.fullmatch(r"[A-Za-z0-9:/_.-]{1,2048}", text):
        raise ValueError(f"{quote(text)} is not a KMS key; write its ARN, its id or 'alias/name'")


def _split_url(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{quote(text)} is not a URL; write 'https://host:port'") from None
    name = parts.hostname or ""
    if port == 0 or not (_is_ip(name) or _HOST_NAME.fullmatch(name)):
        raise ValueError(f"{quote(text)} has no host; write 'https://host:port'")
    return parts


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
