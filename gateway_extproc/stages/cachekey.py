"""Which requests may be answered from the cache, and the name of their answer there; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway_extproc.config.caching import Cache
from gateway_extproc.core.document import replace_at
from gateway_extproc.core.endpoint import BY_NAME
from gateway_extproc.core.exchange import Exchange

BYPASS_HEADER: Final = "x-gateway-cache"
"""Of a request: ``bypass`` leaves the cache aside, ``exact`` wants no answer to another text."""

TALKING_HEADERS: Final = ("anthropic-version", "anthropic-beta", "openai-beta")
"""Headers by which a client changes what an answer is."""

_HOW_IT_COMES: Final = ("stream", "stream_options")
"""Fields that change the form of an answer, not what it says."""
_SAMPLED_BY: Final = ("temperature", "top_p", "top_k", "seed", "p", "k", "topP", "topK")
_SAMPLING: Final = ("inferenceConfig", "generationConfig", "additionalModelRequestFields")
"""Objects in which Bedrock's and Gemini's clients say it."""


class CachePolicy:
    """What the configuration says of requests; indexed for the path of a request."""

    def __init__(self, cache: Cache, revision: str) -> None:
        self._sampling = cache.sampling
        self._classes = frozenset(cache.data_classes)
        self._shares = {tenant: share.id for share in cache.shared for tenant in share.tenants}
        self._revision = revision

    def why_not(self, exchange: Exchange) -> str:
        """Why the cache has nothing to do with this request; "" where it has."""
        asked, permit = exchange.approved, exchange.permit
        assert asked is not None
        assert permit is not None
        if exchange.headers.get(BYPASS_HEADER, "").lower() == "bypass":
            return "asked"
        if exchange.findings or exchange.masked is not None:
            # An answer may hold what only this conversation knows.
            return "guard"
        if exchange.failed_open or "guard" in exchange.degraded:
            return "degraded"
        if not permit.data_classes <= self._classes:
            return "data_class"
        if asked.mistake is not None:
            return "mistake"
        if asked.completions > 1:
            return "completions"
        if asked.answers != "json" or BY_NAME[asked.endpoint].form:
            return "form"
        return "" if self._is_steady(asked.document) else "sampling"

    def _is_steady(self, document: Mapping[str, Any]) -> bool:
        if self._sampling == "any":
            return True
        for key in _SAMPLING:
            inside = document.get(key)
            if type(inside) is dict:
                document = {**document, **inside}
        temperature = document.get("temperature")
        if temperature == 0 and temperature is not False:
            return True
        said_nothing = all(document.get(name) is None for name in _SAMPLED_BY)
        return said_nothing and self._sampling == "unasked"

    def key(self, exchange: Exchange) -> bytes:
        """The name of the answer to exactly this request: 32 bytes.

        Two requests have one name only if whoever answers one may answer the other: of one tenant
        (or share), policy, route and data classes, judged by the same rules on answers.
        """
        assert exchange.approved is not None
        assert exchange.permit is not None
        tenant = exchange.permit.principal.tenant.id
        share = self._shares.get(tenant)
        whose = ("tenant", tenant) if share is None else ("share", share)
        return _digest(self._scope(exchange, whose), exchange.approved.document)

    def family(self, exchange: Exchange) -> tuple[bytes, str] | None:
        """The name of all requests that differ in the last user turn only, and that turn.

        Always within one tenant.  None where the last turn is not the user's plain text.
        """
        assert exchange.approved is not None
        assert exchange.permit is not None
        found = _last_turn(exchange.approved.document)
        if found is None:
            return None
        path, text = found
        whose = ("tenant", exchange.permit.principal.tenant.id)
        rest = replace_at(exchange.approved.document, ((path, ""),))
        return _digest(self._scope(exchange, whose), rest), text

    def _scope(self, exchange: Exchange, whose: tuple[str, str]) -> list[Any]:
        assert exchange.approved is not None
        assert exchange.permit is not None
        headers = exchange.headers
        return [
            whose,
            self._revision,
            exchange.approved.endpoint,
            exchange.route_id,
            sorted(exchange.permit.data_classes),
            # An answer was judged for whom it was made; others may have tighter rules.
            exchange.guard_scope,
            [headers.get(name, "") for name in TALKING_HEADERS],
        ]


def canonical(document: Mapping[str, Any]) -> bytes:
    """The request as bytes, whatever the order of its keys and the form of its answer."""
    said = {name: value for name, value in document.items() if name not in _HOW_IT_COMES}
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def _digest(scope: list[Any], document: Mapping[str, Any]) -> bytes:
    head = orjson.dumps(scope)
    # The length stands first, or a document could continue a scope.
    text = b"".join((len(head).to_bytes(4, "big"), head, canonical(document)))
    return hashlib.sha256(text).digest()


def _last_turn(document: Mapping[str, Any]) -> tuple[tuple[str | int, ...], str] | None:
    messages = document.get("messages")
    if not messages or messages[-1].get("role") != "user":
        return None
    path: tuple[str | int, ...] = ("messages", len(messages) - 1, "content")
    content = messages[-1].get("content")
    if type(content) is list and len(content) == 1 and content[0].get("type") == "text":
        path, content = (*path, 0, "text"), content[0].get("text")
    return (path, content) if type(content) is str and content.strip() else None
