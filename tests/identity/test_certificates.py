"""Client certificates: well-formed SPIFFE ids that a rule knows, and nothing that a header says."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.proofs import PeerCertificates
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.identity import Proven
from gateway_extproc.identity.certificates import (
    CertificateAuthenticator,
    read_forwarded,
    read_spiffe_id,
)
from support.parts import chat_exchange

RULES: list[dict[str, Any]] = [
    {
        "id": "batch",
        "spiffe_id": "spiffe://apps.example/ns/platform/sa/batch",
        "tenant": "acme",
        "user": "batch-user",
        "roles": ["application"],
    },
    {
        "id": "people",
        "spiffe_id": "spiffe://apps.example/user/*/{user}",
        "tenant": "beta",
        "roles": ["developer"],
    },
    {
        "id": "apps",
        "spiffe_id": "spiffe://apps.example/ns/{tenant}/sa/{application}",
        "tenants": ["acme", "team-*"],
        "roles": ["application"],
    },
]


def authenticator(source: str = "connection") -> CertificateAuthenticator:
    section = orjson.dumps({"source": source, "workloads": RULES})
    return CertificateAuthenticator(PeerCertificates.model_validate_json(section))


def ask(uri: str, headers: dict[str, str] | None = None, source: str = "connection") -> object:
    exchange = chat_exchange(headers=headers)
    exchange.peer_uri = uri
    return authenticator(source).authenticate(exchange)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ns/platform/sa/batch", ("acme", "batch-user", "default", "application")),
        ("user/eu/ann", ("beta", "ann", "default", "developer")),
        ("ns/acme/sa/bot", ("acme", "ns/acme/sa/bot", "bot", "application")),
        ("ns/team-7/sa/bot", ("team-7", "ns/team-7/sa/bot", "bot", "application")),
    ],
)
def test_the_first_rule_that_fits_decides(path: str, expected: tuple[str, ...]) -> None:
    proven = ask(f"spiffe://apps.example/{path}")
    assert isinstance(proven, Proven)
    found = (proven.tenant, proven.user, proven.application, *proven.roles)
    assert found == expected
    assert proven.method == "mtls"


def test_a_connection_without_certificate_proves_nothing() -> None:
    assert ask("") is None


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://apps.example/ns/beta/sa/bot",
        "spiffe://apps.example/ns/acme/sa/bot/x",
        "spiffe://apps.example/ns/acme/sa",
        "spiffe://apps.example/ns/acme/sa/",
        "spiffe://apps.example//ns/acme/sa/bot",
        "spiffe://apps.example/ns/acme/sa/..",
        "spiffe://apps.example/ns/./sa/bot",
        "spiffe://apps.example/ns/%61cme/sa/bot",
        "spiffe://apps.example/ns/acme/sa/bot?x=1",
        "spiffe://apps.example/ns/acme/sa/bot#x",
        "spiffe://user@apps.example/ns/acme/sa/bot",
        "spiffe://apps.example:443/ns/acme/sa/bot",
        "spiffe://APPS.example/ns/acme/sa/bot",
        "spiffe://apps.example.evil/ns/acme/sa/bot",
        "SPIFFE://apps.example/ns/acme/sa/bot",
        "https://apps.example/ns/acme/sa/bot",
        "spiffe://apps.example/ns/acme/sa/b\u043et",
        "spiffe://apps.example/ns/acme/sa/bot\n",
        " spiffe://apps.example/ns/acme/sa/bot",
        "spiffe://apps.example/ns/acme/sa/" + "x" * 2048,
        "spiffe://apps.example/ns/{tenant}/sa/{application}",
        "anything",
    ],
)
def test_an_id_that_no_rule_knows_is_refused(uri: str) -> None:
    answer = ask(uri)
    assert isinstance(answer, Refusal)
    assert answer.reason == "identity_not_mapped"


GOOD = "spiffe://apps.example/ns/acme/sa/bot"


def test_a_header_counts_for_nothing_where_the_connection_speaks() -> None:
    assert ask("", {"x-forwarded-client-cert": f"URI={GOOD}"}) is None


def test_the_header_that_envoy_sets_is_read_where_configured() -> None:
    proven = ask("", {"x-forwarded-client-cert": f"Hash={'0' * 64};URI={GOOD}"}, "header")
    assert isinstance(proven, Proven)
    assert proven.application == "bot"


@pytest.mark.parametrize(
    "value",
    [
        "",
        GOOD,
        f"URI={GOOD},URI={GOOD}",
        f"URI={GOOD};URI={GOOD}",
        f'URI="{GOOD}"',
        f"uri={GOOD}",
        f"Hash=0;URI={GOOD}",
        f'Subject="CN=a;URI={GOOD}"',
        f"URI={GOOD} ",
        f"By=x,By=y;URI={GOOD}",
    ],
)
def test_a_header_of_another_form_proves_nothing(value: str) -> None:
    assert read_forwarded(value) == ""
    assert ask("", {"x-forwarded-client-cert": value}, "header") is None


def test_a_repeated_header_proves_nothing() -> None:
    exchange = chat_exchange(headers={"x-forwarded-client-cert": f"URI={GOOD}"})
    exchange.repeated_headers = frozenset({"x-forwarded-client-cert"})
    assert authenticator("header").authenticate(exchange) is None


@given(st.text())
def test_reading_never_breaks(text: str) -> None:
    assert read_spiffe_id(text) is None
    ask(f"spiffe://apps.example/{text}")
    ask("", {"x-forwarded-client-cert": text}, "header")
