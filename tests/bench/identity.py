"""What identify and authorize cost: CPU a request, look-ups, and what the time of a refusal tells.

    make bench-identity

Runs the real stages over a key store of 100,000 keys, in this process.  CPU is process
time; the look-up is timed one by one.  A wrong key's time is compared by how much of it
is right: groups take turns, so that what disturbs one disturbs all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from gateway_extproc.config.compile import compile_config
from gateway_extproc.config.proofs import Issuer, Signer
from gateway_extproc.core.apikey import BASE62, key_hmac, make_key
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Proven
from gateway_extproc.core.keys import KeyRecord
from gateway_extproc.core.ports import Authenticator
from gateway_extproc.core.secret import Secret
from gateway_extproc.core.verdict import Continue
from gateway_extproc.identity.apikeys import ApiKeys
from gateway_extproc.identity.directory import Directory
from gateway_extproc.identity.httpsig import MessageSignatureAuthenticator
from gateway_extproc.identity.keyset import read_key_set
from gateway_extproc.identity.signed import HmacAuthenticator
from gateway_extproc.identity.tokens import TokenAuthenticator
from gateway_extproc.identity.trust import Trust
from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.stages.authorize import Authorize
from gateway_extproc.stages.identify import Identify
from gateway_extproc.stages.parse import Parse
from gateway_extproc.stores.following import catch_up
from gateway_extproc.stores.keyfile import FollowedKeys, KeyFile
from gateway_extproc.stores.memory import FixedTenants
from support import bodies
from support.config import make_config
from support.forgedkeys import checksum
from support.parts import chat_exchange
from support.signatures import BATCH, ROBOT, SECRET, hmac_header, rfc9421_headers
from support.tokens import ALGORITHMS, TokenIssuer, issuer_section

KEYS: Final = 100_000
PEPPER: Final = "pepper-of-the-bench"

LOOKUP_P99_US: Final = 50.0
KNOWN_KEY_US: Final = 25.0
REMEMBERED_JWT_US: Final = 30.0
HIT: Final = "a remembered token, the hit itself"
HIT_US: Final = 5.0
TIMING_RATIO: Final = 1.05
"""Medians of two kinds of wrong keys may differ by so much; noise of a shared machine."""


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is measured; microseconds, seconds where the name says so."""

    load_s: float
    lookup_p50_us: float
    lookup_p99_us: float
    change_seen_ms: float
    known_key_cpu_us: float
    remembered_jwt_cpu_us: float
    wrong_key_us: dict[str, float]
    proofs_us: dict[str, float]

    @property
    def timing_ratio(self) -> float:
        """The slowest kind of wrong key against the fastest."""
        return max(self.wrong_key_us.values()) / min(self.wrong_key_us.values())


class HeldTrust:
    """``Trusts`` of one issuer."""

    def __init__(self, issuer: TokenIssuer) -> None:
        self._trust = Trust(read_key_set(issuer.key_set()), frozenset())

    def find(self, issuer: str) -> Trust:
        return self._trust

    def want(self, issuer: str) -> None:
        raise AssertionError("every key is known")


