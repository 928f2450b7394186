"""The data port's side of TLS: 1.2 or newer, with the certificate that is in force when a handshake begins.

A certificate can be changed in a context that is in use, but not undone if its key turns out to be another one's. So
each one gets a context of its own, and the port's context hands every new connection over to the latest.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from s3sink_ingester.http.access import der
from s3sink_ingester.http.access.mounted import Unusable, content

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Certificate:
    """One that can be used. `expires`: Unix seconds, of the first in its chain that does; None where that can't be
    told."""

    context: ssl.SSLContext
    expires: float | None


class ServerTls:
    """`context`: what the listener is given, once and for all."""

    def __init__(self) -> None:
        self.context = _context()
        self.context.sni_callback = self._hand_over
        self._current = self.context

    def use(self, certificate: Certificate) -> None:
        """For handshakes that begin from now on."""
        self._current = certificate.context

    def _hand_over(self, connection: ssl.SSLObject, name: str, context: ssl.SSLContext) -> None:
        # Called for every handshake, with or without a name. It takes over the certificate and nothing else.
        connection.context = self._current


def read_certificate(directory: Path) -> Certificate:
    """The certificate, with its chain, and its key. Raises `Unusable`, OSError."""
    chain = content(directory / CERTIFICATE)
    content(directory / KEY)
    blocks = _PEM.findall(chain)
    if not blocks:
        raise Unusable(f"{CERTIFICATE} holds no certificate in PEM")
    context = _context()
    try:
        context.load_cert_chain(directory / CERTIFICATE, directory / KEY, password=_no_password)
    except ssl.SSLError as error:
        reason = (error.reason or "not PEM").replace("_", " ").lower()
        raise Unusable(f"{CERTIFICATE} and {KEY} can't be used together ({reason})") from error
    return Certificate(context, _expires(blocks))


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_password() -> str:
    """Instead of asking for one on the terminal."""
    raise Unusable(f"{KEY} is encrypted, which it must not be here")


def _expires(blocks: list[bytes]) -> float | None:
    try:
        return min(der.not_after(ssl.PEM_cert_to_DER_cert(block.decode("ascii"))) for block in blocks)
    except ValueError:
        return None
