"""When a certificate ends, out of its DER (RFC 5280, 4.1). Pure.

The standard library tells that of a peer's certificate only, not of one's own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_VERSION: Final = 0xA0


def not_after(certificate: bytes) -> float:
    """The last moment at which it is valid, in Unix seconds. Raises ValueError if this is no certificate."""
    _, at, _ = _element(certificate, 0)
    _, at, _ = _element(certificate, at)  # TBSCertificate
    tag, _, after = _element(certificate, at)
    if tag == _VERSION:
        at = after
    for _ in ("serial number", "signature algorithm", "issuer"):
        at = _element(certificate, at)[2]
    _, at, _ = _element(certificate, at)  # Validity
    at = _element(certificate, at)[2]  # notBefore
    tag, start, end = _element(certificate, at)
    return _time(tag, certificate[start:end].decode("ascii"))


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, and where the content starts and ends."""
    if len(der) < at + 2:
        raise ValueError("cut short")
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:  # the length's own length
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise ValueError("a length that no certificate has")
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    if start + length > len(der):
        raise ValueError("cut short")
    return tag, start, start + length


def _time(tag: int, text: str) -> float:
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
