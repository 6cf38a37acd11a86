"""parse: the client's dialect, read on the way in and written on the way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from gateway_extproc.config.compile import Route
from gateway_extproc.core.chat import Document, LlmRequest
from gateway_extproc.core.endpoint import Endpoint, with_path
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.form import FORM, boundary_of, read_form
from gateway_extproc.core.jsonin import read_object
from gateway_extproc.core.ports import AnswerWriter, Dialect
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Amend, Respond, Verdict
from gateway_extproc.providers.openai.unchecked import read_leniently

WriterFor = Callable[[Exchange], AnswerWriter]


class Parse(Stage):
    name = "parse"

    def __init__(
        self,
        dialects: Mapping[str, Dialect],
        writer_for: WriterFor,
        routes: Mapping[str, Route],
        *,
        max_depth: int,
    ) -> None:
        self._dialects = dialects
        self._writer_for = writer_for
        self._lenient = {
            model: route
            for model, route in routes.items()
            if route.unread_tokens or route.leaves_mistakes
        }
        self._max_depth = max_depth

    async def request_headers(self, exchange: Exchange) -> Verdict:
        assert exchange.endpoint is not None
        if not exchange.endpoint.has_body or exchange.endpoint.kind == "passed":
            return CONTINUE
        kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        wanted = FORM if exchange.endpoint.form else "application/json"
        if kind != wanted:
            message = f"The content-type must be {wanted}."
            return Respond(refuse("unsupported_content_type", message))
        if exchange.endpoint.form and boundary_of(exchange.headers["content-type"]) is None:
            message = f"The content-type {FORM} must name one boundary."
            return Respond(refuse("unsupported_content_type", message))
        if exchange.headers.get("content-encoding", "identity").lower() != "identity":
            message = "The request's body must not be compressed."
            return Respond(refuse("unsupported_content_encoding", message))
        return CONTINUE

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        assert exchange.endpoint is not None
        if not exchange.endpoint.has_body or exchange.endpoint.kind == "passed":
            return CONTINUE
        if not body:
            return Respond(refuse("body_required", "This endpoint needs a body."))
        sent = self._sent(exchange, body)
        document = with_path(exchange.endpoint, exchange.path, sent)
        if exchange.endpoint.kind == "resource":
            exchange.document = document
            return CONTINUE
        exchange.asked = self._read(exchange.endpoint, document)
        # A later attempt knows no path: what stands there goes along in the document.
        exchange.asked_body = body if document is sent else orjson.dumps(document)
        return _leave_of(exchange.asked)

    def _read(self, endpoint: Endpoint, document: Document) -> LlmRequest:
        dialect, model = self._dialects[endpoint.dialect], document.get("model")
        route = self._lenient.get(model) if type(model) is str else None
        if route is None:
            return dialect.read_request(endpoint.name, document)
        return read_leniently(
            dialect, endpoint.name, document,
            tokens=route.unread_tokens, mistakes=route.leaves_mistakes,
        )  # fmt: skip

    def _sent(self, exchange: Exchange, body: bytes) -> Document:
        assert exchange.endpoint is not None
        if not exchange.endpoint.form:
            return read_object(body, max_depth=self._max_depth)
        boundary = boundary_of(exchange.headers.get("content-type", ""))
        assert boundary is not None
        return read_form(body, boundary)

    async def response_body(self, exchange: Exchange, body: bytes, *, last: bool) -> Verdict:
        if exchange.streaming:
            return self._write_stream(exchange, body)
        released = exchange.released
        if released is None or released.document is None:
            return CONTINUE
        if released.raw is not None:
            exchange.client_body = released.raw
            if released.raw == body:
                return CONTINUE
        else:
            is_text = exchange.asked is not None and exchange.asked.answers == "text"
            exchange.client_body = (
                released.document["text"].encode() if is_text else orjson.dumps(released.document)
            )
        return Amend(
            set_headers=(("content-length", str(len(exchange.client_body))),),
            body=exchange.client_body,
        )

    def _write_stream(self, exchange: Exchange, body: bytes) -> Verdict:
        released = exchange.released
        assert released is not None
        if exchange.writer is None:
            exchange.writer = self._writer_for(exchange)
        parts = [exchange.writer.write(chunk) for chunk in released.chunks]
        if exchange.stream_blocked_by and released.raw is None:
            parts.append(exchange.writer.stop())
        elif released.refusal is not None:
            parts.append(exchange.writer.error(released.refusal))
        written = b"".join(parts)
        if exchange.cache is not None and exchange.cache.copy is not None:
            exchange.cache.copy.add(written)
        return CONTINUE if written == body else Amend(body=written)


def _leave_of(asked: LlmRequest) -> Verdict:
    """What policy let pass is told, so that the record names it."""
    if asked.mistake is not None:
        return Amend(rule="mistakes")
    return Amend(rule="unread_tokens") if asked.unread_tokens else CONTINUE
