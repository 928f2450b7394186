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
_SIGNS: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Certificate:
    """Two PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs for ``localhost``, 127.0.0.1 and names given; its own certificate is what clients have to trust."""

    def __init__(self, directory: Path, *, identified: bool = True) -> None:
        """Make the authority; all files go into ``directory``.

        Not ``identified``: certificates say nothing of keys, as those of clusters that were made years ago. Python
        3.13 and newer refuse them unless told otherwise.
        """
        self._directory = directory
        self._identified = identified
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("s3sink tests")
        constraints = x509.BasicConstraints(ca=True, path_length=0 if identified else None)
        signed = self._described(_builder(self._name, self._name, self._key), self._key)
        signed = signed.add_extension(constraints, critical=True)
        if identified:
            signed = signed.add_extension(_SIGNS, critical=True)
        self.path = directory / "ca.crt"
        self.path.write_bytes(signed.sign(self._key, hashes.SHA256()).public_bytes(_PEM))

    def issue(self, common_name: str, *dns_names: str, addresses: Iterable[str] = ()) -> Certificate:
        """A certificate and its key, in files named after ``common_name``. ``addresses``: further ones, of IP."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name) for name in ("localhost", *dns_names)]
        numbers = [x509.IPAddress(ipaddress.ip_address(one)) for one in {"127.0.0.1", *addresses}]
        alternatives = x509.SubjectAlternativeName([*names, *numbers])
        signed = self._described(_builder(_name(common_name), self._name, key), key)
        signed = signed.add_extension(alternatives, critical=False)
        made = Certificate(self._directory / f"{common_name}.crt", self._directory / f"{common_name}.key")
        made.certificate.write_bytes(signed.sign(self._key, hashes.SHA256()).public_bytes(_PEM))
        write_key(made.key, key)
        return made

    def _described(
        self, certificate: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        """With whose key it is and whose key signs it."""
        if not self._identified:
            return certificate
        subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return certificate.add_extension(subject, critical=False).add_extension(issuer, critical=False)


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
