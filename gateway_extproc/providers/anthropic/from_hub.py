"""From the hub to an Anthropic messages document.

All results of one round of tool calls stand in one user turn, before whatever
the user says next: Anthropic's rule for ``tool_result`` blocks.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import (
    AnswerFormat,
    ChatMessage,
    ChatRequest,
    File,
    Image,
    Part,
    Sound,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers.anthropic.answer import write_call
from gateway_extproc.providers.callids import split_id, without_signature

DEFAULT_MAX_TOKENS: Final = 4096
"""Anthropic requires a cap; the gateway always names one, this is for other callers."""

_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}


def from_chat(chat: ChatRequest) -> dict[str, Any]:
    """The document of ``chat``; what it cannot say was refused before (``wording``)."""
    messages = _messages(chat.messages)
    if not messages:
        raise invalid("messages", "at least one message of the user for this model")
    document: dict[str, Any] = {
        "model": chat.model,
        "max_tokens": chat.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": messages,
    }
    optional = {
        "system": _system(chat.messages),
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "top_k": chat.top_k,
        "output_config": _output(chat.answer_format),
        "thinking": None if chat.thinking is None else {"type": "disabled"},
        "stop_sequences": list(chat.stop) or None,
        "tools": [_tool(tool) for tool in chat.tools] or None,
        "tool_choice": _tool_choice(chat),
        "metadata": None if chat.user is None else {"user_id": chat.user},
        "stream": chat.stream or None,
    }
    document.update({key: value for key, value in optional.items() if value is not None})
    return document


def _output(wanted: AnswerFormat | None) -> dict[str, Any] | None:
    if wanted is None:
        return None
    return {"format": {"type": "json_schema", "schema": wanted.schema}}


def _system(turns: tuple[ChatMessage, ...]) -> str | list[dict[str, Any]] | None:
    """One string, or a block for each text where there are several."""
    texts = [
        part.text
        for turn in turns
        if turn.role == "system"
        for part in turn.parts
        if isinstance(part, Text) and part.text
    ]
    if len(texts) > 1:
        return [{"type": "text", "text": text} for text in texts]
    return texts[0] if texts else None


def _messages(turns: tuple[ChatMessage, ...]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    after_tool = False
    for turn in turns:
        if turn.role == "system":
            continue
        if after_tool and turn.role != "assistant":
            messages[-1]["content"].extend(map(_block, turn.parts))
        else:
            messages.append(_message(turn))
        after_tool = turn.role == "tool"
    return messages


def _message(turn: ChatMessage) -> dict[str, Any]:
    role = "assistant" if turn.role == "assistant" else "user"
    if turn.role != "tool" and len(turn.parts) == 1 and isinstance(turn.parts[0], Text):
        return {"role": role, "content": turn.parts[0].text}
    return {"role": role, "content": [_block(part) for part in turn.parts]}


def _block(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            return {"type": "image", "source": _source(part)}
        case File():
            source = {"type": "base64", "media_type": part.media_type, "data": part.data}
            block = {"type": "document", "source": source}
            return block if part.name is None else {**block, "title": part.name}
        case Sound():
            raise AssertionError(part)
        case ToolCall():
            return write_call(without_signature(part))
        case ToolResult():
            call_id = split_id(part.call_id)[0]
            told = {"type": "tool_result", "tool_use_id": call_id, "content": part.text}
            return {**told, "is_error": True} if part.is_error else told


def _source(image: Image) -> dict[str, Any]:
    if image.url is not None:
        return {"type": "url", "url": image.url}
    return {"type": "base64", "media_type": image.media_type, "data": image.data}


def _tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool.name, "input_schema": tool.parameters}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.strict:
        written["strict"] = True
    return written


def _tool_choice(chat: ChatRequest) -> dict[str, Any] | None:
    """The choice; Anthropic keeps the ban on parallel calls inside of it."""
    choice = chat.tool_choice
    one_at_a_time = chat.parallel_tool_calls is False and bool(chat.tools)
    if choice is None and one_at_a_time:
        choice = ToolChoice("auto")
    if choice is None:
        return None
    written: dict[str, Any] = {"type": _CHOICES[choice.mode]}
    if choice.mode == "named":
        written["name"] = choice.name
    if one_at_a_time and choice.mode != "none":
        written["disable_parallel_tool_use"] = True
    return written
