"""Which keys a request presents, which ones a file may hold, and who is let in. No socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3sink_ingester.errors import RequestError
from s3sink_ingester.http.access.keys import ApiKeys, digest, key_of, presented_keys
from s3sink_ingester.http.heads import Head, parse_head

from tests.unit_ingester.http.rig import post

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=80)


def head(*headers: str) -> Head:
    return parse_head(post(b"", *headers))


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ([], []),
        (["Authorization: Bearer a.b-c"], ["a.b-c"]),
        (["authorization: bEARER \t a"], ["a"]),
        (["X-API-Key: a"], ["a"]),
        (["Authorization: Bearer a", "X-Api-Key: b"], ["a", "b"]),
        (["Authorization: Basic YTpi", "X-Api-Key: b"], ["b"]),
        (["Authorization: Basic YTpi"], []),
        (["Authorization: Bearer"], []),
        (["Authorization: Bearer  "], []),
        (["Authorization: a"], []),
        (["X-Api-Key:"], []),
        (["Authorization: Bearer a b"], []),
        (["X-Api-Key: a", "X-Api-Key: b"], ["a, b"]),  # said twice: no key
    ],
)
def test_what_is_presented(headers: list[str], keys: list[str]) -> None:
    assert list(presented_keys(head(*headers).headers)) == keys


@pytest.mark.parametrize("content", [b"", b" \n", b"a b", b"a\nb\n", b"k\xe9y", b"a\0", b"a" * 4097])
def test_a_file_without_a_key(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(is empty|holds no key)") as refused:
        key_of(content)
    assert "k\xe9y" not in str(refused.value)


@pytest.mark.parametrize("content", [b"key", b"key\n", b" key\r\n\n"])
def test_blanks_around_a_key_do_not_count(content: bytes) -> None:
    assert key_of(content) == b"key"


@given(st.sets(VISIBLE, min_size=1, max_size=5), VISIBLE)
def test_whoever_has_a_key_is_let_in_and_nobody_else(good: set[str], presented: str) -> None:
    keys = ApiKeys()
    keys.digests = frozenset(digest(key_of(key.encode() + b"\n")) for key in good)
    for line in (f"Authorization: Bearer {presented}", f"X-Api-Key: {presented}"):
        if presented in good:
            keys.check(head(line))
        else:
            with pytest.raises(RequestError) as refused:
                keys.check(head(line))
            assert refused.value.status == 401
    assert keys.refused == ({} if presented in good else {"wrong": 2})


def test_no_key_at_all_is_told_how_to_send_one() -> None:
    keys = ApiKeys()
    keys.digests = frozenset({digest(b"a")})
    for _ in range(2):
        with pytest.raises(RequestError, match="X-Api-Key") as refused:
            keys.check(head("Authorization: Basic YQ=="))
    assert keys.refused == {"missing": 2}
    assert refused.value.__traceback__ is not None
    assert refused.value.__traceback__.tb_next is not None
    assert refused.value.__traceback__.tb_next.tb_next is None, "the shared error must not grow"
