"""Bearer tokens: a good one proves its bearer, once verified it is remembered, no other counts."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_extproc.config.proofs import Issuer
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.identity import Proven
from gateway_extproc.identity.keyset import KeySet, read_key_set
from gateway_extproc.identity.tokens import TokenAuthenticator
from gateway_extproc.identity.trust import Trust, read_denials
from support.clock import FakeClock
from support.parts import chat_exchange
from support.tokens import ALGORITHMS, ISSUER, TokenIssuer, issuer_section

NOW_S = 1_800_000_000.0


class HeldTrusts:
    """``Trusts`` that a test sets; counts what is asked."""

    def __init__(self, trust: Trust | None) -> None:
        self.trust = trust
        self.wanted: list[str] = []

    def find(self, issuer: str) -> Trust | None:
        return self.trust

    def want(self, issuer: str) -> None:
        self.wanted.append(issuer)


class Bench:
    """One issuer and the authenticator that knows it."""

    def __init__(self, issuer: TokenIssuer, **section: Any) -> None:
        self.issuer = issuer
        self.clock = FakeClock(NOW_S)
        self.trusts = HeldTrusts(Trust(read_key_set(issuer.key_set()), frozenset()))
        self.section = Issuer.model_validate_json(segment_json(issuer_section(**section)))
        self.stage = TokenAuthenticator(
            [self.section], self.trusts, self.clock.now_s, max_remembered=8
        )

    def claims(self, **changed: Any) -> dict[str, Any]:
        return self.issuer.claims(**{"exp": NOW_S + 600, "iat": NOW_S, **changed})

    def token(self, algorithm: str = "RS256", **changed: Any) -> str:
        return self.issuer.sign(self.issuer.header(algorithm), self.claims(**changed), algorithm)

    def ask(self, token: str, **envoy_claims: Any) -> Proven | Refusal | None:
        exchange = chat_exchange(headers={"authorization": f"Bearer {token}"})
        exchange.envoy_claims = envoy_claims or None
        return self.stage.authenticate(exchange)

    def proven(self, token: str, **envoy_claims: Any) -> Proven:
        answer = self.ask(token, **envoy_claims)
        assert isinstance(answer, Proven), answer
        return answer

    def refused(self, token: str, **envoy_claims: Any) -> str:
        """By which rule."""
        answer = self.ask(token, **envoy_claims)
        assert isinstance(answer, Refusal)
        assert token[:40] not in repr(answer)
        return answer.rule or answer.reason


def segment_json(value: Any) -> bytes:
    import orjson

    return orjson.dumps(value)


@pytest.fixture(scope="module")
def issuer() -> TokenIssuer:
    return TokenIssuer()


@pytest.fixture
def bench(issuer: TokenIssuer) -> Bench:
    return Bench(issuer)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_token_proves_its_bearer(bench: Bench, algorithm: str) -> None:
    proven = bench.proven(bench.token(algorithm))
    assert (proven.tenant, proven.user, proven.application) == ("acme", "ann", "chatbot")
    assert (proven.roles, proven.method) == (("developer",), "jwt")
    assert proven.credential_id == "corp:t-1"
    assert proven.expires_at_s == NOW_S + 600 + 30


def test_what_is_no_token_is_left_to_others(bench: Bench) -> None:
    for value in ("", "Bearer", "Bearer gw_live_x", "Basic a.b.c", "Bearer a.b.c", "Bearer eyJa"):
        exchange = chat_exchange(headers={"authorization": value})
        assert bench.stage.authenticate(exchange) is None
    assert bench.stage.authenticate(chat_exchange(headers={"x-api-key": bench.token()})) is None


def test_a_remembered_token_is_the_same_proof(bench: Bench) -> None:
    token = bench.token()
    assert bench.proven(token) is bench.proven(token)


def test_a_remembered_token_ends_with_its_expiry(bench: Bench) -> None:
    token = bench.token()
    bench.proven(token)
    bench.clock.advance(629.9)
    bench.proven(token)
    bench.clock.advance(0.1)
    answer = bench.ask(token)
    assert isinstance(answer, Refusal)
    assert answer.reason == "expired_token"


def test_a_remembered_token_ends_with_its_keys(bench: Bench) -> None:
    token = bench.token()
    bench.proven(token)
    bench.trusts.trust = Trust(read_key_set(TokenIssuer().key_set()), frozenset())
    assert bench.refused(token) == "token.signature"


@pytest.mark.parametrize("denial", ["jti:t-1", "sub:ann"])
def test_a_remembered_token_ends_when_it_or_its_user_is_denied(bench: Bench, denial: str) -> None:
    token = bench.token()
    bench.proven(token)
    assert bench.trusts.trust is not None
    bench.trusts.trust = Trust(bench.trusts.trust.keys, read_denials(f"# left\n{denial}\n"))
    assert bench.refused(token) == "token.denied"
    bench.proven(bench.token(jti="t-2", sub="bob"))


def test_memory_is_bounded_and_the_oldest_leaves(bench: Bench) -> None:
    tokens = [bench.token(jti=f"t-{i}") for i in range(9)]
    first = [bench.proven(token) for token in tokens]
    assert bench.proven(tokens[8]) is first[8]
    assert bench.proven(tokens[0]) is not first[0]


def test_bad_tokens_are_not_remembered(bench: Bench) -> None:
    good = bench.token()
    before = bench.proven(good)
    for i in range(20):
        bench.refused(f"{good[:-8]}AAAA{i:04d}")
    assert bench.proven(good) is before


def test_an_unknown_key_asks_for_the_keys_anew(bench: Bench, issuer: TokenIssuer) -> None:
    token = issuer.sign(issuer.header(kid="other"), bench.claims())
    assert bench.refused(token) == "token.unknown_key"
    assert bench.trusts.wanted == ["corp"]


def test_before_the_keys_are_known_a_token_is_told_to_come_back(bench: Bench) -> None:
    bench.trusts.trust = None
    answer = bench.ask(bench.token())
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.status) == ("signing_keys_unavailable", 503)
    assert answer.retry_after_s is not None


def test_a_token_without_kid_needs_the_only_key_of_its_kind(
    bench: Bench, issuer: TokenIssuer
) -> None:
    bench.proven(issuer.sign(issuer.header(kid=None), bench.claims()))


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"iss": "https://other.example"}, "token.unknown_issuer"),
        ({"iss": None}, "token.unknown_issuer"),
        ({"iss": [ISSUER]}, "token.unknown_issuer"),
        ({"aud": "another"}, "token.audience"),
        ({"aud": None}, "token.audience"),
        ({"aud": []}, "token.audience"),
        ({"aud": {"gateway": True}}, "token.audience"),
        ({"aud": [["gateway"]]}, "token.audience"),
        ({"exp": None}, "token.exp"),
        ({"exp": "1900000000"}, "token.exp"),
        ({"exp": True}, "token.exp"),
        ({"exp": NOW_S - 30}, "token.exp"),
        ({"exp": -1}, "token.exp"),
        ({"nbf": NOW_S + 31}, "token.nbf"),
        ({"nbf": "now"}, "token.nbf"),
        ({"iat": NOW_S + 31}, "token.iat"),
        ({"org": None}, "mapping.tenant"),
        ({"org": "acme"}, "mapping.tenant"),
        ({"org": {"id": "beta"}}, "mapping.tenant"),
        ({"org": {"id": ["acme"]}}, "mapping.tenant"),
        ({"org": {"id": ""}}, "mapping.tenant"),
        ({"sub": None}, "mapping.user"),
        ({"sub": "a\u202eb"}, "mapping.user"),
        ({"sub": "x" * 129}, "mapping.user"),
        ({"groups": None}, "mapping.roles"),
        ({"groups": ["developer"]}, "mapping.roles"),
        ({"groups": ["gw:platform-admin", "gw:auditor"]}, "mapping.roles"),
        ({"groups": {"gw:developer": True}}, "mapping.roles"),
    ],
)
def test_claims_that_do_not_hold_are_refused(
    bench: Bench, changed: dict[str, Any], rule: str
) -> None:
    assert bench.refused(bench.token(**changed)) == rule


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": ["other", "gateway"]},
        {"exp": NOW_S - 29},
        {"nbf": NOW_S + 29},
        {"nbf": NOW_S - 5, "exp": NOW_S + 0.5},
        {"groups": "gw:developer openid"},
        {"groups": ["gw:platform-admin", "gw:developer", 7, None]},
    ],
)
def test_claims_that_hold_by_a_little_are_accepted(bench: Bench, changed: dict[str, Any]) -> None:
    assert bench.proven(bench.token(**changed)).roles == ("developer",)


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"alg": "none"}, "token.algorithm"),
        ({"alg": "NONE"}, "token.algorithm"),
        ({"alg": "HS256"}, "token.algorithm"),
        ({"alg": "RS512"}, "token.algorithm"),
        ({"alg": None}, "token.algorithm"),
        ({"alg": ["RS256"]}, "token.algorithm"),
        ({"jku": "https://login.example/keys"}, "token.foreign_key"),
        ({"x5u": "https://login.example/keys"}, "token.foreign_key"),
        ({"jwk": {"kty": "RSA"}}, "token.foreign_key"),
        ({"x5c": ["MII"]}, "token.foreign_key"),
        ({"crit": ["exp"]}, "token.header"),
        ({"b64": False}, "token.header"),
        ({"zip": "DEF"}, "token.header"),
        ({"kid": 7}, "token.kid"),
        ({"kid": "x" * 257}, "token.kid"),
        ({"kid": "../../../../dev/null"}, "token.unknown_key"),
        ({"kid": "es256-1"}, "token.unknown_key"),
        ({"kid": ""}, "token.unknown_key"),
        ({"typ": "secevent+jwt"}, "token.type"),
        ({"typ": 1}, "token.type"),
        ({"pad": "x" * 2000}, "token.form"),
    ],
)
def test_headers_that_do_not_hold_are_refused(
    bench: Bench, issuer: TokenIssuer, changed: dict[str, Any], rule: str
) -> None:
    assert bench.refused(issuer.sign(issuer.header(**changed), bench.claims())) == rule


def test_only_the_pinned_algorithms_count(issuer: TokenIssuer) -> None:
    bench = Bench(issuer, algorithms=["ES256"])
    bench.proven(bench.token("ES256"))
    assert bench.refused(bench.token("RS256")) == "token.algorithm"


def test_the_same_bits_in_another_spelling_are_another_token(bench: Bench) -> None:
    token = bench.token()
    head, claims, signature = token.split(".")
    for other in (
        f"{head}.{claims}.{signature}=",
        f"{head}.{claims}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}",
        f"{head}.{claims}.{signature[:9]}\n{signature[9:]}",
        f"{head}=.{claims}.{signature}",
        f"{head}.{claims}.{signature}.",
        f"{head}.{claims}.",
        f"{head}..{signature}",
    ):
        exchange = chat_exchange(headers={"authorization": f"Bearer {other}"})
        assert not isinstance(bench.stage.authenticate(exchange), Proven)


def test_a_token_of_ten_megabytes_is_refused_before_any_work(bench: Bench) -> None:
    token = bench.token()
    assert bench.refused(token + "A" * 10_000_000) == "token.size"


def test_json_that_means_two_things_is_refused(bench: Bench, issuer: TokenIssuer) -> None:
    header = b'{"alg":"RS256","kid":"rs256-1","alg":"RS256"}'
    assert bench.refused(issuer.sign(header, bench.claims())) == "token.header"
    claims = segment_json(bench.claims())[:-1] + b',"sub":"admin"}'
    assert bench.refused(issuer.sign(issuer.header(), claims)) == "token.claims"
    assert bench.refused(issuer.sign(issuer.header(), b"[" * 900)) == "token.claims"


class TestVerifiedByEnvoy:
    def test_what_envoy_vouches_for_is_believed(self, issuer: TokenIssuer) -> None:
        bench = Bench(issuer, verified_by="envoy")
        bench.trusts.trust = Trust(KeySet({}), frozenset())
        claims = {**bench.claims(sub="eve")}
        assert bench.proven(bench.token(), corp=claims).user == "eve"

    def test_without_envoy_a_good_token_counts_for_nothing(self, issuer: TokenIssuer) -> None:
        bench = Bench(issuer, verified_by="envoy")
        assert bench.refused(bench.token()) == "token.not_verified_by_envoy"
        assert bench.refused(bench.token(), other={"sub": "ann"}) == "token.not_verified_by_envoy"
        assert bench.refused(bench.token(), corp="text") == "token.not_verified_by_envoy"

    def test_claims_are_checked_again(self, issuer: TokenIssuer) -> None:
        bench = Bench(issuer, verified_by="envoy")
        for changed in ({"aud": "x"}, {"iss": "x"}, {"exp": NOW_S - 31}, {"exp": None}):
            bench.refused(bench.token(), corp=bench.claims(**changed))

    def test_metadata_counts_only_where_the_configuration_says_so(
        self, issuer: TokenIssuer
    ) -> None:
        bench = Bench(issuer)
        forged = bench.token()[:-6] + "AAAAAA"
        assert bench.refused(forged, corp=bench.claims()).startswith("token.signature")
        assert bench.proven(bench.token(), corp=bench.claims(sub="eve")).user == "ann"


def test_a_map_knows_only_its_values(issuer: TokenIssuer) -> None:
    claims = {
        "tenant": {"path": ["org", "id"], "prefix": "org-", "map": {"1": "acme"}},
        "user": {"path": ["email"], "default": "unknown"},
        "application": {"path": ["cid"]},
        "roles": {"path": ["scope"], "map": {"llm": "developer"}},
    }
    bench = Bench(issuer, claims=claims)
    good: dict[str, Any] = {"org": {"id": "org-1"}, "scope": "openid llm"}
    proven = bench.proven(bench.token(**good))
    assert (proven.tenant, proven.user, proven.application) == ("acme", "unknown", "")
    for bad in ({"org": {"id": "org-2"}}, {"org": {"id": "1"}}, {"scope": "developer"}):
        assert bench.refused(bench.token(**{**good, **bad})).startswith("mapping.")


def test_roles_have_a_default_where_no_claim_names_one(issuer: TokenIssuer) -> None:
    roles = {"path": ["groups"], "default": ["developer"]}
    claims = {"tenant": {"path": ["org", "id"]}, "roles": roles}
    bench = Bench(issuer, claims=claims)
    assert bench.proven(bench.token(groups=None)).roles == ("developer",)
