"""truncate: a prompt that is longer than its cap is shortened by policy, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from gateway_extproc.config.compile import Route
from gateway_extproc.core.chat import Document, LlmRequest
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import Dialect
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Amend, Respond, Verdict
from gateway_extproc.limits.estimate import estimate
from gateway_extproc.limits.truncate import shorten

CHATS: Final = frozenset({"chat", "messages", "generate_content"})
"""Interfaces whose requests are turns of a conversation."""


class Truncate(Stage):
    name = "truncate"

    def __init__(self, dialects: Mapping[str, Dialect], routes: Mapping[str, Route]) -> None:
        self._dialects, self._routes = dialects, routes

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        request = exchange.asked
        if request is None:
            return CONTINUE
        route = self._routes[exchange.route_id]
        # No prompt has more tokens than bytes, so most requests end here.
        if route.prompt_tokens is None or len(body) <= route.prompt_tokens:
            return CONTINUE
        model = exchange.targets[0].model
        tokens = estimate(request, model).expected
        if tokens <= route.prompt_tokens:
            return CONTINUE
        has_turns = request.endpoint in CHATS and request.mistake is None
        if route.too_long == "oldest_turns" and has_turns:
            shorter = self._shorten(request, route.prompt_tokens, model)
            if shorter is not None:
                exchange.asked, exchange.dropped_messages = shorter
                exchange.asked_body = orjson.dumps(exchange.asked.document)
                return Amend(rule=f"oldest_turns:{exchange.dropped_messages}")
        message = (
            f"This prompt has about {tokens} tokens; '{route.id}' takes {route.prompt_tokens}."
        )
        return Respond(refuse("prompt_too_long", message, param="messages"))

    async def response_headers(self, exchange: Exchange) -> Verdict:
        if not exchange.dropped_messages:
            return CONTINUE
        number = str(exchange.dropped_messages)
        return Amend(set_headers=(("x-gateway-dropped-messages", number),))

    def _shorten(
        self, request: LlmRequest, most_tokens: int, model: str
    ) -> tuple[LlmRequest, int] | None:
        dialect = self._dialects[request.dialect]

        def count(document: Document) -> int:
            read = dialect.read_request(request.endpoint, document)
            return estimate(read, model).expected

        shortened = shorten(request.document, most_tokens, count)
        if shortened is None:
            return None
        return dialect.read_request(request.endpoint, shortened.document), shortened.dropped