def measure(keys: int, requests: int, samples: int) -> Figures:
    """Makes a store of so many keys and measures on it."""
    with tempfile.TemporaryDirectory(prefix="gwi-") as folder:
        texts, records = make_keys(keys)
        store = KeyFile(Path(folder))
        store.add(records)
        began = time.perf_counter()
        table = FollowedKeys(Path(folder), {})
        catch_up([table])
        load_s = time.perf_counter() - began
        lookups = look_up(table, records)
        change_ms = change_seen_ms(store, table, records)
        known, token = request_cpu(table, texts, requests)
        wrong = wrong_keys(ApiKeys(table, Secret(PEPPER), time.time), texts[0], samples)
        return Figures(
            load_s,
            percentile(lookups, 50),
            percentile(lookups, 99),
            change_ms,
            known,
            token,
            wrong,
            proofs(samples // 10),
        )


def make_keys(count: int) -> tuple[list[str], list[KeyRecord]]:
    """Real keys for the first hundred, records for all."""
    terms = KeyRecord("", b"", "acme", "ann", "web", ("developer",), labels=(("team", "x"),))
    texts, records = [], []
    for number in range(count):
        key_id = f"{number:012x}"
        stored = os.urandom(32)
        if number < 100:
            text = make_key("bench", key_id, os.urandom(32))
            texts.append(text)
            stored = key_hmac(PEPPER.encode(), text)
        records.append(replace(terms, id=key_id, hmac=stored, user=f"user-{number}"))
    return texts, records


def look_up(table: FollowedKeys, records: Sequence[KeyRecord]) -> list[float]:
    """One look-up after the other, of keys all over the table, each timed by itself."""
    ids = [record.id for record in random.sample(records, min(len(records), 50_000))]
    times = []
    for key_id in ids:
        began = time.perf_counter_ns()
        found = table.find(key_id)
        times.append((time.perf_counter_ns() - began) / 1000)
        assert found is not None
    return times


def change_seen_ms(store: KeyFile, table: FollowedKeys, records: Sequence[KeyRecord]) -> float:
    """How long one look takes that brings a change in."""
    store.change(records[-1].id, lambda old: replace(old, state="revoked"))
    began = time.perf_counter()
    catch_up([table])
    took = (time.perf_counter() - began) * 1000
    found = table.find(records[-1].id)
    assert found is not None
    assert found.state == "revoked"
    return took


def request_cpu(table: FollowedKeys, texts: Sequence[str], requests: int) -> tuple[float, float]:
    """CPU of identify and authorize together, both phases: a known key, a remembered JWT."""
    snapshot = compile_config(make_config(roles=[], keys=[]))
    issuer = TokenIssuer()
    section = Issuer.model_validate_json(json.dumps(issuer_section()))
    directory = Directory(snapshot.roles, FixedTenants(snapshot.tenants))
    identify = Identify(
        [
            ApiKeys(table, Secret(PEPPER), time.time),
            TokenAuthenticator([section], HeldTrust(issuer), time.time),
        ],
        directory,
    )
    authorize = Authorize(snapshot.routes, time.time)
    parse = Parse(DIALECTS, lambda exchange: _no_writer(), {}, max_depth=32)
    tokens = [issuer.token(jti=f"t-{number}") for number in range(20)]

    def exchanges(credentials: Sequence[str]) -> list[Exchange]:
        made = []
        for number in range(requests):
            bearer = f"Bearer {credentials[number % len(credentials)]}"
            exchange = chat_exchange(
                headers={"authorization": bearer, "x-forwarded-for": "192.0.2.7"}
            )
            asyncio.run(parse.request_body(exchange, bodies.chat())) if number == 0 else None
            made.append(exchange)
        for exchange in made[1:]:
            exchange.asked = made[0].asked
        return made

    async def run(batch: Sequence[Exchange]) -> float:
        for exchange in batch[:200]:
            await one(exchange)
        began = time.process_time()
        for exchange in batch:
            await one(exchange)
        return (time.process_time() - began) / len(batch) * 1e6

    async def one(exchange: Exchange) -> None:
        assert isinstance(await identify.request_headers(exchange), Continue)
        assert isinstance(await authorize.request_headers(exchange), Continue)
        await identify.request_body(exchange, b"")
        assert isinstance(await authorize.request_body(exchange, b""), Continue)

    def best(credentials: Sequence[str]) -> float:
        return min(asyncio.run(run(exchanges(credentials))) for _ in range(5))

    return best(texts), best(tokens)


def _no_writer() -> Any:
    raise AssertionError("nothing is written here")


def wrong_keys(keys: ApiKeys, good: str, samples: int) -> dict[str, float]:
    """Median time of a refusal, by how much of the key is right; all have a good checksum."""
    body = good.rpartition("_")[0]
    prefix, environment, _, secret = body.split("_")

    def sealed(text: str) -> str:
        return f"{text}_{checksum(text)}"

    def changed(at: int) -> str:
        other = BASE62[(BASE62.index(secret[at]) + 1) % 62]
        return sealed(f"{body[: -len(secret)]}{secret[:at]}{other}{secret[at + 1 :]}")

    kinds = {
        "first character wrong": changed(0),
        "middle character wrong": changed(21),
        "last character wrong": changed(42),
        "all characters wrong": sealed(f"{body[: -len(secret)]}{'z' * 43}"),
        "unknown id": sealed(f"{prefix}_{environment}_{'f' * 12}_{secret}"),
    }
    exchanges = {
        kind: chat_exchange(headers={"authorization": f"Bearer {key}"})
        for kind, key in kinds.items()
    }
    times: dict[str, list[int]] = {kind: [] for kind in kinds}
    order = list(kinds)
    authenticate: Callable[[Exchange], object] = keys.authenticate
    for _ in range(samples):
        random.shuffle(order)
        for kind in order:
            exchange = exchanges[kind]
            began = time.perf_counter_ns()
            authenticate(exchange)
            times[kind].append(time.perf_counter_ns() - began)
    return {kind: statistics.median(took) / 1000 for kind, took in times.items()}


def proofs(count: int) -> dict[str, float]:
    """Time of each kind of proof by its authenticator alone, the best of five rounds."""
    issuer, body = TokenIssuer(), bodies.chat()
    section = Issuer.model_validate_json(json.dumps(issuer_section()))
    signers = [Signer.model_validate_json(json.dumps(entry)) for entry in (BATCH, ROBOT)]
    trust = HeldTrust(issuer)
    remembering = TokenAuthenticator([section], trust, time.time)
    # Room for one token, and two that take turns: each is verified anew.
    forgetting = TokenAuthenticator([section], trust, time.time, max_remembered=1)
    by_secret = HmacAuthenticator(signers, _Shared(), 60.0, time.time)
    by_key = MessageSignatureAuthenticator(signers, 60.0, time.time)

    def token(algorithm: str, number: int = 0) -> Exchange:
        bearer = f"Bearer {issuer.token(algorithm, jti=f't-{number}')}"
        return chat_exchange(headers={"authorization": bearer})

    found = {HIT: _best(remembering, [token("RS256")], count)}
    for algorithm in ALGORITHMS:
        turns = [token(algorithm, number) for number in range(2)]
        found[f"{algorithm}, verified anew"] = _best(forgetting, turns, count // 4)
    signed = chat_exchange(headers={"authorization": hmac_header(body)})
    found["signed request, HMAC-SHA256"] = _best(by_secret, [signed], count)
    message = chat_exchange(headers=rfc9421_headers(body))
    found["signed request, RFC 9421 Ed25519"] = _best(by_key, [message], count // 4)
    return found


class _Shared:
    def get(self, provider: str) -> Secret:
        return Secret(SECRET)


def _best(authenticator: Authenticator, exchanges: Sequence[Exchange], count: int) -> float:
    for exchange in exchanges:
        assert isinstance(authenticator.authenticate(exchange), Proven)
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for number in range(count):
            authenticator.authenticate(exchanges[number % len(exchanges)])
        rounds.append((time.perf_counter() - began) / count * 1e6)
    return min(rounds)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def table_of(figures: Figures, keys: int) -> str:
    """The figures beside what they must hold."""
    lines = [
        f"{keys:,} keys, loaded by a worker in {figures.load_s:.2f} s",
        f"look-up                      p50 {figures.lookup_p50_us:6.2f} us, "
        f"p99 {figures.lookup_p99_us:6.2f} us   (under {LOOKUP_P99_US:g})",
        f"a change is brought in by a look of {figures.change_seen_ms:.2f} ms",
        f"identify + authorize, known key        {figures.known_key_cpu_us:6.2f} us CPU "
        f"(under {KNOWN_KEY_US:g})",
        f"identify + authorize, remembered JWT   {figures.remembered_jwt_cpu_us:6.2f} us CPU "
        f"(under {REMEMBERED_JWT_US:g})",
        "one proof, by its authenticator alone:",
        *(f"  {kind:36} {took:7.2f} us" for kind, took in figures.proofs_us.items()),
        f"    the hit under {HIT_US:g}",
        "refusal of a wrong key, median by what is right of it:",
        *(f"  {kind:26} {took:6.2f} us" for kind, took in figures.wrong_key_us.items()),
        f"  slowest / fastest          {figures.timing_ratio:6.3f}      (under {TIMING_RATIO:g})",
    ]
    return "\n".join(lines)


def missed(figures: Figures) -> list[str]:
    """What does not hold."""
    limits = {
        "look-up p99": (figures.lookup_p99_us, LOOKUP_P99_US),
        "known key": (figures.known_key_cpu_us, KNOWN_KEY_US),
        "remembered JWT": (figures.remembered_jwt_cpu_us, REMEMBERED_JWT_US),
        "hit of a remembered token": (figures.proofs_us[HIT], HIT_US),
        "timing of a wrong key": (figures.timing_ratio, TIMING_RATIO),
    }
    return [f"{name}: {value:.3f}, not under {limit:g}" for name, (value, limit) in limits.items()
            if value >= limit]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make bench-identity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--keys", type=int, default=KEYS)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--samples", type=int, default=20_000)
    options = parser.parse_args()
    figures = measure(options.keys, options.requests, options.samples)
    print(table_of(figures, options.keys))
    if failures := missed(figures):
        raise SystemExit("\n".join(failures))


if __name__ == "__main__":
    main()
