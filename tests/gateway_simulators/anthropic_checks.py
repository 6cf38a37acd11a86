"""Does a request to ``/v1/messages`` hold what Anthropic requires?

Messages begin with the path of the wrong field, as those of the real API do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway_simulators.answers import Question, Tool, ToolMode
from gateway_simulators.problem import Problem

# 2026-10-21 is what the SDK 2.12 sends.  Of its rules only the SDK's types are known
# here, so it is judged as 2023-06-01 is; in particular the key stays in x-api-key,
# although that SDK sends it as a bearer token unless told otherwise.
VERSIONS: Final = frozenset({"2023-01-01", "2023-06-01", "2026-10-21"})
# "system" inside messages is what the SDK of 2026 types allow; older documents say no.
ROLES: Final = ("user", "assistant", "system")
# The real API refuses fields it does not know ("Extra inputs are not permitted").
# tests/simulators checks this list against the SDK; the sampling fields have left the
# SDK's types and stand here because older clients still send them.
FIELDS: Final = frozenset(
    [
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "user_profile_id",
        "workspace_id",
    ]
)
# Block type -> the field it cannot be without.
BLOCKS: Final = {
    "text": "text",
    "image": "source",
    "document": "source",
    "search_result": "content",
    "thinking": "thinking",
    "redacted_thinking": "data",
    "tool_use": "input",
    "tool_result": "tool_use_id",
}
_TOOL_MODES: Final[dict[str, ToolMode]] = {
    "auto": "auto",
    "any": "required",
    "none": "none",
    "tool": "named",
}
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def invalid(message: str, *, status: int = 400) -> Problem:
    return Problem(status, "invalid_request_error", message)


def check_headers(headers: Mapping[str, str], key: str | None) -> None:
    """Credential, version and media type."""
    token = headers.get("x-api-key", "")
    if not token:
        raise Problem(401, "authentication_error", "x-api-key header is required")
    if key is not None and token != key:
        raise Problem(401, "authentication_error", "invalid x-api-key")
    version = headers.get("anthropic-version")
    if version is None:
        raise invalid("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid(f'anthropic-version: "{version}" is not a valid version')
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise invalid("content-type: Input should be 'application/json'")


def read(document: object) -> Question:
    """The question in a messages request; raises ``Problem``."""
    if not isinstance(document, dict):
        raise invalid("Input should be a valid dictionary")
    for name in document:
        if name not in FIELDS:
            raise invalid(f"{name}: Extra inputs are not permitted")
    model = _model(document)
    max_tokens = _max_tokens(document)
    messages = _messages(document)
    system = _system(document)
    tools = _tools(document)
    mode, named, parallel = _tool_choice(document, tools)
    for name in ("temperature", "top_p"):
        _fraction(document, name)
    return Question(
        model=model,
        messages=system + tuple(_text(message) for message in messages),
        last_user=_last_user(messages),
        tool_results=_last_results(messages),
        tools=tools,
        tool_mode=mode,
        tool_name=named,
        parallel=parallel,
        max_tokens=max_tokens,
        stop_sequences=_stops(document),
        stream=_bool(document, "stream"),
        wants_usage=True,
    )


def _model(document: Mapping[str, Any]) -> str:
    if "model" not in document:
        raise invalid("model: Field required")
    model = document["model"]
    if not isinstance(model, str) or not model:
        raise invalid("model: Input should be a valid string")
    if "unknown" in model:
        raise Problem(404, "not_found_error", f"model: {model}", code="model_not_found")
    return model


def _max_tokens(document: Mapping[str, Any]) -> int:
    if "max_tokens" not in document:
        raise invalid("max_tokens: Field required")
    value = document["max_tokens"]
    if type(value) is not int:
        raise invalid("max_tokens: Input should be a valid integer")
    if value < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    return value


def _bool(document: Mapping[str, Any], name: str) -> bool:
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise invalid(f"{name}: Input should be a valid boolean")
    return value


def _fraction(document: Mapping[str, Any], name: str) -> None:
    value = document.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"{name}: Input should be a valid number")
    if not 0 <= value <= 1:
        raise invalid(f"{name}: range: 0..1")


def _stops(document: Mapping[str, Any]) -> tuple[str, ...]:
    stops = document.get("stop_sequences") or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise invalid("stop_sequences: Input should be a valid list of strings")
    if not all(stop.strip() for stop in stops):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    return tuple(stops)


def _system(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The system prompt as one message, or none."""
    system = document.get("system")
    if system is None:
        return ()
    _check_content(system, "system")
    return (_content_text(system),)


