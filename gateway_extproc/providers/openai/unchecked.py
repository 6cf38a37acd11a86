"""Requests that policy lets pass although this gateway cannot read or would not accept them.

Two things a model's section may allow (``models[].unread_tokens``, ``models[].mistakes``):
prompts that are numbers of a vocabulary, and wrong values that the provider itself shall name.
What holds for every request holds here, too: each string is a text for guards, no spelling of
a cap is overlooked, and whether the answer streams is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest, Role, TextAt
from gateway_extproc.core.errors import Refusal, RequestError
from gateway_extproc.core.ports import Dialect
from gateway_extproc.providers import checks
from gateway_extproc.providers.caps import refuse_smuggled
from gateway_extproc.providers.openai import completions, request
from gateway_extproc.providers.openai.messages import VOICES

TOKEN_FIELDS: Final = {"embeddings": "input", "completions": "prompt"}
"""Where numbers of a vocabulary may stand instead of texts."""

_STANDS_FOR_NUMBERS: Final = "numbers"

_DEFINED: Final = {
    "chat": frozenset({*request.FIELDS, *request.READ}),
    "completions": frozenset({*completions.FIELDS, *completions.READ}),
    "embeddings": None,
    "images": None,
    "moderations": None,
}
"""Interfaces whose wrong values may go on, and the fields in which no cap is looked for: all
(None) where the answer is not written by a model."""

# What decides how much an answer may cost, and how it is read: never left to the provider.
_DECISIVE: Final[dict[str, checks.Check]] = {
    "best_of": checks.integer(1, 20),
    "max_completion_tokens": checks.whole,
    "max_tokens": checks.whole,
    "min_tokens": checks.integer(0),
    "n": checks.integer(1, 128),
    "stream": checks.boolean,
    "stream_options": checks.obj,
}


def read_leniently(
    dialect: Dialect, endpoint: str, document: Document, *, tokens: bool, mistakes: bool
) -> LlmRequest:
    """The request; raises ``RequestError`` for what is not allowed, or cannot be.

    ``tokens`` allows numbers of a vocabulary, ``mistakes`` wrong values: such a request says so
    (``LlmRequest.mistake``).
    """
    field = TOKEN_FIELDS.get(endpoint, "")
    prompts = count_numbers(document.get(field)) if tokens else ()
    plain = {**document, field: _STANDS_FOR_NUMBERS} if prompts else document
    try:
        asked = dialect.read_request(endpoint, plain)
    except RequestError as error:
        may_pass = mistakes and error.refusal.reason == "invalid_request"
        if not may_pass or dialect.name != "openai" or endpoint not in _DEFINED:
            raise
        return _unchecked(endpoint, document, error.refusal, tokens=tokens)
    if not prompts:
        return asked
    return replace(
        asked,
        document=document,
        texts=tuple(at for at in asked.texts if at.path != (field,)),
        completions=asked.completions * len(prompts),
        unread_tokens=sum(prompts),
    )


def count_numbers(value: Any) -> tuple[int, ...]:
    """How many numbers each prompt has; nothing where prompts are not numbers alone."""
    if type(value) is not list or not value:
        return ()
    prompts = value if type(value[0]) is list else [value]
    if not all(type(prompt) is list and prompt for prompt in prompts):
        return ()
    if not all(type(number) is int for prompt in prompts for number in prompt):
        return ()
    return tuple(map(len, prompts))


def _unchecked(endpoint: str, document: Document, mistake: Refusal, *, tokens: bool) -> LlmRequest:
    """The request as far as it can be known; raises the mistake where too little of it is."""
    model = document.get("model")
    field = TOKEN_FIELDS.get(endpoint, "")
    prompts = count_numbers(document.get(field))
    if type(model) is not str or not model or (_has_numbers(document.get(field)) and not tokens):
        raise RequestError(mistake)
    _check_decisive(endpoint, document, mistake)
    caps = {document[key] for key in request.CAPS if document.get(key) is not None}
    options = document.get("stream_options") or {}
    each = max(document.get("n") or 1, document.get("best_of") or 1)
    inputs = document.get(field)
    several = len(prompts) or (len(inputs) if type(inputs) is list else 1) or 1
    writes = _DEFINED[endpoint] is not None
    return LlmRequest(
        "openai", endpoint, model,
        stream=document.get("stream") is True,
        max_tokens=caps.pop() if caps else None,
        wants_usage=options.get("include_usage") is True,
        document=document,
        texts=tuple(_texts(document)),
        completions=each * (several if endpoint == "completions" else 1) if writes else 0,
        has_tools=bool(document.get("tools") or document.get("functions")),
        unread_tokens=sum(prompts),
        mistake=mistake,
    )  # fmt: skip


def _has_numbers(value: Any) -> bool:
    """Whether any number stands in a list, in whatever company."""
    return type(value) is list and any(
        _has_numbers(item) or type(item) in (int, float) for item in value
    )


def _check_decisive(endpoint: str, document: Document, mistake: Refusal) -> None:
    defined = _DEFINED[endpoint]
    for key, value in document.items():
        check = _DECISIVE.get(key)
        if check is not None:
            checks.optional(check)(value, key)
        elif defined is not None and key not in defined:
            refuse_smuggled(value, key)
    caps = [document.get(key) for key in request.CAPS]
    streams_elsewhere = defined is None and document.get("stream")
    if streams_elsewhere or (None not in caps and caps[0] != caps[1]):
        raise RequestError(mistake)


def _texts(document: Document) -> Iterator[TextAt]:
    """Every string but the model's name; turns of a known role speak in its voice."""
    messages = document.get("messages")
    voice_of = _voices(messages if type(messages) is list else [])
    for key, value in document.items():
        if key != "model":
            for path, text in checks.string_leaves(value, (key,)):
                spoken = key == "messages" and len(path) > 1
                yield TextAt(path, voice_of(path[1]) if spoken else "user", text)


def _voices(messages: list[Any]) -> Callable[[int | str], Role]:
    def voice_of(index: int | str) -> Role:
        message = messages[index] if type(index) is int and index < len(messages) else None
        role = message.get("role") if type(message) is dict else None
        return VOICES.get(role, "user") if type(role) is str else "user"

    return voice_of
