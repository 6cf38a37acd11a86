"""translate: the client's dialect to the provider's, and the answer back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from gateway_extproc.core.chat import (
    Chunk,
    End,
    LlmRequest,
    Start,
    Stop,
    StreamError,
    TextDelta,
    UsageReport,
)
from gateway_extproc.core.endpoint import BY_NAME, SWITCHED, is_stream, stream_type
from gateway_extproc.core.errors import REASONS, Refusal, RequestError, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.form import to_json
from gateway_extproc.core.names import DETAILS_PREFIX
from gateway_extproc.core.ports import Dialect, Release, Translator
from gateway_extproc.core.route import Target
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Amend, Respond, RoutePlan, Verdict
from gateway_extproc.providers.codings import CodingError, find_decoder, nothing_more
from gateway_extproc.providers.openai.voices import BytesReader, BytesWriter, is_sound
from gateway_extproc.routing.attempts import find_answering
from gateway_extproc.stages.attempt import HANDSHAKE, AttemptBuilder, TranslatorFor, dropped_headers

ANSWER_HEADERS = frozenset(
    {"cache-control", "content-length", "content-type", "date", "retry-after", "vary"}
)
"""What of a provider's headers reaches a client; the rest may name accounts and topology."""

ANSWER_BYTES = 16 * 1024 * 1024
"""Bound of a whole answer that came compressed."""


