"""RFC 9421 signatures: what another implementation signs verifies, nothing else does."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPSignatureKeyResolver,
    algorithms,
)
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.proofs import Signer
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.identity import Proven
from gateway_extproc.identity.httpsig import (
    EMPTY_SHA256,
    MessageSignatureAuthenticator,
    read_content_digest,
    read_input,
    read_signature,
)
from support.parts import chat_exchange
from support.signatures import BATCH, PRIVATE, ROBOT, rfc9421_headers

NOW_S = 1_800_000_000
BODY = b'{"model":"small"}'


def authenticator(now_s: float = NOW_S) -> MessageSignatureAuthenticator:
    signers = [Signer.model_validate_json(orjson.dumps(entry)) for entry in (BATCH, ROBOT)]
    return MessageSignatureAuthenticator(signers, 60.0, lambda: now_s)


def good(**changed: Any) -> dict[str, str]:
    return rfc9421_headers(BODY, **{"created": NOW_S, **changed})


def ask(headers: dict[str, str], now_s: float = NOW_S, **fields: Any) -> object:
    return authenticator(now_s).authenticate(chat_exchange(headers=headers, **fields))


def refused(answer: object) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.rule or ""


def test_a_good_signature_proves_its_signer() -> None:
    proven = ask(good())
    assert isinstance(proven, Proven)
    assert (proven.tenant, proven.user, proven.application) == ("acme", "robot-user", "default")
    assert (proven.method, proven.credential_id) == ("http_signature", "robot")
    assert proven.body_sha256 == hashlib.sha256(BODY).digest()
    assert proven.nonce is not None
    assert proven.nonce.until_s == NOW_S + 61


@dataclass
class Message:
    """A request as the other implementation wants it."""

    method: str
    url: str
    headers: dict[str, str]


class Keys(HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id: str) -> Any:
        return PRIVATE

    def resolve_public_key(self, key_id: str) -> Any:
        return PRIVATE.public_key()


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        ("/v1/chat/completions", ("@method", "@path", "content-digest")),
        ("/v1/chat/completions?a=b&c=%20", ("@method", "@path", "@query", "content-digest")),
        ("/v1/chat/completions?a=b", ("content-digest", "@request-target", "@method")),
        ("/v1/messages", ("@method", "@authority", "@path", "content-type", "content-digest")),
    ],
)
def test_what_another_implementation_signs_is_accepted(path: str, covered: tuple[str, ...]) -> None:
    headers = {"content-type": "application/json", "content-digest": good()["content-digest"]}
    message = Message("POST", f"https://gateway.example{path}", dict(headers))
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=Keys())
    signer.sign(
        message,
        key_id="robot",
        created=datetime.datetime.fromtimestamp(NOW_S),
        nonce="nonce-of-another-one",
        label="sig",
        covered_component_ids=covered,
        body=BODY,
        use_existing_digest=True,
    )
    sent = {name.lower(): value for name, value in message.headers.items()}
    answer = ask({**sent, ":authority": "gateway.example"}, path=path)
    assert isinstance(answer, Proven), answer


def test_without_signature_headers_others_are_asked() -> None:
    assert ask({"authorization": "Bearer x"}) is None


@pytest.mark.parametrize("missing", ["signature", "signature-input", "content-digest"])
def test_a_part_that_is_missing_is_no_way_around(missing: str) -> None:
    headers = good()
    del headers[missing]
    assert refused(ask(headers)).startswith("signed.")


def test_a_request_without_body_needs_no_digest() -> None:
    headers = rfc9421_headers(
        b"", created=NOW_S, method="GET", path="/v1/models", components=("@method", "@path")
    )
    del headers["content-digest"]
    exchange = chat_exchange("/v1/models", method="GET", headers=headers)
    assert refused(authenticator().authenticate(exchange)) == "signed.components"
    exchange.headers_end_stream = True
    proven = authenticator().authenticate(exchange)
    assert isinstance(proven, Proven)
    assert proven.body_sha256 == EMPTY_SHA256


@pytest.mark.parametrize(
    "components",
    [
        ("@method", "@path"),
        ("@path", "content-digest"),
        ("@method", "content-digest"),
        ("@method", "@query", "content-digest"),
        ("@method", "@path", "content-digest", "x-absent"),
        ("@method", "@path", "content-digest", "@status"),
        ("@method", "@path", "content-digest", "@target-uri"),
        ("@method", "@method", "@path", "content-digest"),
        (),
    ],
)
def test_a_signature_that_covers_too_little_or_the_unknown_is_refused(
    components: tuple[str, ...],
) -> None:
    assert refused(ask(good(components=components))) in ("signed.components", "signed.form")


def test_a_query_must_be_covered() -> None:
    path = "/v1/chat/completions?x=1"
    assert refused(ask(good(path=path), path=path)) == "signed.components"


def test_a_covered_header_that_came_twice_is_refused() -> None:
    headers = good(components=("@method", "@path", "content-digest", "x-a"), **{"x-a": "1"})
    exchange = chat_exchange(headers=headers)
    exchange.repeated_headers = frozenset({"x-a"})
    assert refused(authenticator().authenticate(exchange)) == "signed.components"


@pytest.mark.parametrize(
    "changed",
    [
        {"key": Ed25519PrivateKey.generate()},
        {"keyid": "nobody"},
        {"keyid": "batch"},
        {"method": "GET"},
        {"path": "/v1/messages"},
    ],
)
def test_what_was_not_signed_is_refused(changed: dict[str, Any]) -> None:
    assert refused(ask(good(**changed))) == "signed.signature"


@pytest.mark.parametrize("offset", [-61, 61, 10**6])
def test_a_time_outside_the_window_is_refused(offset: int) -> None:
    assert refused(ask(good(created=NOW_S + offset))) == "signed.time"


def test_a_signature_ends_when_it_says_so() -> None:
    headers = good(more=f";expires={NOW_S + 5}")
    assert isinstance(ask(headers, NOW_S + 4.9), Proven)
    assert refused(ask(headers, NOW_S + 5)) == "signed.time"


@pytest.mark.parametrize(
    "change",
    [
        ("created=1800000000", "created=1800000000.0"),
        ("created=1800000000;", ""),
        ('nonce="nonce-0123456789";', ""),
        (';keyid="robot"', ""),
        ('keyid="robot"', 'keyid="robot";keyid="robot"'),
        ('keyid="robot"', 'keyid="robot";alg="hmac-sha256"'),
        ('keyid="robot"', 'keyid="robot";alg=""'),
        ('nonce="nonce-0123456789"', 'nonce="short"'),
        ('"@method"', '"@method";req'),
        ('"content-digest"', '"content-digest";bs'),
        ("sig1=", "sig2="),
        ("sig1=", "sig1=, sig1="),
        ("(", "( "),
        (")", ") "),
    ],
)
def test_another_form_is_refused(change: tuple[str, str]) -> None:
    headers = good()
    assert change[0] in headers["signature-input"]
    headers["signature-input"] = headers["signature-input"].replace(*change, 1)
    assert refused(ask(headers)) in ("signed.form", "signed.signature")


def test_two_signatures_are_refused() -> None:
    headers = good()
    for name in ("signature", "signature-input"):
        headers[name] = f"{headers[name]}, {headers[name].replace('sig1', 'sig2')}"
    assert refused(ask(headers)) == "signed.form"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:", True),
        ("sha-512=:AAAA:, sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:", True),
        ("sha-512=:AAAA:", False),
        ("sha-256=:AAAA:", False),
        ("sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzel=:", False),
        ("sha-256=uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=", False),
        ("sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:" * 2, False),
        ("", False),
    ],
)
def test_content_digest_is_read_strictly(value: str, found: bool) -> None:
    assert (read_content_digest(value) is not None) is found


@given(st.integers(0, 10_000), st.characters(max_codepoint=255), st.booleans())
def test_no_changed_character_passes(at: int, character: str, in_input: bool) -> None:
    headers = good()
    name = "signature-input" if in_input else "signature"
    value = headers[name]
    at %= len(value)
    headers[name] = value[:at] + character + value[at + 1 :]
    if headers[name] != value:
        assert not isinstance(ask(headers), Proven)


@given(st.text(), st.text(), st.text())
def test_reading_never_breaks(first: str, second: str, third: str) -> None:
    read_input(f"sig1={first}")
    read_signature(f"sig1=:{second}:")
    read_content_digest(third)
    ask({"signature-input": first, "signature": second, "content-digest": third})
