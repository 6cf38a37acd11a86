"""Six thousand forged API keys against the identify stage: not one makes a permit."""

from __future__ import annotations

import itertools
from collections import Counter

from gateway_extproc.core.apikey import key_hmac
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.verdict import Respond
from support.config import ANN, BOB, PEPPER, make_snapshot
from support.forgedkeys import Forgery, forgeries
from support.gate import make_identify
from support.parts import chat_exchange

COUNT = 6000


def arrived(forgery: Forgery) -> Exchange:
    """The exchange as the wire makes it: latin-1 texts, the last of a repeated name."""
    names = Counter(name for name, _ in forgery.headers)
    headers = {name: value.decode("latin-1") for name, value in forgery.headers}
    exchange = chat_exchange(f"/v1/chat/completions{forgery.path_suffix}", headers=headers)
    exchange.repeated_headers = frozenset(name for name, count in names.items() if count > 1)
    return exchange


async def test_no_forged_key_makes_a_permit() -> None:
    identify = make_identify(make_snapshot())
    stored = key_hmac(PEPPER.encode(), ANN).hex()
    reasons: Counter[str] = Counter()
    for forgery in itertools.islice(forgeries(ANN, BOB, stored), COUNT):
        exchange = arrived(forgery)
        verdict = await identify.request_headers(exchange)
        assert isinstance(verdict, Respond), forgery.what
        assert verdict.refusal is not None
        assert verdict.refusal.status == 401, forgery.what
        assert exchange.permit is None, forgery.what
        reasons[verdict.refusal.reason] += 1
    print(f"\n{COUNT} forged keys in process, 0 accepted: {dict(reasons)}")
    assert set(reasons) == {"invalid_api_key", "missing_api_key", "ambiguous_credential"}
    assert reasons["invalid_api_key"] > 5000


async def test_the_corpus_is_made_from_keys_that_do_work() -> None:
    identify = make_identify(make_snapshot())
    for key in (ANN, BOB):
        exchange = chat_exchange(headers={"authorization": f"Bearer {key}"})
        await identify.request_headers(exchange)
        assert exchange.permit is not None


def test_the_corpus_has_no_request_twice() -> None:
    stored = key_hmac(PEPPER.encode(), ANN).hex()
    several = [
        (f.headers, f.path_suffix) for f in itertools.islice(forgeries(ANN, BOB, stored), COUNT)
    ]
    assert len(set(several)) == COUNT
