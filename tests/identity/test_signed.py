"""Requests signed with a shared secret: exactly what was signed, by who knows the secret, now."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.proofs import Signer
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.identity import Proven
from gateway_extproc.core.secret import Secret
from gateway_extproc.identity.signed import (
    HmacAuthenticator,
    SignedParts,
    authorization,
    read_authorization,
)
from support.parts import chat_exchange
from support.signatures import BATCH, ROBOT, SECRET, hmac_header

NOW_S = 1_800_000_000
BODY = b'{"model":"small"}'


class Secrets:
    def __init__(self, **secrets: str) -> None:
        self.secrets = secrets

    def get(self, provider: str) -> Secret:
        return Secret(self.secrets[provider])


def authenticator(now_s: float = NOW_S, secret: str = SECRET) -> HmacAuthenticator:
    signers = [Signer.model_validate_json(orjson.dumps(entry)) for entry in (BATCH, ROBOT)]
    return HmacAuthenticator(signers, Secrets(batch=secret), 60.0, lambda: now_s)


def ask(value: str, stage: HmacAuthenticator | None = None, **fields: Any) -> object:
    stage = stage or authenticator()
    return stage.authenticate(chat_exchange(headers={"authorization": value}, **fields))


def good(**changed: Any) -> str:
    return hmac_header(BODY, **{"time_s": NOW_S, **changed})


def refused(answer: object) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.rule or ""


def test_a_good_signature_proves_its_signer() -> None:
    proven = ask(good())
    assert isinstance(proven, Proven)
    assert (proven.tenant, proven.user, proven.application) == ("acme", "batch-user", "nightly")
    assert (proven.roles, proven.method, proven.credential_id) == (("developer",), "hmac", "batch")
    assert proven.body_sha256 == hashlib.sha256(BODY).digest()
    assert proven.nonce is not None
    assert proven.nonce.until_s == NOW_S + 61


def test_two_requests_of_one_signer_prove_the_same() -> None:
    first, second = ask(good()), ask(good(nonce="another-nonce-012"))
    assert first == second
    assert isinstance(first, Proven)
    assert isinstance(second, Proven)
    assert first.nonce != second.nonce


def test_the_helper_for_clients_signs_what_the_documentation_says() -> None:
    digest = hashlib.sha256(BODY).digest()
    parts = SignedParts("batch", NOW_S, "nonce-0123456789", digest)
    assert authorization(SECRET, "POST", "/v1/chat/completions", parts) == good()


@pytest.mark.parametrize("value", ["", "Bearer x", "Basic x", "gw1-hmac-sha256 key=batch"])
def test_another_scheme_is_left_to_others(value: str) -> None:
    assert ask(value) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"secret": "t" * 40},
        {"key": "nobody"},
        {"key": "robot"},
        {"method": "GET"},
        {"path": "/v1/messages"},
        {"path": "/v1/chat/completions?x=1"},
    ],
)
def test_what_was_not_signed_is_refused(changed: dict[str, Any]) -> None:
    assert refused(ask(good(**changed))) == "signed.signature"


def test_an_unknown_key_and_a_wrong_secret_look_the_same() -> None:
    assert ask(good(key="nobody")) == ask(good(secret="t" * 40))


@pytest.mark.parametrize("offset", [-60, -59, 0, 59, 60])
def test_a_time_within_the_window_is_accepted(offset: int) -> None:
    assert isinstance(ask(good(time_s=NOW_S + offset)), Proven)


@pytest.mark.parametrize("offset", [-(10**8), -61, 61, 10**8])
def test_a_time_outside_the_window_is_refused(offset: int) -> None:
    answer = ask(good(time_s=NOW_S + offset))
    assert isinstance(answer, Refusal)
    assert answer.reason == "expired_signature"


def test_only_who_has_the_secret_learns_of_the_clock() -> None:
    answer = ask(good(time_s=0, secret="t" * 40))
    assert isinstance(answer, Refusal)
    assert answer.reason == "invalid_signature"


def test_the_nonce_is_remembered_as_long_as_the_signature_counts() -> None:
    value = good(time_s=NOW_S + 60)
    proven = ask(value)
    assert isinstance(proven, Proven)
    assert proven.nonce is not None
    late = authenticator(now_s=proven.nonce.until_s)
    assert refused(ask(value, late)) == "signed.time"


def test_a_secret_that_could_be_guessed_is_none() -> None:
    short = "s" * 31
    assert refused(ask(good(secret=short), authenticator(secret=short))) == "signed.signature"


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.replace("key=batch", "key=BATCH"),
        lambda v: v.replace(", ", ","),
        lambda v: v.replace(", ", ",  "),
        lambda v: v + " ",
        lambda v: v + ", key=batch",
        lambda v: v.replace("nonce=nonce-0123456789", "nonce=short"),
        lambda v: v.replace("nonce=nonce-0123456789", "nonce=" + "n" * 65),
        lambda v: v.replace("time=1800000000", "time=+1800000000"),
        lambda v: v.replace("time=1800000000", "time=1800000000.0"),
        lambda v: v.replace("time=1800000000", "time=\u0661800000000"),
        lambda v: v[:-1],
        lambda v: v[:-64] + v[-64:].upper(),
        lambda v: "GW1-HMAC-SHA256",
        lambda v: "GW1-HMAC-SHA256X " + v[16:],
        lambda v: v * 1000,
    ],
)
def test_another_form_is_refused(change: Any) -> None:
    assert refused(ask(change(good()))) in ("signed.form", "signed.signature")


@given(st.integers(0, 10_000), st.characters())
def test_no_changed_character_passes(at: int, character: str) -> None:
    value = good()
    at %= len(value)
    changed = value[:at] + character + value[at + 1 :]
    if changed != value:
        assert not isinstance(ask(changed), Proven)


@given(st.text())
def test_reading_never_breaks(text: str) -> None:
    read_authorization(text)
    ask(f"GW1-HMAC-SHA256 {text}")
