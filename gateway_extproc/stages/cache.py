"""cache: an identical question of the same tenant gets the same answer at once.

Exact and off unless the model's route sets ``cache_ttl_s``.  The key holds the
tenant, the policy revision and the whole approved request, so that nothing is
shared across tenants or outlives a policy.  What a guard touched is not stored.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Final

import orjson

from gateway_extproc.config.compile import Route
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import AnswerCache
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Answer, Respond, Verdict
from gateway_extproc.stages.bill import cost_of
from gateway_extproc.stages.record import request_id_headers

ONLY_STANDARD: Final = frozenset({"standard"})
"""Answers to any other class of data are never kept."""

_COST: Final = struct.Struct("<q")
"""Before each stored answer: what it cost, in nano-dollars."""


class Cache(Stage):
    name = "cache"

    def __init__(self, cache: AnswerCache, routes: Mapping[str, Route], revision: str) -> None:
        self._cache = cache
        self._routes = routes
        self._revision = revision

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        if not self._may_cache(exchange):
            return CONTINUE
        exchange.cache_key = self._key(exchange)
        if "no-cache" in _directives(exchange):
            return CONTINUE
        stored = await self._cache.get(exchange.cache_key)
        if stored is None:
            return CONTINUE
        exchange.cache_hit = True
        (exchange.saved_nanos,) = _COST.unpack_from(stored)
        headers = (
            ("content-type", "application/json"),
            ("x-gateway-cache", "hit"),
            *request_id_headers(exchange),
        )
        return Respond(
            answer=Answer(200, headers, stored[_COST.size :], "cache_hit"), rule="cache_hit"
        )

    async def close(self, exchange: Exchange) -> None:
        if (
            exchange.cache_key
            and not exchange.cache_hit
            and exchange.client_body
            and not exchange.findings
            and exchange.outcome == "allowed"
            and "no-store" not in _directives(exchange)
        ):
            assert exchange.asked is not None
            ttl_s = self._routes[exchange.asked.model].cache_ttl_s
            stored = _COST.pack(cost_of(exchange)) + exchange.client_body
            await self._cache.put(exchange.cache_key, stored, ttl_s)

    def _may_cache(self, exchange: Exchange) -> bool:
        asked, permit = exchange.approved, exchange.permit
        if asked is None or permit is None or asked.stream or exchange.findings:
            return False
        if exchange.masked is not None:  # its answer may hold what only this conversation knows
            return False
        if permit.data_classes != ONLY_STANDARD:
            return False
        return self._routes[asked.model].cache_ttl_s > 0

    def _key(self, exchange: Exchange) -> bytes:
        assert exchange.approved is not None
        assert exchange.permit is not None
        scope = (
            exchange.permit.principal.tenant.id,
            self._revision,
            exchange.approved.endpoint,
            # An answer was judged for whom it was made; others may have tighter rules.
            exchange.guard_scope,
        )
        canonical = orjson.dumps(exchange.approved.document, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(orjson.dumps(scope) + canonical).digest()


def _directives(exchange: Exchange) -> str:
    """What the client says of caching; directives know no case (RFC 9111, section 5.2)."""
    return exchange.headers.get("cache-control", "").lower()
