"""Writing a request for a provider where policy may leave out what the provider cannot be told.

Without such policy a field that cannot be expressed refuses the request.  With it the fields
below are left out, one after the other as the translation refuses them, and each is named.  They
choose among answers, describe them or say how to serve them.  Never left out is what the model
reads (messages, tools, results, media), what an answer must be (schemas, stop sequences, caps,
the number of answers, which tool is called), and what keeps it safe (safety settings).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final, NamedTuple

from gateway_extproc.core.chat import Document, LlmRequest, Path
from gateway_extproc.core.document import replace_at
from gateway_extproc.core.errors import Refusal, RequestError
from gateway_extproc.core.ports import Translator
from gateway_extproc.providers.gemini.spelling import canonical
from gateway_extproc.providers.hints import unsaid

MOST: Final = 64
"""Fields left out of one request; one with more is refused."""

_SAMPLING: Final = frozenset(
    {
        *("temperature", "seed", "frequency_penalty", "presence_penalty", "logit_bias"),
        *("logprobs", "top_logprobs"),
        *("top_k", "min_p", "repetition_penalty"),  # of servers that speak OpenAI's dialect
    }
)
_SERVING: Final = frozenset({"parallel_tool_calls", "service_tier", "store", "verbosity"})

DROPPABLE: Final[dict[str, frozenset[str]]] = {
    "chat": frozenset(
        {*_SAMPLING, *_SERVING, "reasoning_effort", "messages[].content[].image_url.detail"}
    ),
    "responses": frozenset(
        {
            *_SAMPLING, *_SERVING, "reasoning.effort", "reasoning.summary", "text.verbosity",
            "truncation", "max_tool_calls", "include", "input[].content[].detail",
        }
    ),
    "messages": frozenset(
        {
            "temperature", "top_k", "thinking", "output_config.effort", "service_tier", "speed",
            "tool_choice.disable_parallel_tool_use", "metadata.*",
        }
    ),
    "cohere_chat": frozenset(
        {
            *("temperature", "k", "seed", "presence_penalty", "frequency_penalty", "logprobs"),
            *("priority", "thinking"), "messages[].content[].image_url.detail",
        }
    ),
    "converse": frozenset(
        {
            "additionalModelRequestFields.top_k", "additionalModelRequestFields.thinking",
            "performanceConfig", "serviceTier",
        }
    ),
    "generate_content": frozenset(
        f"generationConfig.{name}"
        for name in (
            "temperature", "topK", "seed", "presencePenalty", "frequencyPenalty",
            "responseLogprobs", "logprobs", "mediaResolution", "thinkingConfig.thinkingBudget",
            "thinkingConfig.thinkingLevel", "thinkingConfig.includeThoughts",
        )
    ),
}  # fmt: skip
"""By endpoint; ``[]`` stands for any index, ``*`` for any field."""

_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})
_THOUGHT_AT: Final = "messages[].content[].type"
_INDEX: Final = re.compile(r"\[(\d+)\]")


class Written(NamedTuple):
    """A provider's document; ``dropped`` names what of the client's it does not say."""

    document: Document
    dropped: tuple[str, ...] = ()


def write(
    way: Translator,
    request: LlmRequest,
    provider: str,
    model: str,
    max_tokens: int,
    *,
    drop: bool,
) -> Written:
    """The request for a provider of this dialect; raises ``RequestError`` for what it cannot be
    told and may not be left out."""
    hints = unsaid(request.dialect, provider, request.document)
    if not drop:
        document = way.request(request, model, max_tokens, force_usage=request.stream)
        return Written(document, hints)
    dropped: dict[str, None] = dict.fromkeys(hints)
    for _ in range(MOST):
        try:
            document = way.request(request, model, max_tokens, force_usage=request.stream)
            return Written(document, tuple(dropped))
        except RequestError as error:
            request, name = _without(request, error)
            dropped[name] = None
    raise RequestError(
        Refusal("unsupported_parameter", "Too much of this request cannot be expressed.", 400,
                "invalid_request_error", "unsupported_parameter")
    )  # fmt: skip


def droppable(endpoint: str, param: str) -> bool:
    """Whether policy may leave out the field of this name."""
    plain = _INDEX.sub("[]", param)
    fields = DROPPABLE.get(endpoint, frozenset())
    return plain in fields or f"{plain.partition('.')[0]}.*" in fields


def _without(request: LlmRequest, error: RequestError) -> tuple[LlmRequest, str]:
    """The request without the field that it was refused for; raises the refusal otherwise."""
    refusal = error.refusal
    if refusal.reason != "unsupported_parameter" or refusal.param is None:
        raise error
    document = canonical(request.document) if request.dialect == "gemini" else request.document
    path = _path_of(refusal.param)
    if droppable(request.endpoint, refusal.param):
        name = _INDEX.sub("", refusal.param)
    elif _INDEX.sub("[]", refusal.param) == _THOUGHT_AT and _is_thought(document, path[:-1]):
        path, name = path[:-1], "thinking"
    else:
        raise error
    parent, last = _find(document, path[:-1]), path[-1]
    if isinstance(parent, dict) and last in parent:
        rest: Any = {key: value for key, value in parent.items() if key != last}
    elif type(parent) is list and type(last) is int:
        rest = [*parent[:last], *parent[last + 1 :]]
    else:
        raise error
    changed = replace_at(document, [(path[:-1], rest)]) if len(path) > 1 else rest
    return replace(request, document=changed), name


def _is_thought(document: Document, path: Path) -> bool:
    block = _find(document, path)
    return type(block) is dict and block.get("type") in _THOUGHTS


def _find(document: Document, path: Path) -> Any:
    node: Any = document
    for key in path:
        fits = type(key) is int and type(node) is list and key < len(node)
        node = node[key] if fits else node.get(key) if isinstance(node, dict) else None
    return node


def _path_of(param: str) -> Path:
    """The path behind a name such as ``messages[0].content``."""
    keys: list[str | int] = []
    for name in param.split("."):
        plain, *indexes = _INDEX.split(name)
        keys.append(plain)
        keys += [int(index) for index in indexes if index]
    return tuple(keys)
