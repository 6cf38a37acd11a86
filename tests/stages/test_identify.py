"""identify: who has a key gets a permit, and nobody else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pytest

from gateway_extproc.config.model import AbuseRule
from gateway_extproc.core.errors import Refusal, RequestError
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Permit, Proven, Tenant
from gateway_extproc.core.secret import Secret
from gateway_extproc.core.verdict import Continue, Respond
from gateway_extproc.identity.abuse import AbuseWatch
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


# ---------------------------------------------------------- what the request says itself


def narrowed(*claims: Proven, **options: Any) -> Identify:
    directory = Directory(SNAPSHOT.roles, FixedTenants(SNAPSHOT.tenants))
    return Identify([Claims(claim) for claim in claims], directory, **options)


async def permitted(stage: Identify, exchange: Exchange) -> Permit:
    assert isinstance(await stage.request_headers(exchange), Continue)
    assert exchange.permit is not None
    return exchange.permit


@pytest.mark.parametrize(
    ("sent", "classes"),
    [
        (None, {"standard"}),
        ("regulated", {"standard", "regulated"}),
        ("standard", {"standard"}),
        ("health, regulated", {"standard", "health", "regulated"}),
    ],
)
async def test_a_request_adds_data_classes_and_takes_none_away(
    sent: str | None, classes: set[str]
) -> None:
    headers = {} if sent is None else {"x-class": sent}
    permit = await permitted(narrowed(proven(), class_header="x-class"), exchange_with(headers))
    assert permit.data_classes == classes


def exchange_with(headers: dict[str, str]) -> Exchange:
    return chat_exchange(headers=headers)


@pytest.mark.parametrize("sent", ["", "Regulated", "*", "a b", "a,,b", "é", "a" * 64])
async def test_a_data_class_that_is_no_name_is_refused(sent: str) -> None:
    stage = narrowed(proven(), class_header="x-class")
    with pytest.raises(RequestError, match="x-class"):
        await stage.request_headers(exchange_with({"x-class": sent}))


async def test_two_headers_of_data_classes_are_refused() -> None:
    exchange = exchange_with({"x-class": "standard"})
    exchange.repeated_headers = frozenset({"x-class"})
    with pytest.raises(RequestError):
        await narrowed(proven(), class_header="x-class").request_headers(exchange)
    assert exchange.permit is None


async def test_without_configuration_no_header_counts() -> None:
    headers = {"x-class": "regulated", "x-app": "other"}
    permit = await permitted(narrowed(proven()), exchange_with(headers))
    assert permit.data_classes == {"standard"}
    assert permit.principal.application == "app"


async def test_the_header_names_the_application_only_where_the_credential_does_not() -> None:
    headers = {"x-app": "billing"}
    open_ = narrowed(proven(application=""), application_header="x-app")
    fixed = narrowed(proven(), application_header="x-app")
    assert (await permitted(open_, exchange_with(headers))).principal.application == "billing"
    assert (await permitted(fixed, exchange_with(headers))).principal.application == "app"


@pytest.mark.parametrize("sent", [None, "", "a b", "é", "a" * 129])
async def test_an_application_that_is_no_name_is_none(sent: str | None) -> None:
    headers = {} if sent is None else {"x-app": sent}
    exchange = exchange_with(headers)
    stage = narrowed(proven(application=""), application_header="x-app")
    verdict = await stage.request_headers(exchange)
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert verdict.refusal.reason == "incomplete_identity"


async def test_the_class_of_an_application_is_added_to_its_tenants() -> None:
    tenants = {"acme": Tenant("acme", "standard", {"ward": "health"})}
    stage = Identify(
        [Claims(proven(application="ward"))], Directory(SNAPSHOT.roles, FixedTenants(tenants))
    )
    assert (await permitted(stage, chat_exchange())).data_classes == {"standard", "health"}


async def test_a_suspended_tenant_is_refused_and_one_that_comes_back_is_not() -> None:
    tenants = FixedTenants({"acme": Tenant("acme", suspended=True)})
    stage = Identify([Claims(proven())], Directory(SNAPSHOT.roles, tenants))
    verdict = await stage.request_headers(chat_exchange())
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert verdict.refusal.reason == "tenant_suspended"
    tenants._tenants = {"acme": Tenant("acme")}
    assert isinstance(await stage.request_headers(chat_exchange()), Respond), "still remembered"
    tenants.version += 1
    assert isinstance(await stage.request_headers(chat_exchange()), Continue)


# ------------------------------------------------------------------------------- abuse


async def test_an_abused_credential_is_refused_and_recorded_by_name() -> None:
    rule = AbuseRule.model_validate(
        {"id": "burst", "signal": "volume", "threshold": 1, "action": "throttle"}
    )
    watch = AbuseWatch([rule], 1, FakeClock().now_s, lambda key_id, seconds, reason: None)
    stage = narrowed(proven(), abuse=watch)
    assert isinstance(await stage.request_headers(chat_exchange()), Continue)
    exchange = chat_exchange()
    verdict = await stage.request_headers(exchange)
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert (verdict.refusal.reason, verdict.refusal.rule) == ("credential_throttled", "burst")
    assert exchange.permit is not None
    assert [(e.category, e.subject, e.rule) for e in exchange.events] == [("abuse", "c-1", "burst")]


async def test_refused_credentials_count_for_their_address_and_missing_ones_do_not() -> None:
    rule = AbuseRule.model_validate(
        {"id": "guess", "signal": "failures", "threshold": 2, "action": "throttle"}
    )
    watch = AbuseWatch([rule], 1, FakeClock().now_s, lambda key_id, seconds, reason: None)
    keys = ApiKeys(FixedKeys(SNAPSHOT.keys), Secret(PEPPER), FakeClock(0).now_s)
    directory = Directory(SNAPSHOT.roles, FixedTenants(SNAPSHOT.tenants))
    stage = Identify([keys], directory, abuse=watch)

    async def reason(key: str | None) -> str:
        headers = {"x-forwarded-for": "192.0.2.7"} | ({} if key is None else {"x-api-key": key})
        verdict = await stage.request_headers(chat_exchange(headers=headers))
        if isinstance(verdict, Continue):
            return ""
        assert isinstance(verdict, Respond)
        assert verdict.refusal is not None
        return verdict.refusal.reason

    assert [await reason(None) for _ in range(5)] == ["missing_api_key"] * 5
    assert [await reason("nonsense") for _ in range(3)] == ["invalid_api_key"] * 3
    assert await reason(ANN) == "credential_throttled"
