"""From the hub to a Converse request.

Bedrock wants the turns to alternate and refuses blank texts: turns of one speaker in a row become
one, and blank texts are left out beside others.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import (
    ChatMessage,
    ChatRequest,
    File,
    Image,
    Part,
    Sound,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers.callids import split_id
from gateway_extproc.providers.images import BEDROCK_FORMATS
from gateway_extproc.providers.wording import word

_NAME: Final = re.compile(r"[^0-9A-Za-z \-()\[\]]+")
"""What Bedrock does not take in the name of a document."""


def from_chat(chat: ChatRequest, client: str) -> dict[str, Any]:
    """The document of ``chat``; what it cannot say was refused before (``wording``).

    Raises ``RequestError`` in the words of ``client`` where nobody asks anything.
    """
    messages = _messages(chat.messages)
    if not messages or messages[0]["role"] != "user":
        asked = word(client, "messages")
        raise invalid(asked, "a conversation that begins with text of the user, for this model")
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
    if chat.answer_format is not None:
        described = {
            "name": chat.answer_format.name,
            "schema": orjson.dumps(chat.answer_format.schema).decode(),  # a text there
        }
        wanted = {"type": "json_schema", "structure": {"jsonSchema": described}}
        document["outputConfig"] = {"textFormat": wanted}
    return document


def _messages(turns: tuple[ChatMessage, ...]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    files = 0
    for turn in turns:
        if turn.role == "system":
            continue
        role = "assistant" if turn.role == "assistant" else "user"
        content: list[dict[str, Any]] = []
        for part in turn.parts:
            if type(part) is Text:
                if part.text.strip():
                    content.append({"text": part.text})
            else:
                content.append(_block(part, files))
                files += isinstance(part, File)
        if not content:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += content
        else:
            messages.append({"role": role, "content": content})
    return messages


def _document(file: File, number: int) -> dict[str, Any]:
    """A document needs a name, of few characters, that no other one of the request has."""
    name = " ".join(_NAME.sub(" ", file.name or "document").split())[:180]
    named = f"{name} {number}" if number else name
    return {"format": "pdf", "name": named or "document", "source": {"bytes": file.data}}


def _block(part: Part, number: int = 0) -> dict[str, Any]:
    match part:
        case Text():
            return {"text": part.text}
        case Image():
            kind = BEDROCK_FORMATS[part.media_type or ""]
            return {"image": {"format": kind, "source": {"bytes": part.data}}}
        case File():
            return {"document": _document(part, number)}
        case Sound():
            return {"audio": {"format": part.kind, "source": {"bytes": part.data}}}
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
    if tool.strict:
        spec["strict"] = True
    return {"toolSpec": spec}
