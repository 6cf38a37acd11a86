"""Amazon Bedrock's Converse, as clients speak it and as providers answer it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from gateway_extproc.core.chat import ChatRequest, ChatResponse, Document, LlmRequest, TextAt
from gateway_extproc.core.errors import Refusal, RequestError, refuse
from gateway_extproc.core.ports import Sent
from gateway_extproc.core.verdict import Header
from gateway_extproc.providers.bedrock import answer, errors, from_hub, request, to_hub
from gateway_extproc.providers.bedrock.sigv4 import read_key, sign

SERVICE = "bedrock"
"""What signatures are for; the host is ``bedrock-runtime.<region>.amazonaws.com``."""


class Bedrock:
    """The dialect (``core.ports.Dialect``) and its two ways over the hub."""

    name: str = "bedrock"

    def read_request(self, endpoint: str, document: Document) -> LlmRequest:
        """Checks types and finds the texts; raises ``RequestError`` with the field."""
        if endpoint != "converse":
            raise RequestError(refuse("unknown_endpoint", "This endpoint is not served."))
        return request.read_request(document)

    def refusal_body(self, refusal: Refusal, request_id: str) -> bytes:
        """``{"message": ...}``; read back from a fallback that the gateway itself refused."""
        return orjson.dumps(errors.refusal_object(refusal))

    def refusal_headers(self, refusal: Refusal) -> tuple[Header, ...]:
        """The name of the exception, which AWS's SDKs read there."""
        return errors.refusal_headers(refusal)

    def answer_texts(self, document: Document) -> tuple[TextAt, ...]:
        """Every text of a whole answer; raises ``Unreadable`` for another shape."""
        return answer.answer_texts(document)

    def credential_headers(self, secret: str, sent: Sent) -> tuple[Header, ...]:
        """A signature of the request; raises LookupError for what is no AWS credential."""
        return sign(read_key(secret), sent, SERVICE)

    def read_error(self, status: int, document: Document | None) -> Refusal:
        """A provider's error answer, with its message kept."""
        return errors.read_error(status, document)

    # -- the hub
    def to_chat(self, document: Document, target: str = "openai") -> ChatRequest:
        """The hub's request; raises ``RequestError`` for what ``target`` cannot express."""
        return to_hub.to_chat(document, target)

    def from_chat(self, chat: ChatRequest, client: str = "openai") -> dict[str, Any]:
        """A provider's document; raises ``RequestError`` for what Converse cannot express."""
        return from_hub.from_chat(chat, client)

    def answer_to_chat(self, document: Document) -> ChatResponse:
        """A provider's whole answer; raises ``Unreadable``."""
        return answer.answer_to_chat(document)

    def answer_from_chat(self, response: ChatResponse, created: int) -> dict[str, Any]:
        """A whole answer for a client; Converse's answers carry no time."""
        return answer.answer_from_chat(response)


def wants_thoughts(document: Document) -> bool:
    """Whether a client asked to read what the model thinks."""
    more = document.get(request.MORE) or {}
    return any((more.get(key) or {}).get("type") == "enabled" for key in request.THINKING)


def provider_path(base_path: str, model: str, *, stream: bool) -> str:
    """Where a model (an id, an inference profile or an ARN) answers."""
    verb = "converse-stream" if stream else "converse"
    return f"{base_path.rstrip('/')}/model/{quote(model, safe='-._~')}/{verb}"
