"""Tokens and signed requests through the real Envoy and real workers: good ones, and forgeries."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.forgeries import Forger, Forgery
from support.gateway import RunningGateway, running_gateway, wait_for
from support.issuer_server import KeyServer, key_server
from support.redisserver import RedisServer
from support.signatures import BATCH, ROBOT, SECRET, hmac_header, rfc9421_headers
from support.tokens import ALGORITHMS, TokenIssuer, issuer_section

PATH = "/v1/chat/completions"
BODY = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
).encode()
PER_KIND = 150
COUNT = 1_000
REFUSALS = {400, 401, 403, 431}
"""400 and 431 are Envoy's own: no HTTP, or headers of more than 60 KiB."""


@dataclass
class World:
    """A gateway, an issuer, and the server that publishes its keys."""

    gateway: RunningGateway
    issuer: TokenIssuer
    keys: KeyServer

    def send(
        self, headers: list[tuple[str, str]] | dict[str, str], body: bytes = BODY, path: str = PATH
    ) -> httpx.Response:
        pairs = headers.items() if isinstance(headers, dict) else headers
        with httpx.Client(base_url=self.gateway.base_url, timeout=30) as client:
            return client.post(path, content=body, headers=[*pairs, *JSON])

    def bearer(self, token: str) -> httpx.Response:
        return self.send({"authorization": f"Bearer {token}"})

    def reason(self, answer: httpx.Response) -> str:
        code: str = answer.json()["error"]["code"]
        return code


JSON = (("content-type", "application/json"),)


@contextlib.contextmanager
def running_world(folder: Path, **issuer_changes: Any) -> Iterator[World]:
    issuer = TokenIssuer()
    secret_file = folder / "batch-secret"
    secret_file.write_text(SECRET)
    (folder / "jwks.json").write_bytes(issuer.key_set())
    with key_server(issuer.key_set()) as keys:
        source = {"jwks_file": None, "jwks_url": keys.url, **issuer_changes}

        def change(document: dict[str, Any]) -> None:
            document["identity"]["issuers"] = [issuer_section(**source)]
            document["identity"]["signed"] = {
                "signers": [{**BATCH, "secret_file": str(secret_file)}, ROBOT]
            }

        with running_gateway(folder / "run", change) as gateway:
            world = World(gateway, issuer, keys)
            wait_for(lambda: world.bearer(issuer.token()).status_code == 200, 10, "no keys came")
            yield world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    (folder / "run").mkdir()
    with running_world(folder) as running:
        yield running


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_token_is_served(world: World, algorithm: str) -> None:
    answer = world.bearer(world.issuer.token(algorithm, jti=f"served-{algorithm}"))
    assert answer.status_code == 200, answer.text
    record = world.gateway.record_of(answer.headers["x-request-id"])
    assert (record["tenant"], record["user"], record["application"]) == ("acme", "ann", "chatbot")
    assert record["auth_method"] == "jwt"
    assert record["credential_id"] == f"corp:served-{algorithm}"


def test_why_a_token_was_refused_stands_in_the_record_and_not_in_the_answer(world: World) -> None:
    answer = world.bearer(world.issuer.token(aud="another"))
    assert (answer.status_code, world.reason(answer)) == (401, "invalid_token")
    assert "aud" not in answer.text
    record = world.gateway.record_of(answer.headers["x-request-id"])
    assert "token.audience" in [entry["rule"] for entry in record["trail"] if "rule" in entry]


@pytest.mark.parametrize("kind", ["hmac", "rfc 9421"])
def test_a_signed_request_is_served_once(world: World, kind: str) -> None:
    nonce = secrets.token_urlsafe(16)
    headers = (
        {"authorization": hmac_header(BODY, nonce=nonce)}
        if kind == "hmac"
        else rfc9421_headers(BODY, nonce=nonce)
    )
    first = world.send(headers)
    assert first.status_code == 200, first.text
    record = world.gateway.record_of(first.headers["x-request-id"])
    assert record["user"] == ("batch-user" if kind == "hmac" else "robot-user")
    # Both workers are asked sooner or later; none lets it pass again.
    again = [world.send(headers) for _ in range(20)]
    assert {(a.status_code, world.reason(a)) for a in again} == {(401, "replayed_request")}


@pytest.mark.parametrize("kind", ["hmac", "rfc 9421"])
def test_a_signature_covers_the_body(world: World, kind: str) -> None:
    nonce = secrets.token_urlsafe(16)
    headers = (
        {"authorization": hmac_header(BODY, nonce=nonce)}
        if kind == "hmac"
        else rfc9421_headers(BODY, nonce=nonce)
    )
    answer = world.send(headers, BODY.replace(b"hello", b"jello"))
    assert (answer.status_code, world.reason(answer)) == (401, "body_digest_mismatch")


