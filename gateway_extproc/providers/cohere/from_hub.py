"""From the hub to a Cohere chat document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway_extproc.core.chat import (
    AnswerFormat,
    ChatMessage,
    ChatRequest,
    Image,
    Part,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway_extproc.core.errors import invalid, unsupported
from gateway_extproc.providers.callids import split_id, without_signature
from gateway_extproc.providers.cohere.answer import write_call
from gateway_extproc.providers.gemini.from_hub import BUDGETS
from gateway_extproc.providers.wording import word

_MOST_K: Final = 500
_LEAST_P, _MOST_P = 0.01, 0.99
"""Cohere's bounds of ``p``; beyond them stands only "everything" or "the likeliest"."""


def from_chat(chat: ChatRequest, client: str) -> dict[str, Any]:
    """The document of ``chat``; raises ``RequestError`` in the words of ``client``."""
    _refuse(chat, client)
    messages = [written for turn in chat.messages for written in _message(turn)]
    if all(message["role"] == "system" for message in messages):
        raise invalid(word(client, "messages"), "a message of the user for this model")
    tools, choice = _tools(chat)
    optional = {
        "stream": chat.stream or None,
        "max_tokens": chat.max_tokens,
        "temperature": chat.temperature,
        "p": None if chat.top_p is None else min(max(chat.top_p, _LEAST_P), _MOST_P),
        "k": chat.top_k,
        "seed": chat.seed,
        "presence_penalty": chat.presence_penalty,
        "frequency_penalty": chat.frequency_penalty,
        "stop_sequences": list(chat.stop) or None,
        "tools": [_tool(tool) for tool in tools] or None,
        "strict_tools": any(tool.strict for tool in tools) or None,
        "tool_choice": choice,
        "response_format": _answer_format(chat.answer_format),
        "thinking": _thinking(chat.thinking, chat.max_tokens),
    }
    told = {key: value for key, value in optional.items() if value is not None}
    return {"model": chat.model, "messages": messages, **told}


def _refuse(chat: ChatRequest, client: str) -> None:
    """Values that other dialects know beyond Cohere's bounds."""
    beyond = {
        "top_k": (chat.top_k or 0) > _MOST_K,
        "presence_penalty": not 0 <= (chat.presence_penalty or 0) <= 1,
        "frequency_penalty": not 0 <= (chat.frequency_penalty or 0) <= 1,
    }
    for name, is_beyond in beyond.items():
        if is_beyond:
            raise unsupported(word(client, name), "cohere")


def _tools(chat: ChatRequest) -> tuple[tuple[Tool, ...], str | None]:
    """The tools, and what Cohere calls the choice between them.

    It has no word for one tool by its name: a call is required, and no other tool offered.
    """
    choice = chat.tool_choice
    if choice is None or choice.mode == "auto" or not chat.tools:
        return chat.tools, None
    if choice.mode == "named":
        return tuple(tool for tool in chat.tools if tool.name == choice.name), "REQUIRED"
    return chat.tools, "NONE" if choice.mode == "none" else "REQUIRED"


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _answer_format(wanted: AnswerFormat | None) -> dict[str, Any] | None:
    if wanted is None:
        return None
    schema = {} if wanted.schema is None else {"json_schema": wanted.schema}
    return {"type": "json_object", **schema}


def _thinking(wanted: Thinking | None, cap: int | None) -> dict[str, Any] | None:
    """Thoughts are part of the answer, so a budget beyond its cap would be no budget."""
    if wanted is None:
        return None
    budget = wanted.budget if wanted.effort is None else BUDGETS[wanted.effort]
    if budget == 0:
        return {"type": "disabled"}
    if budget is None or budget < 0:
        return {"type": "enabled"}
    return {"type": "enabled", "token_budget": budget if cap is None else min(budget, cap)}


def _message(turn: ChatMessage) -> Iterator[dict[str, Any]]:
    if turn.role == "tool":
        yield from (_result(part) for part in turn.parts if isinstance(part, ToolResult))
        return
    calls = [write_call(without_signature(c)) for c in turn.parts if isinstance(c, ToolCall)]
    rest: list[Part] = [part for part in turn.parts if not isinstance(part, ToolCall)]
    if not calls:
        yield {"role": turn.role, "content": _content(rest)}
        return
    message: dict[str, Any] = {"role": turn.role, "tool_calls": calls}
    # What a model says before it calls is its plan, in Cohere's words.
    plan = "".join(part.text for part in rest if isinstance(part, Text))
    yield {**message, "tool_plan": plan} if plan else message


def _result(result: ToolResult) -> dict[str, Any]:
    """One message a result; Cohere has no error mark, so the text says it."""
    text = f"Error: {result.text}" if result.is_error else result.text
    return {"role": "tool", "tool_call_id": split_id(result.call_id)[0], "content": text}


def _content(parts: list[Part]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_part(part) for part in parts] or ""


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        url = part.url or f"data:{part.media_type};base64,{part.data}"
        return {"type": "image_url", "image_url": {"url": url}}
    assert isinstance(part, Text)
    return {"type": "text", "text": part.text}
