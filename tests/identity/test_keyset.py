"""Key sets: only public keys that may verify, each for its one algorithm; the rest is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey

from gateway_extproc.identity.keyset import (
    MAX_BYTES,
    MAX_KEYS,
    KeySet,
    KeySetError,
    read_key_set,
)
from gateway_extproc.identity.trust import read_denials
from support.tokens import ALGORITHMS, TokenIssuer, b64

ISSUER = TokenIssuer()


def entries() -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = json.loads(ISSUER.key_set())["keys"]
    return keys


def read(*keys: Any) -> KeySet:
    return read_key_set(json.dumps({"keys": list(keys)}).encode())


def rsa(**changed: Any) -> dict[str, Any]:
    return {name: value for name, value in {**entries()[0], **changed}.items() if value is not None}


def test_each_key_is_for_the_algorithm_of_its_type() -> None:
    found = read(*entries())
    assert {key for key, _ in found.keys} == set(ALGORITHMS)
    for algorithm in ALGORITHMS:
        assert found.find(algorithm, ISSUER.kid(algorithm)) is not None
        for other in set(ALGORITHMS) - {algorithm}:
            assert found.find(algorithm, ISSUER.kid(other)) is None


def test_symmetric_and_foreign_keys_are_passed_over() -> None:
    others = [
        OctKey.generate_key(256, {"kid": "o"}).as_dict(),
        ECKey.generate_key("P-384", {"kid": "p"}).as_dict(private=False),
        OKPKey.generate_key("X25519", {"kid": "x"}).as_dict(private=False),
        {"kty": "new"},
        rsa(kid="enc", use="enc"),
        rsa(kid="ops", key_ops=["encrypt"]),
        rsa(kid="alg", alg="RSA-OAEP"),
        rsa(kid="hs", alg="HS256"),
    ]
    assert len(read(*entries(), *others).keys) == 3
    with pytest.raises(KeySetError):
        read(*others)


def test_a_key_without_use_and_alg_counts() -> None:
    assert len(read(rsa(use=None, alg=None)).keys) == 1


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b"\xff\xfe",
        b'{"keys":1}',
        b'{"keys":[1]}',
        b'{"keys":[]}',
        b'{"keys":[],"keys":[]}',
        b"[" * 10_000,
        json.dumps({"keys": entries()}).encode() + b"x",
        json.dumps({"keys": entries()}).encode()[:-9],
        b" " * (MAX_BYTES + 1),
    ],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(KeySetError):
        read_key_set(document)


SMALL_N = b64(((1 << 1023) + 9).to_bytes(128, "big"))
"""A modulus of 1024 bits."""


@pytest.mark.filterwarnings("ignore:Key size should be")
@pytest.mark.parametrize(
    "spoilt",
    [
        rsa(n="AQAB"),
        rsa(n="!"),
        rsa(n=1),
        rsa(e=None),
        rsa(kid=7),
        rsa(kid="x" * 257),
        rsa(kid="small", n=SMALL_N),
        {**entries()[1], "x": entries()[1]["y"]},
        {**entries()[2], "x": "AAAA"},
        rsa(),
    ],
)
def test_a_spoilt_key_spoils_the_set(spoilt: dict[str, Any]) -> None:
    with pytest.raises(KeySetError):
        read(*entries(), spoilt)


def test_the_number_of_keys_is_bounded() -> None:
    with pytest.raises(KeySetError, match="more than"):
        read(*(rsa(kid=f"k{i}") for i in range(MAX_KEYS + 1)))
    assert len(read(*(rsa(kid=f"k{i}") for i in range(MAX_KEYS))).keys) == MAX_KEYS


def test_a_private_key_in_a_set_is_not_kept() -> None:
    private = ISSUER.keys["RS256"].as_dict(private=True)
    found = read({**private, "kid": "p"}).find("RS256", "p")
    assert found is not None
    assert not found.key.is_private


@given(st.binary(max_size=200))
def test_reading_never_breaks(data: bytes) -> None:
    with pytest.raises(KeySetError):
        read_key_set(data)


@pytest.mark.parametrize("line", ["ann", "user:ann", "jti:", "sub"])
def test_a_denial_of_another_form_is_told(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        read_denials(f"jti:a\n{line}\n")