def test_a_signed_request_without_body_is_served(world: World) -> None:
    value = hmac_header(b"", method="GET", path="/v1/models", nonce=secrets.token_urlsafe(16))
    answer = httpx.get(f"{world.gateway.base_url}/v1/models", headers={"authorization": value})
    assert answer.status_code == 200, answer.text
    headers = rfc9421_headers(
        b"", method="GET", path="/v1/models", components=("@method", "@path"),
        nonce=secrets.token_urlsafe(16),
    )  # fmt: skip
    answer = httpx.get(f"{world.gateway.base_url}/v1/models", headers=headers)
    assert answer.status_code == 200, answer.text


def test_no_provider_sees_a_caller_s_credential(world: World) -> None:
    world.gateway.openai.clear()
    token = world.issuer.token()
    signed = rfc9421_headers(BODY, nonce=secrets.token_urlsafe(16))
    assert world.bearer(token).status_code == 200
    assert world.send(signed).status_code == 200
    for request in world.gateway.openai.requests:
        for name in ("signature", "signature-input", "content-digest"):
            assert request.header(name) is None
        assert token not in repr(request)


def _sendable(forgery: Forgery) -> bool:
    """What an HTTP client can put on the wire at all."""
    return all(
        value.isascii() and value.isprintable() and value == value.strip()
        for _, value in forgery.headers
    )


