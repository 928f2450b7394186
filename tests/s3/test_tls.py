"""Over TLS the body is not hashed again for its signature: the signed digest vouches for it."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from s3sink_ingester.errors import StoreUnavailable
from s3sink_ingester.objects import PutOutcome

from tests.rig.flaky_proxy import flaky_proxy
from tests.rig.object_store_contract import noise, seal
from tests.rig.stores import Bucket, session


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for the loopback address, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + signed.public_bytes(pem)
    )
    return path


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("size", [300_000, 11 << 20])
def test_puts_over_tls(versity_bucket: Bucket, certificate: Path, size: int) -> None:
    trusting = session()
    trusting.set_config_variable("ca_bundle", str(certificate))
    obj = seal(versity_bucket.disk, "a/x.gz", noise(size))
    with flaky_proxy(versity_bucket.server.endpoint, tls(certificate)) as proxy:
        assert proxy.endpoint.startswith("https://")
        store = versity_bucket.new_store(proxy.endpoint, session=trusting)
        assert store.put(obj) is PutOutcome.CREATED
        bodies = [r for r in proxy.requests if r.operation in ("PutObject", "UploadPart")]
        assert bodies
        for request in bodies:
            assert request.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
            assert "x-amz-checksum-sha256" in request.headers["authorization"], "the digest is signed"
            assert "transfer-encoding" not in request.headers
        assert store.put(obj) is PutOutcome.ALREADY_THERE
    assert versity_bucket.read("a/x.gz") == noise(size)


def test_a_certificate_that_is_not_trusted(versity_bucket: Bucket, certificate: Path) -> None:
    obj = seal(versity_bucket.disk, "a/x.gz", b"content")
    with (
        flaky_proxy(versity_bucket.server.endpoint, tls(certificate)) as proxy,
        pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED") as unavailable,
    ):
        versity_bucket.new_store(proxy.endpoint).put(obj)
    assert unavailable.value.reason == "tls"
