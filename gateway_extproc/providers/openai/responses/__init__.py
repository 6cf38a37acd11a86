"""OpenAI's ``POST /v1/responses``, without memory at the provider.

The conversation travels in the request, every time: what a provider would look up under the
gateway's own account (an earlier response, a stored prompt, a file, a vector store) belongs to
all tenants at once and is refused by name.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.ports import AnswerWriter
from gateway_extproc.providers.interface import Interface
from gateway_extproc.providers.openai.responses.answer import answer
from gateway_extproc.providers.openai.responses.reader import responses_reader
from gateway_extproc.providers.openai.responses.request import CAP, read_request
from gateway_extproc.providers.openai.responses.writer import ResponsesWriter


def _edit(request: LlmRequest, model: str, max_tokens: int, force_usage: bool) -> dict[str, Any]:
    """Usage always comes, asked for or not."""
    asked = request.max_tokens
    return {"model": model, CAP: max_tokens if asked is None else min(asked, max_tokens)}


def _writer(request: LlmRequest, created: int) -> AnswerWriter:
    return ResponsesWriter(request.model, created)


RESPONSES: Final = Interface(
    "responses", "/responses", read_request, _edit, answer, responses_reader, _writer
)