def test_no_forgery_is_accepted(world: World) -> None:
    world.gateway.openai.clear()
    by_kind: dict[str, list[Forgery]] = defaultdict(list)
    for forgery in Forger(world.issuer, BODY, SECRET).all():
        if _sendable(forgery):
            by_kind[forgery.kind].append(forgery)
    sample = [
        forgery
        for forgeries in by_kind.values()
        for forgery in forgeries[:: max(1, len(forgeries) // PER_KIND)]
    ]
    statuses: Counter[int] = Counter()
    accepted = []
    with httpx.Client(base_url=world.gateway.base_url, timeout=30) as client:
        for forgery in sample:
            headers = [*forgery.headers, *JSON]
            try:
                answer = client.post(PATH, content=forgery.body, headers=headers)
            except httpx.TransportError:
                # Envoy closed the connection on a header that is too large.
                statuses[431] += 1
                continue
            statuses[answer.status_code] += 1
            if answer.status_code not in REFUSALS:
                accepted.append((forgery, answer.status_code))
    assert accepted == []
    assert not world.gateway.openai.requests
    assert not world.gateway.anthropic.requests
    print(f"{len(sample)} forged credentials through Envoy, 0 accepted: {dict(statuses)}")
    assert len(sample) >= COUNT
    assert statuses[401] > COUNT // 2
    assert world.bearer(world.issuer.token()).status_code == 200


def test_whatever_becomes_of_the_issuer_valid_tokens_keep_working(
    tmp_path: Path, record_property: Any
) -> None:
    """Down, garbage, a flood of unknown keys, rotated: in 40 seconds of real time."""
    (tmp_path / "run").mkdir()
    with running_world(tmp_path) as world:
        token = world.issuer.token()
        stranger = TokenIssuer(world.issuer.name, generation=9)
        served = refused = 0
        answers = [
            lambda: (500, {}, b""),
            lambda: (200, {}, b"garbage"),
            lambda: (302, {"location": world.keys.url}, b""),
            lambda: (200, {}, json.dumps({"keys": []}).encode()),
        ]
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < 40:
            world.keys.answer = answers[int(elapsed / 10)]
            for algorithm in ALGORITHMS:
                assert world.bearer(stranger.token(algorithm)).status_code == 401
                refused += 1
            # The remembered one, and one that is verified anew.
            for good in (token, world.issuer.token(jti=f"t-{served}")):
                assert world.bearer(good).status_code == 200
                served += 1
            time.sleep(0.02)
        gaps = world.keys.gaps_s()
        assert min(gaps) >= 9.9, gaps
        assert 3 <= len(world.keys.asked_s) <= 6
        print(
            f"{served} valid tokens served, {refused} unknown kids refused, "
            f"{len(world.keys.asked_s)} fetches, {min(gaps):.1f} s apart at least"
        )
        # Rotated at last: tokens of the new keys are good soon, those of the old ones no more.
        world.issuer.rotate()
        world.keys.serve(world.issuer.key_set())
        new = world.issuer.token()
        wait_for(lambda: world.bearer(new).status_code == 200, 15, "the rotation was not followed")
        wait_for(lambda: world.bearer(token).status_code == 401, 5, "an old key still counts")


def test_over_redis_a_signature_is_good_once_and_never_without_it(tmp_path: Path) -> None:
    for name in ("run", "redis"):
        (tmp_path / name).mkdir()
    secret_file = tmp_path / "batch-secret"
    secret_file.write_text(SECRET)
    server = RedisServer(tmp_path / "redis")
    server.start()

    def change(document: dict[str, Any]) -> None:
        document["redis"] = {"address": {"port": server.port}, "timeout_ms": 250}
        document["identity"]["signed"] = {
            "shared_by": "redis",
            "signers": [{**BATCH, "secret_file": str(secret_file)}],
        }

    def fresh() -> str:
        return hmac_header(BODY, nonce=secrets.token_urlsafe(16))

    def send(value: str) -> tuple[int, str]:
        headers = {"authorization": value, "content-type": "application/json"}
        answer = httpx.post(f"{gateway.base_url}{PATH}", content=BODY, headers=headers, timeout=30)
        return answer.status_code, answer.json().get("error", {}).get("code", "")

    try:
        with running_gateway(tmp_path / "run", change) as gateway:
            value = fresh()
            assert send(value) == (200, "")
            assert {send(value) for _ in range(10)} == {(401, "replayed_request")}
            server.kill()
            value = fresh()
            assert send(value) == (503, "replay_check_unavailable")
            assert gateway.chat("keys need no Redis").status_code == 200
            server.start()
            # A worker's connection from before is found broken by the first request on it.
            for _ in range(2):
                wait_for(lambda: send(fresh())[0] == 200, 5, "Redis is back, and nothing passes")
    finally:
        server.kill()


@pytest.fixture(scope="module", params=["jwks_file", "jwks_url"])
def vouched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("vouched")
    (folder / "run").mkdir()
    changes: dict[str, Any] = {"verified_by": "envoy"}
    if request.param == "jwks_file":
        changes |= {"jwks_file": str(folder / "jwks.json"), "jwks_url": None}
    with running_world(folder, **changes) as running:
        yield running


class TestVerifiedByEnvoy:
    """The jwt_authn filter verifies; the gateway takes its word for it, and only its word."""

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_a_good_token_is_served(self, vouched: World, algorithm: str) -> None:
        answer = vouched.bearer(vouched.issuer.token(algorithm))
        assert answer.status_code == 200, answer.text
        record = vouched.gateway.record_of(answer.headers["x-request-id"])
        assert (record["tenant"], record["user"]) == ("acme", "ann")

    def test_a_forged_token_is_refused_in_the_clients_dialect(self, vouched: World) -> None:
        answer = vouched.bearer(TokenIssuer(vouched.issuer.name).token())
        assert (answer.status_code, vouched.reason(answer)) == (401, "invalid_token")
        record = vouched.gateway.record_of(answer.headers["x-request-id"])
        rules = [entry.get("rule") for entry in record["trail"]]
        assert "token.not_verified_by_envoy" in rules

    def test_other_callers_pass_the_filter(self, vouched: World) -> None:
        assert vouched.gateway.chat("hello").status_code == 200
        assert vouched.gateway.chat("hello", key=None).status_code == 401

    def test_a_token_in_the_query_is_none(self, vouched: World) -> None:
        token = vouched.issuer.token()
        answer = vouched.send({}, path=f"{PATH}?access_token={token}")
        assert (answer.status_code, vouched.reason(answer)) == (401, "missing_api_key")

    def test_no_forgery_is_accepted(self, vouched: World) -> None:
        vouched.gateway.openai.clear()
        forgeries = [
            forgery
            for forgery in Forger(vouched.issuer, BODY, SECRET).all()
            if _sendable(forgery) and "9421" not in forgery.kind and "hmac" not in forgery.kind
        ]
        sample = forgeries[::10]
        with httpx.Client(base_url=vouched.gateway.base_url, timeout=30) as client:
            for forgery in sample:
                with contextlib.suppress(httpx.TransportError):
                    headers = [*forgery.headers, *JSON]
                    answer = client.post(PATH, content=forgery.body, headers=headers)
                    assert answer.status_code in REFUSALS, forgery
        assert not vouched.gateway.openai.requests
        print(f"{len(sample)} forged credentials past jwt_authn, 0 accepted")
