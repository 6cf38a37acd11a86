"""passing: paths that policy lets pass to a provider as they are.

Nothing of them is read.  Whoever may do that is identified, allowed and recorded like any other,
and what a provider may see by its data classes holds here, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway_extproc.core.endpoint import REALTIME, Endpoint
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.relayed import Relayed
from gateway_extproc.core.route import Target
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Respond, Verdict
from gateway_extproc.stages.authorize import data_class_event

_PLAIN: Final = re.compile(r"(/[A-Za-z0-9._~@:+,=$!*'()-]+)+")
"""Paths that everybody reads in one way; Envoy has resolved dots and doubled slashes before."""
_PROTOCOL, _KEY_INSIDE = "sec-websocket-protocol", "api-key"


@dataclass(frozen=True, slots=True)
class Passage:
    """One section ``passthrough``, compiled; ``target`` names the provider and no model.

    ``socket_target`` is the same provider where its websockets begin; None where there are none.
    """

    name: str
    target: Target
    exact: frozenset[str]
    prefixes: tuple[str, ...]
    methods: frozenset[str]
    strip: str
    socket_target: Target | None = None

    def takes(self, path: str) -> bool:
        if path == REALTIME and self.socket_target is None:
            return False
        return path in self.exact or path.startswith(self.prefixes)


class Passages:
    """All of them, in order."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self._passages = tuple(passages)
        self.by_name: Mapping[str, Passage] = {passage.name: passage for passage in self._passages}

    def find(self, method: str, path: str) -> Endpoint | None:
        """The interface behind a path, as others see it; None where none passes."""
        plain = path.partition("?")[0]
        if not _PLAIN.fullmatch(plain) or {".", ".."} & set(plain.split("/")):
            return None
        for passage in self._passages:
            if passage.takes(plain):
                known = method in passage.methods
                taken = method if known else ", ".join(sorted(passage.methods))
                return Endpoint(
                    passage.name, taken, plain, "openai", kind="passed",
                    websockets=passage.socket_target is not None,
                )  # fmt: skip
        return None


class Passing(Stage):
    name = "passing"

    def __init__(self, passages: Passages) -> None:
        self._passages = passages.by_name

    async def request_headers(self, exchange: Exchange) -> Verdict:
        if not self._is_passed(exchange):
            return CONTINUE
        if exchange.headers.get("content-encoding", "identity").lower() != "identity":
            message = "The request's body must not be compressed."
            return Respond(refuse("unsupported_content_encoding", message))
        if exchange.websocket and _KEY_INSIDE in exchange.headers.get(_PROTOCOL, "").lower():
            # Browsers can send no other header: it would be the provider's to read.
            message = f"Send your key in authorization, not in {_PROTOCOL}."
            return Respond(refuse("invalid_request", message))
        return CONTINUE

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        if not self._is_passed(exchange):
            return CONTINUE
        assert exchange.endpoint is not None
        passage = self._passages[exchange.endpoint.name]
        refusal = may_see(exchange, passage.target)
        if refusal is not None:
            return Respond(refusal)
        target = passage.socket_target if exchange.websocket else passage.target
        assert target is not None  # the admit stage has looked
        exchange.targets = (target,)
        path = exchange.path.removeprefix(passage.strip)
        exchange.relayed = Relayed(
            target, path, as_it_comes=True,
            content_type=exchange.headers.get("content-type", ""),
        )  # fmt: skip
        return CONTINUE

    @staticmethod
    def _is_passed(exchange: Exchange) -> bool:
        return exchange.endpoint is not None and exchange.endpoint.kind == "passed"


def may_see(exchange: Exchange, target: Target) -> Refusal | None:
    """Whether a provider is one for this caller and its data."""
    assert exchange.permit is not None
    if exchange.grant is not None and not exchange.grant.may_use_target(target.name):
        return refuse("target_not_allowed", "Your roles do not allow whoever serves this.")
    if not exchange.permit.data_classes <= target.data_classes:
        exchange.events.append(data_class_event(exchange))
        message = "The provider of this path is not approved for this request's data class."
        return refuse("no_eligible_target", message)
    return None
