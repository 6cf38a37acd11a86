"""OpenAI's interfaces, as clients speak them and as providers answer them."""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway_extproc.core.chat import ChatRequest, ChatResponse, Document, LlmRequest, TextAt
from gateway_extproc.core.errors import Refusal, RequestError, refuse
from gateway_extproc.core.ports import Sent
from gateway_extproc.core.verdict import Header
from gateway_extproc.providers.openai import answer, from_hub, request, to_hub
from gateway_extproc.providers.openai.audio import AUDIO
from gateway_extproc.providers.openai.completions import COMPLETIONS
from gateway_extproc.providers.openai.frames import refusal_object
from gateway_extproc.providers.openai.plain import PLAIN
from gateway_extproc.providers.openai.responses import RESPONSES
from gateway_extproc.providers.problems import provider_refusal

INTERFACES: Final = {
    interface.endpoint: interface for interface in (*PLAIN, *AUDIO, COMPLETIONS, RESPONSES)
}
"""What else providers of this dialect serve, by endpoint; passed on, not translated."""


class OpenAI:
    """The dialect (``core.ports.Dialect``) and its two ways over the hub."""

    name: str = "openai"

    def read_request(self, endpoint: str, document: Document) -> LlmRequest:
        """Checks types and finds the texts; raises ``RequestError`` with the field."""
        if endpoint == "chat":
            return request.read_request(document)
        interface = INTERFACES.get(endpoint)
        if interface is None:
            raise RequestError(refuse("unknown_endpoint", "This endpoint is not served."))
        return interface.read(document)

    def refusal_body(self, refusal: Refusal, request_id: str) -> bytes:
        """``{"error": {...}}``; the request id travels in the ``x-request-id`` header."""
        return orjson.dumps(refusal_object(refusal))

    def refusal_headers(self, refusal: Refusal) -> tuple[Header, ...]:
        return ()

    def answer_texts(self, document: Document) -> tuple[TextAt, ...]:
        """Every text of a whole answer; raises ``Unreadable`` for another shape."""
        answer.check_answer(document)
        return answer.answer_texts(document)

    def credential_headers(self, secret: str, sent: Sent) -> tuple[Header, ...]:
        """The API key as a bearer token (RFC 6750)."""
        return (("authorization", f"Bearer {secret}"),)

    def read_error(self, status: int, document: Document | None) -> Refusal:
        """A provider's error answer, with its own type, code and message kept."""
        return provider_refusal(status, document)

    # -- the hub
    def to_chat(self, document: Document, target: str = "anthropic") -> ChatRequest:
        """The hub's request; raises ``RequestError`` for what ``target`` cannot express."""
        return to_hub.to_chat(document, target)

    def from_chat(self, chat: ChatRequest) -> dict[str, Any]:
        """A provider's document; raises ``RequestError`` for what OpenAI cannot express."""
        return from_hub.from_chat(chat)

    def answer_to_chat(self, document: Document) -> ChatResponse:
        """A provider's whole answer; raises ``Unreadable``."""
        return answer.answer_to_chat(document)

    def answer_from_chat(self, response: ChatResponse, created: int) -> dict[str, Any]:
        """A whole answer for a client; ``created`` in seconds since the epoch."""
        return answer.answer_from_chat(response, created)
