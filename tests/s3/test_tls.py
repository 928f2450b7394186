"""Over TLS the body is not hashed again for its signature: the signed digest vouches for it. Private authorities."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from s3sink_ingester.errors import StoreUnavailable
from s3sink_ingester.objects import PutOutcome

from tests.rig.certificates import Authority
from tests.rig.flaky_proxy import flaky_proxy
from tests.rig.object_store_contract import noise, seal
from tests.rig.stores import session

if TYPE_CHECKING:
    from pathlib import Path

    from botocore.session import Session

    from tests.rig.stores import Bucket


def tls(authority: Authority) -> ssl.SSLContext:
    """Of a store with a certificate of this authority."""
    made = authority.issue("s3")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    return context


def trusting(authority: Authority) -> Session:
    """As if ``AWS_CA_BUNDLE`` named its certificate."""
    made = session()
    made.set_config_variable("ca_bundle", str(authority.path))
    return made


@pytest.mark.parametrize("size", [300_000, 11 << 20])
def test_puts_over_tls(versity_bucket: Bucket, tmp_path: Path, size: int) -> None:
    authority = Authority(tmp_path)
    obj = seal(versity_bucket.disk, "a/x.gz", noise(size))
    with flaky_proxy(versity_bucket.server.endpoint, tls(authority)) as proxy:
        assert proxy.endpoint.startswith("https://")
        store = versity_bucket.new_store(proxy.endpoint, session=trusting(authority))
        assert store.put(obj) is PutOutcome.CREATED
        bodies = [r for r in proxy.requests if r.operation in ("PutObject", "UploadPart")]
        assert bodies
        for request in bodies:
            assert request.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
            assert "x-amz-checksum-sha256" in request.headers["authorization"], "the digest is signed"
            assert "transfer-encoding" not in request.headers
        assert store.put(obj) is PutOutcome.ALREADY_THERE
    assert versity_bucket.read("a/x.gz") == noise(size)


def test_an_authority_of_old(versity_bucket: Bucket, tmp_path: Path) -> None:
    """Without key identifiers, which Python's own contexts ask for since 3.13, and those of botocore don't."""
    authority = Authority(tmp_path, identified=False)
    obj = seal(versity_bucket.disk, "a/x.gz", b"content")
    with flaky_proxy(versity_bucket.server.endpoint, tls(authority)) as proxy:
        store = versity_bucket.new_store(proxy.endpoint, session=trusting(authority))
        assert store.put(obj) is PutOutcome.CREATED


def test_a_certificate_that_is_not_trusted(versity_bucket: Bucket, tmp_path: Path) -> None:
    obj = seal(versity_bucket.disk, "a/x.gz", b"content")
    with (
        flaky_proxy(versity_bucket.server.endpoint, tls(Authority(tmp_path))) as proxy,
        pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED") as unavailable,
    ):
        versity_bucket.new_store(proxy.endpoint).put(obj)
    assert unavailable.value.reason == "tls"
