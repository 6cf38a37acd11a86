"""forget: lets go of an upload as soon as it was handed to Envoy.

A file is large, its answer may take minutes, and nothing of a worker needs it any more: a further
attempt is made from what Envoy carries.  Innermost, behind whoever might copy it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway_extproc.core.chat import Document, LlmRequest
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.form import is_file
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Verdict


class Forget(Stage):
    name = "forget"

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        if exchange.endpoint is None or not exchange.endpoint.form:
            return CONTINUE
        exchange.asked_body = exchange.sent_body = b""
        exchange.document = None
        for name in ("asked", "approved"):
            request: LlmRequest | None = getattr(exchange, name)
            if request is not None:
                setattr(exchange, name, replace(request, document=without_files(request.document)))
        if exchange.relayed is not None:
            exchange.relayed.lines, exchange.relayed.form = (), {}
            exchange.relayed.body = b""
        return CONTINUE


def without_files(form: Document) -> dict[str, Any]:
    """The form with the names of its files, but not what is in them."""
    return {
        key: [_emptied(item) for item in value] if type(value) is list else _emptied(value)
        for key, value in form.items()
    }


def _emptied(value: Any) -> Any:
    return {**value, "data": b""} if is_file(value) else value