class Translate(Stage):
    name = "translate"

    def __init__(
        self,
        dialects: Mapping[str, Dialect],
        translator_for: TranslatorFor,
        attempts: AttemptBuilder,
        answer_bytes: int = ANSWER_BYTES,
    ) -> None:
        self._dialects = dialects
        self._translator_for = translator_for
        self._attempts = attempts
        self._answer_bytes = answer_bytes

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        request = exchange.approved
        if request is None:  # nothing to translate: relay sends it
            return CONTINUE
        first = exchange.targets[0]
        cap = exchange.cap_tokens
        language = first.spoken(request.endpoint)
        translated, dropped = self._attempts.write(
            request, language, first.model, cap, provider=first.provider, drop=first.drops
        )
        exchange.dropped = (dropped,)
        headers = self._attempts.body_headers(
            request, language, first.base_path, first.model, translated, first.provider
        )
        exchange.sent_path, exchange.sent_body = dict(headers)[":path"], translated
        return Amend(
            set_headers=headers,
            body=translated,
            plan=_plan(exchange, request, cap),
        )

    async def response_headers(self, exchange: Exchange) -> Verdict:
        headers = exchange.response_headers
        if _speaks_for_a_provider(exchange.response_details):
            exchange.answered_by = find_answering(
                exchange.targets, exchange.response_cluster, exchange.attempt_count
            )
        exchange.provider_request_id = (
            headers.get("x-request-id") or headers.get("request-id") or ""
        )[:128]
        removed = tuple(
            name for name in headers if name not in ANSWER_HEADERS and not name.startswith(":")
        )
        coding = headers.get("content-encoding", "identity").strip().lower()
        if _is_relayed(exchange):
            # Files are not text: nobody may compress them unasked.
            is_plain = coding == "identity"
            return _relay(exchange, removed) if is_plain else Respond(_UNREADABLE)
        if exchange.response_headers_only or exchange.websocket:  # of which no body comes here
            return Respond(self._read_error(exchange, b""))
        if exchange.relayed is not None:
            return Amend(remove_headers=removed)
        assert exchange.approved is not None
        self._note_dropped(exchange)
        told = dropped_headers(exchange.dropped[-1]) if exchange.dropped else ()
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        exchange.streaming = (
            exchange.response_status == 200
            and exchange.answered_by is not None
            and _is_stream(exchange.approved, exchange.answered_by, kind)
        )
        if coding != "identity":
            bound = None if exchange.streaming else self._answer_bytes
            exchange.decoder = find_decoder(coding, bound)
            if exchange.decoder is None:
                return Respond(_UNREADABLE)
        if not exchange.streaming:
            return Amend(set_headers=told, remove_headers=removed)
        client_type = _stream_type(exchange.approved, kind)
        retyped = () if kind == client_type else (("content-type", client_type),)
        return Amend(
            set_headers=(
                *(("cache-control", "no-cache"), ("x-accel-buffering", "no")),
                *retyped,
                *told,
            ),
            remove_headers=(*removed, "content-length"),
            body_mode="streamed",
        )

    def _note_dropped(self, exchange: Exchange) -> None:
        """What later attempts left out: they were written elsewhere, but of the same request."""
        request = exchange.approved
        assert request is not None
        for target in exchange.targets[len(exchange.dropped) : exchange.attempt_count]:
            try:
                dropped = self._attempts.write(
                    request,
                    target.spoken(request.endpoint),
                    target.model,
                    exchange.cap_tokens,
                    provider=target.provider,
                    drop=target.drops,
                ).dropped
            except RequestError:  # the attempt was refused for the same reason
                dropped = ()
            exchange.dropped = (*exchange.dropped, dropped)

    async def response_body(self, exchange: Exchange, body: bytes, *, last: bool) -> Verdict:
        target = exchange.answered_by
        if exchange.decoder is not None:
            try:
                # A stream tells by its own end mark whether all of it came.
                body = exchange.decoder.feed(body, last=last and not exchange.streaming)
            except CodingError:
                if not exchange.streaming:
                    return Respond(_UNREADABLE)
                _break_off(exchange)
                return CONTINUE
        if exchange.relayed is not None and exchange.streaming:
            assert exchange.reader is not None
            exchange.arrived = Release(chunks=exchange.reader.feed(body, last=last))
            exchange.answer_ended_well = last
            return CONTINUE
        if _is_relayed(exchange):
            return CONTINUE
        if exchange.streaming:
            assert target is not None
            self._read_stream(exchange, target, body, last=last)
            return CONTINUE
        if target is None or exchange.response_status != 200:
            return Respond(self._read_error(exchange, body))
        return self._read_answer(exchange, target, body)

    def _read_answer(self, exchange: Exchange, target: Target, body: bytes) -> Verdict:
        request = exchange.approved
        assert request is not None
        document = _text(body) if request.answers == "text" else _object(body)
        if document is None or request.stream:
            return Respond(_UNREADABLE)
        translator = self._translator(request, target)
        release = translator.answer(document, body, request.model, exchange.asked)
        if release.refusal is not None:
            return Respond(release.refusal)
        exchange.arrived = release
        exchange.reported_usage = release.usage
        exchange.response_model = release.model
        exchange.stop_reason = release.stop_reason
        exchange.answer_text_bytes = sum(len(at.text.encode()) for at in release.texts)
        exchange.answer_ended_well = True
        return CONTINUE

    def _read_stream(self, exchange: Exchange, target: Target, body: bytes, *, last: bool) -> None:
        if exchange.reader is None:
            request = exchange.approved
            assert request is not None
            as_it_comes = request.answers == "bytes"
            exchange.reader = (
                BytesReader() if as_it_comes else self._translator(request, target).reader()
            )
        chunks = exchange.reader.feed(body, last=last)
        for chunk in chunks:
            _meter(exchange, chunk)
        # A stream that a rule ended, or that told its own error, is not also incomplete.
        broken = last and not exchange.answer_ended_well and exchange.outcome == "open"
        if broken:
            exchange.outcome = "failed"
            exchange.refusal = _INCOMPLETE
        exchange.arrived = Release(chunks=chunks, refusal=_INCOMPLETE if broken else None)

    def _translator(self, request: LlmRequest, target: Target) -> Translator:
        return self._translator_for(
            request.dialect, target.spoken(request.endpoint), request.endpoint
        )

    def _read_error(self, exchange: Exchange, body: bytes) -> Refusal:
        target = exchange.answered_by
        if target is None or exchange.response_status < 400:
            # Nobody answered, or nobody that was asked: Envoy speaks of itself here.
            if exchange.response_status == 504:
                return _TIMEOUT
            return _UNREADABLE if exchange.response_status < 400 else _UNAVAILABLE
        document = _object(body)
        if document is None and exchange.response_status in (502, 503, 504):
            return _TIMEOUT if exchange.response_status == 504 else _UNAVAILABLE
        refusal = self._dialects[target.dialect].read_error(exchange.response_status, document)
        reason = exchange.response_details.removeprefix(DETAILS_PREFIX)
        if reason in REASONS:
            # A fallback that the gateway itself refused, in its provider's words.
            refusal = replace(refusal, reason=reason)
        for name, shown in exchange.relayed.names.items() if exchange.relayed else ():
            refusal = replace(refusal, message=refusal.message.replace(name, shown))
        return _with_retry_after(refusal, exchange.response_headers.get("retry-after", ""))


_UNREADABLE = refuse("provider_answer_unreadable", "The provider's answer could not be read.")
_UNAVAILABLE = refuse("provider_unavailable", "No provider of this model is available now.")
_TIMEOUT = refuse("provider_timeout", "The providers of this model did not answer in time.")
_INCOMPLETE = refuse(
    "provider_stream_incomplete", "The provider's stream ended before its answer was complete."
)


