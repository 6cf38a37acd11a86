"""A refusal as the HTTP answer that the client's SDK understands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import Dialect
from gateway_extproc.core.verdict import Answer, Header
from gateway_extproc.stages.limit import headers_of
from gateway_extproc.stages.record import request_id_headers

FINAL = frozenset(
    {
        "prompt_blocked",
        "answer_blocked",
        "request_cost_too_high",
        "request_exceeds_limit",
        "prompt_too_long",
        "not_cached",
    }
)
"""Refusals that the same request will meet again, whatever their status."""

AGAIN = (("x-should-retry", "true"), ("retry-after-ms", "1"))
"""Of an answer that another target may give better, at once."""


class RefusalWriter:
    """Writes refusals in the dialect of the exchange; JSON comes from the dialect's encoder."""

    def __init__(self, dialects: Mapping[str, Dialect]) -> None:
        self._dialects = dialects

    def __call__(self, exchange: Exchange, refusal: Refusal) -> Answer:
        dialect = self._dialects[exchange.client_dialect]
        if refusal.code is None and (refusal.reason != "provider_error" or refusal.status >= 500):
            # Some providers name no code for a 5xx; a client shall find one.  To a mistake of the
            # client's own, OpenAI answers with a null, which is passed on as it is.
            refusal = replace(refusal, code=refusal.reason)
        headers = (
            ("content-type", "application/json"),
            *dialect.refusal_headers(refusal),
            *request_id_headers(exchange),
            *headers_of(exchange),
            *retry_headers(refusal),
        )
        body = dialect.refusal_body(refusal, exchange.request_id)
        return Answer(refusal.status, headers, body, refusal.reason)


def retry_headers(refusal: Refusal) -> tuple[Header, ...]:
    """What OpenAI's and Anthropic's SDKs read before they try again."""
    if refusal.reason in FINAL:
        return (("x-should-retry", "false"),)
    if refusal.reason == "answer_malformed":
        return AGAIN
    if refusal.retry_after_s is None:
        return ()
    # A budget begins anew in hours or weeks: an SDK that waits for it would only hang.
    stop = (("x-should-retry", "false"),) if refusal.reason == "insufficient_quota" else ()
    return (
        *stop,
        ("retry-after", str(max(1, math.ceil(refusal.retry_after_s)))),
        ("retry-after-ms", str(math.ceil(refusal.retry_after_s * 1000))),
    )
