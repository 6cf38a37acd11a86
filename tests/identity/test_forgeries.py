"""Forged credentials, all of them, against the stage as a worker builds it: none is accepted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.verdict import Continue
from support import bodies
from support.forgeries import Forger, Forgery
from support.parts import Bench, chat_exchange, make_bench
from support.signatures import BATCH, ROBOT, SECRET, hmac_header, rfc9421_headers
from support.tokens import ALGORITHMS, TokenIssuer, issuer_section

BODY = bodies.chat()
COUNT = 5_000


def sections(folder: Path, issuer: TokenIssuer) -> dict[str, Any]:
    """A configuration in which every kind of credential is taken."""
    (folder / "jwks.json").write_bytes(issuer.key_set())
    (folder / "batch").write_text(SECRET)
    return {
        "server": {
            "workers": 2,
            "tls": {"certificate_file": "c", "key_file": "k", "client_ca_file": "ca"},
        },
        "identity": {
            "pepper_file": "run/pepper",
            "issuers": [issuer_section(jwks_file=str(folder / "jwks.json"))],
            "signed": {"signers": [BATCH, ROBOT]},
            "certificates": {
                "workloads": [
                    {
                        "id": "apps",
                        "spiffe_id": "spiffe://apps.example/ns/{tenant}/sa/{application}",
                        "tenants": ["acme"],
                        "roles": ["developer"],
                    }
                ]
            },
        },
    }


@pytest.fixture(scope="module")
def issuer() -> TokenIssuer:
    return TokenIssuer()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, issuer: TokenIssuer) -> Bench:
    folder = tmp_path_factory.mktemp("forgeries")
    return make_bench(folder, **sections(folder, issuer))


def arrived(forgery: Forgery) -> Exchange:
    """The request as the wire hands it on: the last of repeated headers, and their names."""
    names = Counter(name for name, _ in forgery.headers)
    exchange = chat_exchange(headers=dict(forgery.headers))
    exchange.repeated_headers = frozenset(name for name, count in names.items() if count > 1)
    return exchange


async def is_accepted(bench: Bench, exchange: Exchange, body: bytes) -> bool:
    stage = bench.stage("identify")
    try:
        if not isinstance(await stage.request_headers(exchange), Continue):
            return False
        if not isinstance(await stage.request_body(exchange, body), Continue):
            return False
    except RequestError:
        return False
    return exchange.permit is not None


async def test_good_credentials_of_every_kind_are_accepted(
    bench: Bench, issuer: TokenIssuer
) -> None:
    """What the forgeries are made from is good; so it is the forging that is refused."""
    good: list[list[tuple[str, str]]] = [
        *([("authorization", f"Bearer {issuer.token(a)}")] for a in ALGORITHMS),
        [("authorization", hmac_header(BODY, nonce="good-0123456789ab"))],
        list(rfc9421_headers(BODY, nonce="good-0123456789ab").items()),
    ]
    for headers in good:
        assert await is_accepted(bench, arrived(Forgery("", headers, BODY)), BODY), headers
    exchange = chat_exchange()
    exchange.peer_uri = "spiffe://apps.example/ns/acme/sa/chatbot"
    assert await is_accepted(bench, exchange, BODY)


async def test_no_forgery_is_accepted(bench: Bench, issuer: TokenIssuer) -> None:
    forgeries = list(Forger(issuer, BODY, SECRET).all())
    accepted = [
        forgery for forgery in forgeries if await is_accepted(bench, arrived(forgery), forgery.body)
    ]
    assert accepted == []
    kinds = Counter(forgery.kind for forgery in forgeries)
    print(f"{len(forgeries)} forged credentials, 0 accepted: {dict(kinds)}")
    assert len(forgeries) >= COUNT


async def test_a_replay_is_refused_by_every_worker(
    bench: Bench, issuer: TokenIssuer, tmp_path: Path
) -> None:
    value = hmac_header(BODY, nonce="replay-0123456789")
    headers = rfc9421_headers(BODY, nonce="replay-0123456789")
    for credential in ([("authorization", value)], list(headers.items())):
        forgery = Forgery("replay", credential, BODY)
        assert await is_accepted(bench, arrived(forgery), BODY)
        for _ in range(3):
            exchange = arrived(forgery)
            assert not await is_accepted(bench, exchange, BODY)
