"""cache: the same question of the same tenant gets the same answer at once.

This half looks answers up; ``remember`` keeps them, because what a client is given is known
only outside of the guards and of the client's dialect.  Off unless the model's route sets
``cache_ttl_s``.  A store that does not answer is a miss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway_extproc.config.compile import Route
from gateway_extproc.core.cachecontrol import CacheControl, read_cache_control
from gateway_extproc.core.cached import (
    CachedAnswer,
    CacheNote,
    Kind,
    StreamCopy,
    decode_answer,
    form_of,
)
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.endpoint import stream_type
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import AnswerCache, StoreUnavailable
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Amend, Answer, Header, Respond, Verdict
from gateway_extproc.providers.replay import replay
from gateway_extproc.stages.attempt import dropped_headers
from gateway_extproc.stages.cachekey import BYPASS_HEADER, CachePolicy
from gateway_extproc.stages.flights import Flights
from gateway_extproc.stages.likeness import Likeness
from gateway_extproc.stages.limit import headers_of
from gateway_extproc.stages.record import request_id_headers

DEGRADED: Final = "cache"
"""What a request went on without when a store of answers was away."""

_NOT_CACHED: Final = refuse(
    "not_cached", "No answer to this request is kept, and it asks for one that is (only-if-cached)."
)


class Cache(Stage):
    name = "cache"

    def __init__(
        self,
        store: AnswerCache,
        policy: CachePolicy,
        routes: Mapping[str, Route],
        flights: Flights,
        likeness: Likeness | None,
        now_s: Callable[[], float],
        entry_bytes: int,
    ) -> None:
        self._store, self._policy, self._routes = store, policy, routes
        self._flights, self._likeness = flights, likeness
        self._now_s, self._entry_bytes = now_s, entry_bytes

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        asked = exchange.approved
        if asked is None:
            return CONTINUE
        control = read_cache_control(exchange.headers.get("cache-control", ""))
        if self._routes[exchange.route_id].cache_ttl_s <= 0:
            return Respond(_NOT_CACHED) if control.must_hit else CONTINUE
        note = exchange.cache = CacheNote("miss")
        note.reason = self._policy.why_not(exchange)
        if note.reason:
            note.status = "bypass"
            return Respond(_NOT_CACHED) if control.must_hit else Amend(rule=note.reason)
        exchange.cache_key = self._policy.key(exchange)
        if control.read:
            hit = await self._look(exchange, note, control)
            if hit is not None:
                return hit
        if control.must_hit:
            return Respond(_NOT_CACHED)
        note.store = control.store
        if control.store and asked.stream:
            note.copy = StreamCopy(self._entry_bytes)
        return CONTINUE

    async def _look(
        self, exchange: Exchange, note: CacheNote, control: CacheControl
    ) -> Respond | None:
        """The kept answer; else that of somebody who asks the same, or nearly, just now."""
        key = exchange.cache_key
        kept = self._hit(exchange, note, control, await self._find(exchange, key), "exact")
        if kept is not None:
            return kept
        waited = await self._wait(exchange, note, control)
        if waited is not None:
            return waited
        return await self._look_alike(exchange, note, control)

    async def _wait(
        self, exchange: Exchange, note: CacheNote, control: CacheControl
    ) -> Respond | None:
        if not self._flights.on or control.must_hit or not control.store:
            return None
        key = exchange.cache_key
        lead = self._flights.lead(key)
        if lead is None:
            answer = await self._flights.follow(key)
        else:
            note.land = lead.land
            answer = await self._flights.elsewhere(key)
            if answer is not None:
                lead.land(answer)
        return self._hit(exchange, note, control, answer, "flight")

    async def _look_alike(
        self, exchange: Exchange, note: CacheNote, control: CacheControl
    ) -> Respond | None:
        likeness = self._likeness
        if likeness is None or exchange.headers.get(BYPASS_HEADER, "").lower() == "exact":
            return None
        family = self._policy.family(exchange)
        if family is None:
            return None
        question = await likeness.ask(*family)
        if question is None:
            return None
        key = exchange.cache_key
        if control.store:
            note.learn = lambda: likeness.learn(question, key)
        for like in likeness.find(question):
            answer = await self._find(exchange, like.key)
            hit = self._hit(exchange, note, control, answer, "semantic")
            if hit is not None:
                note.similarity = like.similarity
                if note.land is not None:
                    note.land(answer)
                return hit
        return None

    async def _find(self, exchange: Exchange, key: bytes) -> CachedAnswer | None:
        try:
            data = await self._store.get(key)
        except StoreUnavailable:
            if DEGRADED not in exchange.degraded:
                exchange.degraded = (*exchange.degraded, DEGRADED)
            return None
        return None if data is None else decode_answer(data)

    def _hit(
        self,
        exchange: Exchange,
        note: CacheNote,
        control: CacheControl,
        answer: CachedAnswer | None,
        kind: Kind,
    ) -> Respond | None:
        """The answer as this client wants it; None where it is too old or has another form."""
        asked = exchange.approved
        assert asked is not None
        if answer is None:
            return None
        age_s = max(0.0, self._now_s() - answer.stored_s)
        if control.max_age_s is not None and age_s > control.max_age_s:
            return None
        form = form_of(asked)
        body = replay(answer.body, answer.form, form, asked.dialect, answer.usage)
        if body is None:
            return None
        note.status, note.kind, note.age_s, note.saved = "hit", kind, age_s, answer.usage
        exchange.cache_hit, exchange.saved_nanos = True, answer.cost_nanos
        exchange.response_model, exchange.stop_reason = answer.model, answer.stop_reason
        headers = (
            *_form_headers(asked, streamed=form != "whole"),
            (BYPASS_HEADER, "hit"),
            ("x-gateway-cache-kind", kind),
            ("age", str(int(age_s))),
            *dropped_headers(answer.dropped),
            *headers_of(exchange),
            *request_id_headers(exchange),
        )
        return Respond(answer=Answer(200, headers, body, "cache_hit"), rule=f"{kind}_hit")


def _form_headers(asked: LlmRequest, *, streamed: bool) -> tuple[Header, ...]:
    if not streamed:
        return (("content-type", "application/json"),)
    kind = stream_type(asked.dialect, asked.document)
    return (("content-type", kind), ("cache-control", "no-cache"))
