"""Gemini's generateContent, as clients speak it and as Google's two services answer it.

The Gemini API and Vertex AI differ in the credential, and in that Vertex AI knows no ids of
calls.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from gateway_extproc.core.chat import ChatRequest, ChatResponse, Document, LlmRequest, TextAt
from gateway_extproc.core.errors import Refusal, RequestError, refuse
from gateway_extproc.core.ports import Sent
from gateway_extproc.core.verdict import Header
from gateway_extproc.providers.gemini import answer, errors, from_hub, request, to_hub


class Gemini:
    """The dialect (``core.ports.Dialect``) and its two ways over the hub."""

    name: str = "gemini"
    with_ids: bool = True

    def read_request(self, endpoint: str, document: Document) -> LlmRequest:
        """Checks types and finds the texts; raises ``RequestError`` with the field."""
        if endpoint != "generate_content":
            raise RequestError(refuse("unknown_endpoint", "This endpoint is not served."))
        return request.read_request(document)

    def refusal_body(self, refusal: Refusal, request_id: str) -> bytes:
        """``{"error": {...}}``; the request id travels in the ``x-request-id`` header."""
        return orjson.dumps(errors.refusal_object(refusal))

    def refusal_headers(self, refusal: Refusal) -> tuple[Header, ...]:
        return ()

    def answer_texts(self, document: Document) -> tuple[TextAt, ...]:
        """Every text of a whole answer; raises ``Unreadable`` for another shape."""
        answer.check_answer(document)
        return answer.answer_texts(document)

    def credential_headers(self, secret: str, sent: Sent) -> tuple[Header, ...]:
        """The API key in Google's own header."""
        return (("x-goog-api-key", secret),)

    def read_error(self, status: int, document: Document | None) -> Refusal:
        """A provider's error answer, with its own status word and message kept."""
        return errors.read_error(status, document)

    # -- the hub
    def to_chat(self, document: Document, target: str = "openai") -> ChatRequest:
        """The hub's request; raises ``RequestError`` for what ``target`` cannot express."""
        return to_hub.to_chat(document, target)

    def from_chat(self, chat: ChatRequest, client: str = "openai") -> dict[str, Any]:
        """A provider's document; raises ``RequestError`` for what Gemini cannot express."""
        return from_hub.from_chat(chat, client, with_ids=self.with_ids)

    def answer_to_chat(self, document: Document) -> ChatResponse:
        """A provider's whole answer; raises ``Unreadable``."""
        return answer.answer_to_chat(document)

    def answer_from_chat(self, response: ChatResponse, created: int) -> dict[str, Any]:
        """A whole answer for a client; Gemini's answers carry no time."""
        return answer.answer_from_chat(response)


class Vertex(Gemini):
    """The same at Vertex AI, behind a token that whoever mounts the file keeps fresh.

    Its base URL names project and location:
    ``https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/publishers/google``.
    """

    name: str = "vertex"
    with_ids: bool = False

    def credential_headers(self, secret: str, sent: Sent) -> tuple[Header, ...]:
        """An OAuth 2.0 access token (RFC 6750)."""
        return (("authorization", f"Bearer {secret}"),)


def provider_path(base_path: str, model: str, *, stream: bool) -> str:
    """Where a model answers, below ``.../v1beta`` or a Vertex AI publisher."""
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"{base_path.rstrip('/')}/models/{quote(model, safe='@-._~')}:{verb}"
