"""remember: keeps what a client was given, and tells those who wait for the same.

Stands outside of parse, so that it sees an answer as it leaves.  What a guard found anything in,
what did not end well, and what policy does not let be kept, is not kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from gateway_extproc.config.compile import Route
from gateway_extproc.core.cached import CachedAnswer, CacheNote, form_of
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import AnswerCache, StoreUnavailable
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Amend, Verdict
from gateway_extproc.stages.bill import cost_of, final_usage
from gateway_extproc.stages.cachekey import BYPASS_HEADER
from gateway_extproc.stages.errands import Errands

log = logging.getLogger(__name__)

WHOLE_ENDS: Final = frozenset({"stop", "tool_calls"})
"""How an answer ends that nothing cut off."""


class Remember(Stage):
    name = "remember"

    def __init__(
        self,
        store: AnswerCache,
        routes: Mapping[str, Route],
        now_s: Callable[[], float],
        entry_bytes: int,
        errands: Errands,
    ) -> None:
        self._store, self._routes = store, routes
        self._now_s, self._entry_bytes = now_s, entry_bytes
        self._errands = errands

    async def response_headers(self, exchange: Exchange) -> Verdict:
        note = exchange.cache
        if note is None:
            return CONTINUE
        return Amend(set_headers=((BYPASS_HEADER, note.status),))

    async def response_body(self, exchange: Exchange, body: bytes, *, last: bool) -> Verdict:
        note = exchange.cache
        if not last or note is None or not note.store or not may_keep(exchange):
            return CONTINUE
        note.entry = self._entry(exchange, note)
        if note.entry is None:
            return CONTINUE
        note.status = "stored"
        if exchange.streaming:  # its headers left long ago
            return CONTINUE
        return Amend(set_headers=((BYPASS_HEADER, "stored"),))

    async def close(self, exchange: Exchange) -> None:
        note = exchange.cache
        if note is None:
            return
        if note.entry is not None:
            ttl_s = self._routes[exchange.route_id].cache_ttl_s
            if self._errands.start(self._keep(exchange.cache_key, note, note.entry, ttl_s)):
                return
            note.status = "miss"
        if note.land is not None:
            note.land(note.entry)

    def _entry(self, exchange: Exchange, note: CacheNote) -> CachedAnswer | None:
        body = note.copy.body if exchange.streaming and note.copy else exchange.client_body
        if not body or len(body) > self._entry_bytes:
            return None
        assert exchange.approved is not None
        return CachedAnswer(
            form=form_of(exchange.approved),
            body=body,
            stored_s=self._now_s(),
            usage=final_usage(exchange),
            cost_nanos=cost_of(exchange),
            model=exchange.response_model,
            stop_reason=exchange.stop_reason,
            dropped=exchange.dropped[-1] if exchange.dropped else (),
        )

    async def _keep(self, key: bytes, note: CacheNote, entry: CachedAnswer, ttl_s: float) -> None:
        """Those who wait are told when it is kept: other workers look for it in the store."""
        try:
            if await self._store.put(key, entry.encode(), ttl_s) and note.learn is not None:
                note.learn()
        except StoreUnavailable as error:
            log.warning("an answer was not kept: %s", error)
        finally:
            if note.land is not None:
                note.land(entry)


def may_keep(exchange: Exchange) -> bool:
    """Whether the answer is whole, and nobody had anything to say against it."""
    return (
        exchange.outcome == "open"
        and exchange.refusal is None
        and exchange.response_status == 200
        and exchange.answer_ended_well
        and exchange.stop_reason in WHOLE_ENDS
        and _says_something(exchange)
        and not exchange.findings
        and not exchange.stream_blocked_by
        and not exchange.failed_open
        and "guard" not in exchange.degraded
    )


def _says_something(exchange: Exchange) -> bool:
    """Whether there is text in an answer that should have some; embeddings have none."""
    assert exchange.approved is not None
    return exchange.answer_text_bytes > 0 or not exchange.approved.completions
