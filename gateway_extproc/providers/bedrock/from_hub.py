"""From the hub to a Converse request.

Bedrock wants the turns to alternate and refuses blank texts: turns of one speaker in a row become
one, and blank texts are left out beside others.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    ChatMessage,
    ChatRequest,
    Image,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway_extproc.core.errors import invalid, unsupported
from gateway_extproc.providers.callids import split_id
from gateway_extproc.providers.images import BEDROCK_FORMATS

_WORDS: Final[dict[str, dict[str, str]]] = {
    "openai": {},
    "anthropic": {"parallel_tool_calls": "tool_choice.disable_parallel_tool_use"},
    "cohere": {},
    "gemini": {"tool_choice": "toolConfig.functionCallingConfig.mode", "messages": "contents"},
}
"""How clients spell what is refused here, where not as OpenAI's do."""


def from_chat(chat: ChatRequest, client: str) -> dict[str, Any]:
    """The document of ``chat``; raises ``RequestError`` for what Converse cannot be told."""
    words = _WORDS[client]
    _refuse(chat, words)
    messages = _messages(chat.messages)
    if not messages or messages[0]["role"] != "user":
        name = words.get("messages", "messages")
        raise invalid(name, "a conversation that begins with text of the user, for this model")
    document: dict[str, Any] = {"messages": messages}
    system = [
        {"text": part.text}
        for turn in chat.messages
        if turn.role == "system"
        for part in turn.parts
        if isinstance(part, Text) and part.text.strip()
    ]
    if system:
        document["system"] = system
    inference = {
        "maxTokens": chat.max_tokens,
        "temperature": chat.temperature,
        "topP": chat.top_p,
        "stopSequences": list(chat.stop) or None,
    }
    told = {key: value for key, value in inference.items() if value is not None}
    if told:
        document["inferenceConfig"] = told
    if chat.tools:
        document["toolConfig"] = _tool_config(chat)
    return document


def _refuse(chat: ChatRequest, words: dict[str, str]) -> None:
    choice = chat.tool_choice
    if chat.temperature is not None and chat.temperature > 1:
        raise unsupported("temperature", "bedrock")
    if chat.parallel_tool_calls is False and chat.tools:
        raise unsupported(words.get("parallel_tool_calls", "parallel_tool_calls"), "bedrock")
    if choice is not None and choice.mode == "none" and chat.tools:
        raise unsupported(words.get("tool_choice", "tool_choice"), "bedrock")


def _messages(turns: tuple[ChatMessage, ...]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role == "system":
            continue
        role = "assistant" if turn.role == "assistant" else "user"
        content = [_block(part) for part in turn.parts if not _is_blank(part)]
        if not content:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += content
        else:
            messages.append({"role": role, "content": content})
    return messages


def _is_blank(part: Part) -> bool:
    return isinstance(part, Text) and not part.text.strip()


def _block(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"text": part.text}
        case Image():
            kind = BEDROCK_FORMATS[part.media_type or ""]
            return {"image": {"format": kind, "source": {"bytes": part.data}}}
        case ToolCall():
            return {
                "toolUse": {
                    "toolUseId": split_id(part.id)[0],
                    "name": part.name,
                    "input": orjson.loads(part.arguments or "{}"),
                }
            }
        case ToolResult():
            result: dict[str, Any] = {
                "toolUseId": split_id(part.call_id)[0],
                "content": [{"text": part.text}],
            }
            return {"toolResult": {**result, "status": "error"} if part.is_error else result}


def _tool_config(chat: ChatRequest) -> dict[str, Any]:
    config: dict[str, Any] = {"tools": [_tool(tool) for tool in chat.tools]}
    choice = chat.tool_choice
    if choice is not None:
        config["toolChoice"] = {
            "auto": {"auto": {}},
            "required": {"any": {}},
            "named": {"tool": {"name": choice.name}},
        }[choice.mode]
    return config


def _tool(tool: Tool) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": tool.parameters}}
    if tool.description:
        spec["description"] = tool.description
    return {"toolSpec": spec}
