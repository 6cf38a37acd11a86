"""From the hub to a request for a response, for providers that have no other interface for chat.

Nothing is to be kept there: ``store`` is false, and the conversation travels whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway_extproc.core.chat import (
    AnswerFormat,
    ChatMessage,
    ChatRequest,
    File,
    Image,
    Part,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway_extproc.providers.callids import split_id
from gateway_extproc.providers.openai.parts import image_url
from gateway_extproc.providers.openai.responses.to_hub import LOGPROBS


def from_chat(chat: ChatRequest) -> dict[str, Any]:
    """The document of ``chat``; what it cannot say was refused before (``wording``)."""
    document: dict[str, Any] = {
        "model": chat.model,
        "input": [item for turn in chat.messages for item in _items(turn)],
        "store": False,
    }
    text: dict[str, Any] = {}
    if chat.answer_format is not None:
        text["format"] = _format(chat.answer_format)
    if chat.verbosity is not None:
        text["verbosity"] = chat.verbosity
    optional = {
        "max_output_tokens": chat.max_tokens,
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "tools": [_tool(tool) for tool in chat.tools] or None,
        "tool_choice": _tool_choice(chat.tool_choice),
        "parallel_tool_calls": chat.parallel_tool_calls,
        "text": text or None,
        "reasoning": _reasoning(chat.thinking),
        "top_logprobs": chat.logprobs or None,
        "include": None if chat.logprobs is None else [LOGPROBS],
        "user": chat.user,
        "stream": chat.stream or None,
    }
    document.update({key: value for key, value in optional.items() if value is not None})
    return document


def _items(turn: ChatMessage) -> Iterator[dict[str, Any]]:
    said = [p for p in turn.parts if not isinstance(p, (ToolCall, ToolResult))]
    for part in turn.parts:
        if isinstance(part, ToolResult):
            text = f"Error: {part.text}" if part.is_error else part.text
            yield {
                "type": "function_call_output",
                "call_id": split_id(part.call_id)[0],
                "output": text,
            }
    if said or not turn.parts:
        role = "user" if turn.role == "tool" else turn.role
        content = [_part(part, answered=role == "assistant") for part in said]
        yield {"type": "message", "role": role, "content": content}
    for part in turn.parts:
        if isinstance(part, ToolCall):
            call_id = split_id(part.id)[0]
            called = {"call_id": call_id, "name": part.name, "arguments": part.arguments}
            yield {"type": "function_call", **called}


def _part(part: Part, *, answered: bool) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "output_text" if answered else "input_text", "text": part.text}
        case Image():
            image = {"type": "input_image", "image_url": image_url(part)}
            return image if part.detail is None else {**image, "detail": part.detail}
        case File():
            data = f"data:{part.media_type};base64,{part.data}"
            return {"type": "input_file", "filename": part.name or "file.pdf", "file_data": data}
        case _:
            raise AssertionError(part)


def _format(wanted: AnswerFormat) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object"}
    written = {"type": "json_schema", "name": wanted.name, "schema": wanted.schema}
    return written if wanted.strict is None else {**written, "strict": wanted.strict}


def _reasoning(thinking: Thinking | None) -> dict[str, Any] | None:
    if thinking is None:
        return None
    written = {} if thinking.effort is None else {"effort": thinking.effort}
    return {**written, "summary": "auto"} if thinking.shown else written


def _tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {
        "type": "function", "name": tool.name, "parameters": tool.parameters,
        "strict": tool.strict,  # where nothing is said the provider takes it for true
    }  # fmt: skip
    return written if tool.description is None else {**written, "description": tool.description}


def _tool_choice(choice: ToolChoice | None) -> str | dict[str, Any] | None:
    if choice is None:
        return None
    return {"type": "function", "name": choice.name} if choice.mode == "named" else choice.mode
