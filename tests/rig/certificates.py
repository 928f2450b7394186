"""Certificates for servers on loopback: an authority of one's own and what it signs. Valid for a day."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_DAY: Final = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """Two PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs for ``localhost``, 127.0.0.1 and names given; its own certificate is what clients have to trust."""

    def __init__(self, directory: Path) -> None:
        """Make the authority; all files go into ``directory``."""
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("s3sink tests")
        usage = x509.BasicConstraints(ca=True, path_length=0)
        signed = _builder(self._name, self._name, self._key).add_extension(usage, critical=True)
        self.path = directory / "ca.crt"
        self.path.write_bytes(signed.sign(self._key, hashes.SHA256()).public_bytes(_PEM))

    def issue(self, common_name: str, *dns_names: str, addresses: Iterable[str] = ()) -> Certificate:
        """A certificate and its key, in files named after ``common_name``. ``addresses``: further ones, of IP."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name) for name in ("localhost", *dns_names)]
        numbers = [x509.IPAddress(ipaddress.ip_address(one)) for one in {"127.0.0.1", *addresses}]
        alternatives = x509.SubjectAlternativeName([*names, *numbers])
        signed = _builder(_name(common_name), self._name, key).add_extension(alternatives, critical=False)
        made = Certificate(self._directory / f"{common_name}.crt", self._directory / f"{common_name}.key")
        made.certificate.write_bytes(signed.sign(self._key, hashes.SHA256()).public_bytes(_PEM))
        write_key(made.key, key)
        return made


def signing_key(path: Path) -> None:
    """A new private key, with which an API server signs the tokens of service accounts."""
    write_key(path, ec.generate_private_key(ec.SECP256R1()))


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """In PEM, readable by its owner only."""
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(_PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    )


_PEM: Final = serialization.Encoding.PEM


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
