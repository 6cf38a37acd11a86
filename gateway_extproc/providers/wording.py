"""What providers' dialects can be told beyond the common ground, and clients' words for it.

Every dialect says turns, texts, images by value, tools, calls and results, a cap, ``top_p``, a
temperature up to 1.  All else of the hub is listed here by provider; what is not listed is
refused in the words of the client's dialect.  A provider that is not listed is told the common
ground only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway_extproc.core.chat import ChatRequest, Thinking
from gateway_extproc.core.errors import unsupported

_COHERE: Final = frozenset(
    {
        *("hot", "stop", "top_k", "seed", "presence_penalty", "frequency_penalty"),
        *("json", "schema", "effort", "budget", "no_thinking", "thoughts", "strict"),
        "no_tool",
    }
)
_GOOGLE: Final = _COHERE | {"completions", "logprobs"}
_CHAT: Final = frozenset(
    {
        *("hot", "stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias"),
        *("completions", "logprobs"),
        *("json", "schema", "effort", "most_effort", "strict", "one_call", "no_tool"),
        *("verbosity", "detail"),
    }
)
TOLD: Final[dict[str, frozenset[str]]] = {
    "openai": _CHAT,
    "openai:chat": _CHAT,
    "openai:responses": frozenset(
        {
            *("hot", "json", "schema", "effort", "most_effort", "thoughts", "strict"),
            *("one_call", "no_tool", "verbosity", "detail", "logprobs"),
        }
    ),
    "anthropic": frozenset(
        {"stop", "top_k", "schema", "no_thinking", "strict", "one_call", "no_tool"}
    ),
    "gemini": _GOOGLE,
    "vertex": _GOOGLE,
    "bedrock": frozenset({"stop", "schema", "strict"}),
    "cohere": _COHERE,
}
"""``hot`` is a temperature above 1, ``one_call`` no parallel calls, ``no_tool`` the choice of no
tool, ``most_effort`` OpenAI's xhigh, ``thoughts`` that the client wants to read them."""

MAX_STOPS: Final = {"openai": 4, "openai:chat": 4, "gemini": 5, "vertex": 5, "cohere": 5}

_WORDS: Final[dict[str, dict[str, str]]] = {
    "openai": {
        "hot": "temperature",
        "completions": "n",
        "json": "response_format",
        "schema": "response_format",
        "effort": "reasoning_effort",
        "most_effort": "reasoning_effort",
        "no_thinking": "reasoning_effort",
        "one_call": "parallel_tool_calls",
        "no_tool": "tool_choice",
        "strict": "tools[{}].function.strict",
    },
    "responses": {
        "hot": "temperature",
        "logprobs": "include",
        "json": "text.format",
        "schema": "text.format",
        "verbosity": "text.verbosity",
        "effort": "reasoning.effort",
        "most_effort": "reasoning.effort",
        "no_thinking": "reasoning.effort",
        "thoughts": "reasoning.summary",
        "one_call": "parallel_tool_calls",
        "no_tool": "tool_choice",
        "strict": "tools[{}].strict",
        "messages": "input",
    },
    "anthropic": {
        "hot": "temperature",
        "stop": "stop_sequences",
        "schema": "output_config",
        "budget": "thinking",
        "thoughts": "thinking",
        "one_call": "tool_choice.disable_parallel_tool_use",
        "no_tool": "tool_choice",
        "strict": "tools[{}].strict",
    },
    "gemini": {
        "hot": "generationConfig.temperature",
        "stop": "generationConfig.stopSequences",
        "top_k": "generationConfig.topK",
        "seed": "generationConfig.seed",
        "presence_penalty": "generationConfig.presencePenalty",
        "frequency_penalty": "generationConfig.frequencyPenalty",
        "completions": "generationConfig.candidateCount",
        "logprobs": "generationConfig.responseLogprobs",
        "json": "generationConfig.responseMimeType",
        "schema": "generationConfig.responseMimeType",
        "effort": "generationConfig.thinkingConfig.thinkingLevel",
        "budget": "generationConfig.thinkingConfig.thinkingBudget",
        "no_thinking": "generationConfig.thinkingConfig.thinkingBudget",
        "thoughts": "generationConfig.thinkingConfig.includeThoughts",
        "no_tool": "toolConfig.functionCallingConfig.mode",
        "strict": "toolConfig.functionCallingConfig.mode",
        "messages": "contents",
    },
    "cohere": {
        "hot": "temperature",
        "stop": "stop_sequences",
        "top_k": "k",
        "json": "response_format",
        "schema": "response_format",
        "budget": "thinking",
        "no_thinking": "thinking",
        "thoughts": "thinking",
        "no_tool": "tool_choice",
        "strict": "strict_tools",
    },
    "bedrock": {
        "stop": "inferenceConfig.stopSequences",
        "top_k": "additionalModelRequestFields.top_k",
        "schema": "outputConfig",
        "budget": "additionalModelRequestFields.thinking",
        "no_thinking": "additionalModelRequestFields.thinking",
        "thoughts": "additionalModelRequestFields.thinking",
        "strict": "toolConfig.tools[{}].toolSpec.strict",
    },
}
"""By client, where the word is not the hub's own; ``{}`` stands for a tool's index."""


def word(client: str, name: str) -> str:
    """The client's word for something that the hub calls ``name``."""
    return _WORDS.get(client, {}).get(name, name)


def refuse_untold(chat: ChatRequest, client: str, provider: str) -> None:
    """Raises ``RequestError`` for the first thing that this provider cannot be told."""
    told = TOLD.get(provider, frozenset())
    for name in _asked(chat, told):
        if name not in told:
            raise unsupported(word(client, name), provider)
    if chat.logprobs is not None and chat.stream:
        # Streams tell them each in its own pieces, which do not match.
        raise unsupported(word(client, "logprobs"), provider)
    if len(chat.stop) > MAX_STOPS.get(provider, len(chat.stop)):
        raise unsupported(word(client, "stop"), provider)
    if "strict" not in told:
        for index, tool in enumerate(chat.tools):
            if tool.strict:
                raise unsupported(word(client, "strict").format(index), provider)


def _asked(chat: ChatRequest, told: frozenset[str]) -> Iterator[str]:
    """What a request asks for beyond the common ground."""
    if chat.temperature is not None and chat.temperature > 1:
        yield "hot"
    if chat.stop:
        yield "stop"
    if chat.answer_format is not None:
        yield "json" if chat.answer_format.schema is None else "schema"
    if chat.tools:
        if chat.parallel_tool_calls is False:
            yield "one_call"
        if chat.tool_choice is not None and chat.tool_choice.mode == "none":
            yield "no_tool"
    if chat.thinking is not None:
        yield from _thinking(chat.thinking, told)
    for name in _SINGLE:
        if getattr(chat, name) is not None:
            yield name


_SINGLE: Final = (
    *("top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs"),
    *("completions", "verbosity"),
)


def _thinking(thinking: Thinking, told: frozenset[str]) -> Iterator[str]:
    if thinking.effort == "none" and "no_thinking" in told:
        pass
    elif thinking.budget == 0:
        yield "no_thinking"
    elif thinking.effort is not None:
        yield "most_effort" if thinking.effort == "xhigh" else "effort"
    elif thinking.budget is not None:
        yield "budget"
    if thinking.shown:
        yield "thoughts"
