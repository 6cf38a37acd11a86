"""Texts under lock: who can open them, and what happens to those that were changed."""

from __future__ import annotations

import base64
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from google.protobuf import json_format

from gateway_extproc.evidence.log import encode
from gateway_extproc.evidence.sealing import (
    Identity,
    NotOpened,
    PublicKey,
    open_sealed,
    read_identity,
    read_public,
    seal,
    write_public,
)
from gateway_extproc.pb.gateway.v1 import decision_pb2

RITA, CARL, EVE = (Identity(os.urandom(32)) for _ in range(3))
HEAD = {
    "decision_id": "d-1",
    "time": "2026-03-04T05:06:07.000000Z",
    "expires": "2026-04-04T00:00:00Z",
    "rule": "blocked",
    "directions": ["request", "response"],
}
PLAIN = b'{"request":[]}'


def sealed() -> dict[str, Any]:
    readers = [PublicKey("rita", RITA.public), PublicKey("carl", CARL.public)]
    return seal(dict(HEAD), PLAIN, readers, os.urandom)


@pytest.mark.parametrize("identity", [RITA, CARL], ids=["rita", "carl"])
def test_each_named_reviewer_opens_it_alone(identity: Identity) -> None:
    assert open_sealed(sealed(), identity) == PLAIN


def test_another_key_opens_nothing_and_is_told_for_whom_it_is() -> None:
    with pytest.raises(NotOpened, match="sealed for others: carl, rita"):
        open_sealed(sealed(), EVE)


def test_another_key_under_a_readers_name_opens_nothing() -> None:
    line = sealed()
    forged = seal(dict(HEAD), b"", [PublicKey("rita", EVE.public)], os.urandom)
    line["keys"] = forged["keys"]
    with pytest.raises(NotOpened, match="changed"):
        open_sealed(line, EVE)


@pytest.mark.parametrize("field", ["decision_id", "time", "expires", "rule"])
def test_what_stands_beside_the_texts_cannot_be_changed(field: str) -> None:
    line = sealed()
    line[field] = line[field].replace("2", "3").replace("b", "c").replace("d-1", "d-9")
    assert line[field] != HEAD[field]
    with pytest.raises(NotOpened, match="changed"):
        open_sealed(line, RITA)


@pytest.mark.parametrize("field", ["nonce", "sealed"])
def test_a_flipped_bit_is_seen(field: str) -> None:
    line = sealed()
    data = bytearray(base64.b64decode(line[field]))
    data[-1] ^= 1
    line[field] = base64.b64encode(data).decode()
    with pytest.raises(NotOpened, match="changed"):
        open_sealed(line, RITA)


def test_two_seals_of_the_same_share_nothing() -> None:
    first, second = sealed(), sealed()
    for field in ("nonce", "sealed"):
        assert first[field] != second[field]
    assert first["keys"][0]["wrapped"] != second["keys"][0]["wrapped"]
    assert first["keys"][0]["ephemeral"] != first["keys"][1]["ephemeral"]


def test_a_line_fits_its_schema_and_says_nothing_of_the_texts() -> None:
    line = encode(sealed())
    message = json_format.Parse(line, decision_pb2.SealedTexts())
    assert [key.reviewer for key in message.keys] == ["rita", "carl"]
    assert (len(message.nonce), len(message.sealed)) == (12, len(PLAIN) + 16)
    assert b"request:" not in line


def test_others_can_open_it_by_what_the_documentation_says() -> None:
    """A second reading of docs/evidence.md, from primitives, with HKDF written out."""
    line, secret = sealed(), _raw(RITA)
    mine = next(key for key in line["keys"] if key["reviewer"] == "rita")
    ephemeral = base64.b64decode(mine["ephemeral"])
    private = X25519PrivateKey.from_private_bytes(secret)
    public = private.public_key().public_bytes_raw()
    shared = private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    extracted = _hmac(ephemeral + public, shared)
    wrap = _hmac(extracted, b"gateway-extproc texts 1 key\x01")
    wrapped = base64.b64decode(mine["wrapped"])
    key = ChaCha20Poly1305(wrap).decrypt(bytes(12), wrapped, line["decision_id"].encode())
    bound = "\n".join(
        ["gateway-extproc texts 1", line["decision_id"], line["time"], line["expires"],
         line["rule"], ",".join(line["directions"])]
    )  # fmt: skip
    plain = ChaCha20Poly1305(key).decrypt(
        base64.b64decode(line["nonce"]), base64.b64decode(line["sealed"]), bound.encode()
    )
    assert plain == PLAIN


def _raw(identity: Identity) -> bytes:
    return base64.b64decode(identity.written().partition(":")[2])


def _hmac(key: bytes, data: bytes) -> bytes:
    mac = hmac.HMAC(key, hashes.SHA256())
    mac.update(data)
    return mac.finalize()


def test_keys_are_read_as_they_were_written() -> None:
    again = read_identity(f"# a word\n\n{RITA.written()}\n")
    assert again.public == RITA.public
    assert read_public("rita", write_public(RITA.public)).raw == RITA.public


@pytest.mark.parametrize("text", ["", "x25519:AAAA", "x25519-private:AAAA", "a\nb"])
def test_what_is_no_identity_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_identity(text)


def test_an_identity_does_not_print_its_secret() -> None:
    assert RITA.written().partition(":")[2] not in repr(RITA)