def _messages(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "messages" not in document:
        raise invalid("messages: Field required")
    messages = document["messages"]
    if not isinstance(messages, list):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    for index, message in enumerate(messages):
        last = index == len(messages) - 1
        _check_message(message, f"messages.{index}", last=last)
    _check_tool_turns(messages)
    return messages


def _check_message(message: object, where: str, *, last: bool) -> None:
    if not isinstance(message, dict):
        raise invalid(f"{where}: Input should be a valid dictionary")
    for name in message:
        if name not in ("role", "content"):
            raise invalid(f"{where}.{name}: Extra inputs are not permitted")
    if message.get("role") not in ROLES:
        raise invalid(f"{where}.role: Input should be 'user' or 'assistant'")
    if "content" not in message:
        raise invalid(f"{where}.content: Field required")
    content = message["content"]
    if content in ("", []):
        if last and message["role"] == "assistant":
            return
        raise invalid(
            f"{where}: all messages must have non-empty content except for the optional final "
            "assistant message"
        )
    _check_content(content, f"{where}.content")


def _check_content(content: object, where: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise invalid(f"{where}: Input should be a valid string or list")
    for index, block in enumerate(content):
        _check_block(block, f"{where}.{index}")


def _check_block(block: object, where: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(block, dict) or not isinstance(kind, str) or kind not in BLOCKS:
        raise invalid(f"{where}: Input tag '{kind}' found using 'type' does not match any tag")
    value = block.get(BLOCKS[kind])
    if value is None:
        raise invalid(f"{where}.{kind}.{BLOCKS[kind]}: Field required")
    if kind == "text" and (not isinstance(value, str) or not value):
        raise invalid(f"{where}.text: text content blocks must be non-empty")
    if kind == "tool_use":
        _check_tool_use(block, f"{where}.tool_use")
    if kind == "tool_result" and block.get("content") is not None:
        _check_content(block["content"], f"{where}.tool_result.content")


def _check_tool_use(block: Mapping[str, Any], where: str) -> None:
    for name in ("id", "name"):
        value = block.get(name)
        if not isinstance(value, str) or not _TOOL_NAME.fullmatch(value):
            raise invalid(f"{where}.{name}: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if not isinstance(block["input"], dict):
        raise invalid(f"{where}.input: Input should be a valid dictionary")


def _blocks(message: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    content = message["content"]
    return [] if isinstance(content, str) else [b for b in content if b["type"] == kind]


def _check_tool_turns(messages: list[dict[str, Any]]) -> None:
    """Results stand in the turn right after the calls they answer."""
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        answered = {block["tool_use_id"] for block in _blocks(message, "tool_result")}
        if answered - waiting:
            raise invalid(
                f"messages.{index}.content: unexpected `tool_use_id` found in `tool_result` "
                f"blocks: {', '.join(sorted(answered - waiting))}. Each `tool_result` block must "
                "have a corresponding `tool_use` block in the previous message."
            )
        if waiting - answered:
            break
        waiting = {block["id"] for block in _blocks(message, "tool_use")}
        if waiting and message["role"] != "assistant":
            raise invalid(
                f"messages.{index}: `tool_use` blocks can only be in `assistant` messages"
            )
    if waiting:
        raise invalid(
            "messages: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(sorted(waiting))}."
        )


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "".join(
        block["text"] if block["type"] == "text" else _content_text(block.get("content"))
        for block in blocks
        if block["type"] in ("text", "tool_result")
    )


def _text(message: Mapping[str, Any]) -> str:
    return _content_text(message["content"])


def _last_user(messages: list[dict[str, Any]]) -> str:
    """The last words of the user; a turn of tool results alone is not their words."""
    for message in reversed(messages):
        if message["role"] != "user":
            continue
        if isinstance(message["content"], str):
            return message["content"]
        words = "".join(block["text"] for block in _blocks(message, "text"))
        if words:
            return words
    return ""


def _last_results(messages: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(
        _content_text(block.get("content")) for block in _blocks(messages[-1], "tool_result")
    )


def _tools(document: Mapping[str, Any]) -> tuple[Tool, ...]:
    tools = document.get("tools")
    if tools is None:
        return ()
    if not isinstance(tools, list):
        raise invalid("tools: Input should be a valid list")
    return tuple(_tool(tool, f"tools.{index}") for index, tool in enumerate(tools))


def _tool(tool: object, where: str) -> Tool:
    if not isinstance(tool, dict) or tool.get("type", "custom") != "custom":
        raise invalid(f"{where}: Input tag found using 'type' does not match any expected tag")
    for name in ("name", "input_schema"):
        if name not in tool:
            raise invalid(f"{where}.custom.{name}: Field required")
    if "function" in tool:
        raise invalid(f"{where}.custom.function: Extra inputs are not permitted")
    name, schema = tool["name"], tool["input_schema"]
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise invalid(
            f"{where}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        )
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise invalid(f"{where}.custom.input_schema.type: Input should be 'object'")
    return Tool(name, schema)


def _tool_choice(
    document: Mapping[str, Any], tools: tuple[Tool, ...]
) -> tuple[ToolMode, str | None, bool]:
    """Mode, name of the forced tool, and whether calls may be parallel."""
    choice = document.get("tool_choice")
    if choice is None:
        return "auto", None, True
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(kind, str) or kind not in _TOOL_MODES:
        raise invalid("tool_choice: Input tag does not match any of: 'auto', 'any', 'tool', 'none'")
    if not tools:
        raise invalid("tool_choice: may only be specified while providing `tools`")
    mode = _TOOL_MODES[kind]
    name = choice.get("name")
    if mode == "named" and name not in {tool.name for tool in tools}:
        raise invalid(f"tool_choice: Tool '{name}' not found in provided tools")
    return mode, name, not choice.get("disable_parallel_tool_use", False)
