"""A finished request to a server of OpenAI's dialect, as its family wants it.

The table of families is in ``config.families``; here stands what its lines do to a document.  What
a server could not be told is refused by name, as between dialects; hints that say nothing about
the answer are left out.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from gateway_extproc.config.families import Family
from gateway_extproc.core.chat import Document, LlmRequest
from gateway_extproc.core.endpoint import CHATTING
from gateway_extproc.core.errors import RequestError, refuse
from gateway_extproc.core.verdict import Header

CAPS: Final = ("max_tokens", "max_completion_tokens")

_ASK_FOR_NOTHING: Final[dict[str, tuple[Any, ...]]] = {
    "logit_bias": ({},),
    "logprobs": (False,),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "tool_choice": ("auto",),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
}
"""Values that say what holds anyway; a null always does."""


def adapted(document: Document, family: Family, request: LlmRequest, language: str) -> Document:
    """The document for a server of this family; raises ``RequestError`` with the field.

    ``language`` is the one in which the server is asked (``core.endpoint.spoken``).

    The same object where nothing differs.  Of a request with a mistake only the provider's own
    checks speak, so a server that has none is not asked.
    """
    if request.mistake is not None and not family.checks_values:
        raise RequestError(request.mistake)
    passed = request.endpoint == "responses" and language == "openai"
    if request.endpoint not in CHATTING or language == "openai:responses" or passed:
        return document  # only chats differ
    adapted = dict(document)
    _spell_cap(adapted, family, request)
    if request.mistake is not None:
        return adapted
    for key in family.refused & adapted.keys():
        if adapted[key] is not None and adapted[key] not in _ASK_FOR_NOTHING.get(key, ()):
            message = f"'{key}' is not understood by the provider that serves this model."
            raise RequestError(refuse("unsupported_parameter", message, param=key))
        del adapted[key]
    for key in family.left_out & adapted.keys():
        del adapted[key]
    for key, name in family.renamed.items():
        if key in adapted:
            adapted[name] = adapted.pop(key)
    if not family.developer_role:
        adapted["messages"] = [_without_developer(message) for message in document["messages"]]
    return adapted


def _spell_cap(document: dict[str, Any], family: Family, request: LlmRequest) -> None:
    """The cap as the client spelled it, where the server knows that, else as the server does."""
    spelled = [key for key in CAPS if document.get(key) is not None]
    own = request.document if request.dialect == "openai" else {}
    asked = [key for key in CAPS if own.get(key) is not None and key in family.caps]
    wanted = asked or list(family.caps[:1])
    if not spelled or spelled == wanted:
        return
    cap = document[spelled[0]]
    for key in CAPS:
        document.pop(key, None)
    for key in wanted:
        document[key] = cap


def _without_developer(message: Document) -> Document:
    return {**message, "role": "system"} if message.get("role") == "developer" else message


def path_at(family: Family, base_path: str, interface: str, model: str) -> str:
    """Path and query of an interface, such as ``/chat/completions``."""
    path = family.path.format(
        base=base_path.rstrip("/"), model=quote(model, safe=""), interface=interface
    )
    return f"{path}?{family.query}" if family.query else path


def headers_for(family: Family, secret: str) -> tuple[Header, ...]:
    """The credential, and what else the server wants to be told."""
    name = family.credential_header
    proof = f"Bearer {secret}" if name == "authorization" else secret
    return (*family.headers.items(), (name, proof))
