"""identify: who has a key gets a permit, and nobody else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pytest

from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Proven
from gateway_extproc.core.secret import Secret
from gateway_extproc.core.verdict import Continue, Respond
from gateway_extproc.identity.apikeys import INVALID, ApiKeys
from gateway_extproc.identity.directory import Directory
from gateway_extproc.stages.identify import Identify
from gateway_extproc.stores.memory import FixedKeys, FixedTenants
from support.clock import FakeClock
from support.config import ANN, BOB, OLD, PEPPER, api_key, make_snapshot
from support.parts import chat_exchange

SNAPSHOT = make_snapshot()
END_OF_OLD_S = 1_577_923_200.0
"""2020-01-02, midnight UTC."""


def with_keys(keys: ApiKeys) -> Identify:
    return Identify([keys], Directory(SNAPSHOT.roles, FixedTenants(SNAPSHOT.tenants)))


def identify(now_s: float = 0.0) -> Identify:
    return with_keys(ApiKeys(FixedKeys(SNAPSHOT.keys), Secret(PEPPER), FakeClock(now_s).now_s))


async def refusal_of(exchange: Exchange, now_s: float = 0.0) -> Refusal:
    verdict = await identify(now_s).request_headers(exchange)
    assert isinstance(verdict, Respond)
    assert exchange.permit is None
    assert verdict.refusal is not None
    assert verdict.refusal.status == 401
    return verdict.refusal


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {ANN}"},
        {"authorization": f"bearer {ANN}"},
        {"authorization": f"BEARER   {ANN} "},
        {"authorization": ANN},
        {"x-api-key": ANN},
        {"api-key": ANN},
        {"x-api-key": ANN, "authorization": f"Bearer {ANN}", "api-key": ANN},
    ],
)
async def test_every_spelling_of_a_good_key_is_understood(headers: dict[str, str]) -> None:
    exchange = chat_exchange(headers=headers)
    assert isinstance(await identify().request_headers(exchange), Continue)
    assert exchange.permit is not None
    principal = exchange.permit.principal
    assert (principal.tenant.id, principal.user, principal.method) == ("acme", "ann", "api_key")
    assert principal.credential_id == "ann00001"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer  "},
        {"x-api-key": ""},
    ],
)
async def test_no_key_is_told_as_such(headers: dict[str, str]) -> None:
    assert (await refusal_of(chat_exchange(headers=headers))).reason == "missing_api_key"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Basic {ANN}"},
        {"authorization": f"Bearer {ANN}, Bearer {BOB}"},
        {"x-api-key": ANN[:-1]},
        {"x-api-key": ANN + "0"},
        {"x-api-key": "sk-of-somebody-else"},
        {"x-api-key": api_key("nobody01")},
        {"x-api-key": api_key("ann00001", seed=8)},
        {"x-api-key": "\u00e9" * 20},
    ],
)
async def test_what_is_no_known_key_is_invalid(headers: dict[str, str]) -> None:
    assert (await refusal_of(chat_exchange(headers=headers))).reason == "invalid_api_key"


async def test_an_unknown_id_a_wrong_secret_and_a_wrong_checksum_look_the_same() -> None:
    last = "0" if ANN[-1] != "0" else "1"
    keys = [api_key("nobody01"), api_key("ann00001", seed=8), ANN[:-1] + last, "nonsense"]
    refusals = {await refusal_of(chat_exchange(headers={"x-api-key": key})) for key in keys}
    assert len(refusals) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {ANN}", "x-api-key": BOB},
        {"authorization": f"Bearer {ANN}", "api-key": "nonsense"},
        {"x-api-key": ANN, "authorization": ""},
    ],
)
async def test_different_credentials_are_ambiguous(headers: dict[str, str]) -> None:
    assert (await refusal_of(chat_exchange(headers=headers))).reason == "ambiguous_credential"


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
async def test_a_repeated_credential_header_is_ambiguous(name: str) -> None:
    exchange = chat_exchange(headers={name: ANN})
    exchange.repeated_headers = frozenset({name})
    assert (await refusal_of(exchange)).reason == "ambiguous_credential"


async def test_another_repeated_header_does_no_harm() -> None:
    exchange = chat_exchange(headers={"x-api-key": ANN})
    exchange.repeated_headers = frozenset({"accept", "cookie"})
    assert isinstance(await identify().request_headers(exchange), Continue)


async def test_a_key_is_good_to_the_last_instant_of_its_last_day() -> None:
    exchange = chat_exchange(headers={"x-api-key": OLD})
    stage = identify(END_OF_OLD_S - 0.001)
    assert isinstance(await stage.request_headers(exchange), Continue)
    late = chat_exchange(headers={"x-api-key": OLD})
    assert (await refusal_of(late, END_OF_OLD_S)).reason == "expired_api_key"


async def test_whether_a_key_has_expired_is_told_only_to_who_has_it() -> None:
    exchange = chat_exchange(headers={"x-api-key": api_key("old00001", seed=8)})
    assert (await refusal_of(exchange, END_OF_OLD_S)).reason == "invalid_api_key"


async def test_a_key_of_another_pepper_is_invalid() -> None:
    exchange = chat_exchange(headers={"x-api-key": ANN})
    stage = with_keys(
        ApiKeys(FixedKeys(SNAPSHOT.keys), Secret("another-pepper"), FakeClock().now_s)
    )
    assert isinstance(await stage.request_headers(exchange), Respond)


async def test_no_refusal_repeats_the_key() -> None:
    for key in (api_key("nobody01"), ANN[:-1] + "x", "planted-4711"):
        refusal = await refusal_of(chat_exchange(headers={"x-api-key": key}))
        assert key not in repr(refusal)


# ------------------------------------------------------------- a list of authenticators


@dataclass
class Claims:
    """An authenticator that says the same of every request."""

    claim: Proven | Refusal | None

    def authenticate(self, exchange: Exchange) -> Proven | Refusal | None:
        return self.claim


def proven(**fields: Any) -> Proven:
    return Proven(**{**BASE, **fields})


BASE: dict[str, Any] = {
    "tenant": "acme",
    "user": "ann",
    "application": "app",
    "roles": ("developer",),
    "method": "test",
    "credential_id": "c-1",
}


def stage_of(*claims: Proven | Refusal | None) -> Identify:
    directory = Directory(SNAPSHOT.roles, FixedTenants(SNAPSHOT.tenants))
    return Identify([Claims(claim) for claim in claims], directory)


async def test_whoever_knows_the_credential_decides() -> None:
    exchange = chat_exchange()
    assert isinstance(await stage_of(None, proven(), None).request_headers(exchange), Continue)
    assert exchange.permit is not None
    assert exchange.permit.principal.method == "test"


@pytest.mark.parametrize("second", [proven(), proven(user="bob"), INVALID])
@pytest.mark.parametrize("first", [proven(), INVALID])
async def test_two_credentials_are_ambiguous_even_when_both_are_good(
    first: Proven | Refusal, second: Proven | Refusal
) -> None:
    exchange = chat_exchange()
    verdict = await stage_of(first, second).request_headers(exchange)
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert verdict.refusal.reason == "ambiguous_credential"
    assert exchange.permit is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"tenant": ""}, "incomplete_identity"),
        ({"user": ""}, "incomplete_identity"),
        ({"application": ""}, "incomplete_identity"),
        ({"tenant": "nobody"}, "unknown_tenant"),
    ],
)
async def test_without_tenant_user_and_application_nobody_passes(
    fields: dict[str, Any], reason: str
) -> None:
    exchange = chat_exchange()
    verdict = await stage_of(proven(**fields)).request_headers(exchange)
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert (verdict.refusal.reason, verdict.refusal.status) == (reason, 403)
    assert exchange.permit is None


@pytest.mark.parametrize(("body", "passes"), [(b"signed", True), (b"signed ", False), (b"", False)])
async def test_a_body_must_be_the_one_that_was_signed(body: bytes, *, passes: bool) -> None:
    stage = stage_of(proven(body_sha256=hashlib.sha256(b"signed").digest()))
    exchange = chat_exchange()
    assert isinstance(await stage.request_headers(exchange), Continue)
    verdict = await stage.request_body(exchange, body)
    assert isinstance(verdict, Continue) is passes


@pytest.mark.parametrize(
    ("forwarded", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("10.0.0.1, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.1,2001:db8::1", "2001:db8::1"),
        ("", ""),
        ("10.0.0.1,", ""),
    ],
)
async def test_the_last_address_is_envoys_own_word(forwarded: str, source: str) -> None:
    exchange = chat_exchange(headers={"x-forwarded-for": forwarded})
    await stage_of(proven()).request_headers(exchange)
    assert exchange.source == source


async def test_two_headers_of_addresses_say_nothing() -> None:
    exchange = chat_exchange(headers={"x-forwarded-for": "192.0.2.7"})
    exchange.repeated_headers = frozenset({"x-forwarded-for"})
    await stage_of(proven()).request_headers(exchange)
    assert exchange.source == ""