def _break_off(exchange: Exchange) -> None:
    """A compressed stream that cannot be read any further; what came before has left."""
    exchange.decoder = nothing_more()
    if exchange.outcome != "open" or exchange.answer_ended_well:
        exchange.arrived = Release()
        return
    exchange.outcome, exchange.refusal = "failed", _UNREADABLE
    exchange.arrived = Release(refusal=_UNREADABLE)


def _is_stream(request: LlmRequest, target: Target, kind: str) -> bool:
    """Whether an answer is passed on as it comes: events that were asked for, or sound."""
    if request.stream:
        return is_stream(target.dialect, kind)
    return request.answers == "bytes" and is_sound(kind)


def _stream_type(request: LlmRequest, kind: str) -> str:
    """What a client's stream is: its dialect's, or the sound that came."""
    return stream_type(request.dialect, request.document) if request.stream else kind


def _is_relayed(exchange: Exchange) -> bool:
    """Whether a provider answered well what no model was asked for."""
    status, switched = exchange.response_status, exchange.websocket
    is_good = 200 <= status < 300 or (switched and status == SWITCHED)
    return exchange.relayed is not None and exchange.answered_by is not None and is_good


def _relay(exchange: Exchange, removed: tuple[str, ...]) -> Amend:
    """What nobody reads comes as it is; the rest is whole before it is read."""
    assert exchange.relayed is not None
    if exchange.response_status == SWITCHED:
        kept = tuple(name for name in removed if name not in HANDSHAKE)
        return Amend(remove_headers=kept, body_mode="none")
    if not exchange.relayed.as_it_comes or exchange.response_headers_only:
        return Amend(remove_headers=removed)
    exchange.streaming = True
    exchange.reader, exchange.writer = BytesReader(), BytesWriter()
    return Amend(remove_headers=(*removed, "content-length"), body_mode="streamed")


def _speaks_for_a_provider(details: str) -> bool:
    """False for what Envoy says itself, in words of its own, about an attempt that failed.

    A fallback that was refused (details ``gateway_...``) speaks its provider's dialect.
    """
    return details == "via_upstream" or details.startswith(DETAILS_PREFIX)


def _meter(exchange: Exchange, chunk: Chunk) -> None:
    """Notes what a chunk says, so that a stream that ends now is known as it is now."""
    for event in chunk.events:
        match event:
            case TextDelta(text=text):
                exchange.answer_text_bytes += len(text.encode())
            case UsageReport(usage=usage):
                exchange.reported_usage = usage
            case Start(model=model):
                exchange.response_model = model
            case Stop(reason=reason):
                exchange.stop_reason = reason
            case StreamError(type=kind, code=code, message=message):
                exchange.outcome = "failed"
                exchange.refusal = Refusal("provider_error", message, 502, kind, code)
            case End():
                exchange.answer_ended_well = True


def _plan(exchange: Exchange, request: LlmRequest, max_tokens: int) -> RoutePlan:
    first, *others = exchange.targets
    if request.mistake is not None:
        others = []  # whom a provider refuses a wrong value no other one will serve
    clusters = (first.cluster, *(target.fallback_cluster for target in others))
    if not others:
        return RoutePlan(clusters)
    unchanged = request is exchange.asked
    note = {
        "request_id": exchange.request_id,
        "decision_id": exchange.decision_id,
        "dialect": request.dialect,
        "endpoint": request.endpoint,
        "model": request.model,
        "stream": request.stream,
        "wants_usage": request.wants_usage,
        "asked_tokens": request.max_tokens,
        "max_tokens": max_tokens,
        # One an attempt, in order: targets of one provider share its fallback cluster.
        "further": [[target.fallback_cluster, target.model] for target in others],
        "document": (
            orjson.Fragment(exchange.asked_body)
            if unchanged and not BY_NAME[request.endpoint].form
            else request.document
        ),
    }
    dropping = [number for number, target in enumerate(others, start=2) if target.drops]
    if dropping:
        note["dropping"] = dropping
    if exchange.watching is not None and exchange.watching.positions:
        note["credentials"] = exchange.watching.positions
    return RoutePlan(clusters, orjson.dumps(note, default=to_json).decode())


def _object(body: bytes) -> dict[str, object] | None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(document, list) and document:  # Google's errors may stand in an array
        document = document[0]
    return document if isinstance(document, dict) else None


def _text(body: bytes) -> dict[str, object] | None:
    """An answer that is plain text, as the document that it stands for."""
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return None


def _with_retry_after(refusal: Refusal, value: str) -> Refusal:
    return replace(refusal, retry_after_s=float(value)) if value.isdecimal() else refusal
