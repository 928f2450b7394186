"""When certificates end: what cryptography says of them, and nothing but ValueError for what is none."""

from __future__ import annotations

import datetime
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.http.access.der import not_after

KEY = ec.generate_private_key(ec.SECP256R1())
EARLIEST = datetime.datetime(1950, 1, 2)  # noqa: DTZ001 - cryptography's builder takes UTC without a zone
MOMENTS = st.datetimes(EARLIEST + datetime.timedelta(days=1), datetime.datetime(9999, 12, 30))  # noqa: DTZ001 - as above


def certificate(end: datetime.datetime, common_name: str = "loopback", serial: int = 1) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), serial, EARLIEST, end)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


@given(MOMENTS, st.text("abc.", min_size=1, max_size=64), st.integers(1, 2**159 - 1))
def test_as_cryptography_says(end: datetime.datetime, common_name: str, serial: int) -> None:
    der = certificate(end, common_name, serial)
    assert not_after(der) == x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()


WHOLE = certificate(datetime.datetime(2030, 1, 1))  # noqa: DTZ001 - as above


@given(st.integers(0, 60))
def test_what_is_cut_short(size: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        not_after(WHOLE[:size])


@given(
    st.binary(max_size=200)
    | st.integers(0, len(WHOLE) - 1).map(lambda at: WHOLE[:at] + b"\xff" + WHOLE[at + 1 :])
)
def test_noise_is_a_value_error_or_a_time(der: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(not_after(der), float)
