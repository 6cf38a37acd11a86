"""identify: who has a key gets a permit, and nobody else."""

from __future__ import annotations

import pytest

from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.secret import Secret
from gateway_extproc.core.verdict import Continue, Respond
from gateway_extproc.stages.identify import Identify
from support.clock import FakeClock
from support.config import ANN, BOB, OLD, PEPPER, api_key, make_snapshot
from support.parts import chat_exchange

SNAPSHOT = make_snapshot()
END_OF_OLD_S = 1_577_923_200.0
"""2020-01-02, midnight UTC."""


def identify(now_s: float = 0.0) -> Identify:
    return Identify(SNAPSHOT.keys, Secret(PEPPER), FakeClock(now_s).now_s)


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
    stage = Identify(SNAPSHOT.keys, Secret("another-pepper"), FakeClock().now_s)
    assert isinstance(await stage.request_headers(exchange), Respond)


async def test_no_refusal_repeats_the_key() -> None:
    for key in (api_key("nobody01"), ANN[:-1] + "x", "planted-4711"):
        refusal = await refusal_of(chat_exchange(headers={"x-api-key": key}))
        assert key not in repr(refusal)
