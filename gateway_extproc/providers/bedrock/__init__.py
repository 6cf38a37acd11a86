"""Amazon Bedrock's Converse, as providers speak it; no client of the gateway does."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from gateway_extproc.core.chat import ChatRequest, ChatResponse, Document, LlmRequest, TextAt
from gateway_extproc.core.errors import Refusal, RequestError, refuse
from gateway_extproc.core.ports import Sent
from gateway_extproc.core.verdict import Header
from gateway_extproc.providers.bedrock import answer, errors, from_hub
from gateway_extproc.providers.bedrock.sigv4 import read_key, sign
from gateway_extproc.providers.problems import Unreadable

SERVICE = "bedrock"
"""What signatures are for; the host is ``bedrock-runtime.<region>.amazonaws.com``."""


class Bedrock:
    """The dialect (``core.ports.Dialect``) of providers, and its way over the hub."""

    name: str = "bedrock"

    def read_request(self, endpoint: str, document: Document) -> LlmRequest:
        """Raises ``RequestError``: nobody asks in this dialect."""
        raise RequestError(refuse("unknown_endpoint", "This endpoint is not served."))

    def refusal_body(self, refusal: Refusal, request_id: str) -> bytes:
        """``{"message": ...}``: read back from a fallback that the gateway itself refused."""
        return orjson.dumps({"message": refusal.message})

    def refusal_headers(self, refusal: Refusal) -> tuple[Header, ...]:
        return ()

    def answer_texts(self, document: Document) -> tuple[TextAt, ...]:
        """Raises ``Unreadable``: nobody is answered in this dialect."""
        raise Unreadable

    def credential_headers(self, secret: str, sent: Sent) -> tuple[Header, ...]:
        """A signature of the request; raises LookupError for what is no AWS credential."""
        return sign(read_key(secret), sent, SERVICE)

    def read_error(self, status: int, document: Document | None) -> Refusal:
        """A provider's error answer, with its message kept."""
        return errors.read_error(status, document)

    # -- the hub
    def from_chat(self, chat: ChatRequest, client: str = "openai") -> dict[str, Any]:
        """A provider's document; raises ``RequestError`` for what Converse cannot express."""
        return from_hub.from_chat(chat, client)

    def answer_to_chat(self, document: Document) -> ChatResponse:
        """A provider's whole answer; raises ``Unreadable``."""
        return answer.answer_to_chat(document)


def provider_path(base_path: str, model: str, *, stream: bool) -> str:
    """Where a model (an id, an inference profile or an ARN) answers."""
    verb = "converse-stream" if stream else "converse"
    return f"{base_path.rstrip('/')}/model/{quote(model, safe='-._~')}/{verb}"
