"""Does a request to ``/v2/chat``, ``/v2/embed`` or ``/v2/rerank`` hold what Cohere requires?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway_simulators.answers import Question, Tool, ToolMode
from gateway_simulators.problem import Problem

# tests/simulators checks this list against the SDK.
FIELDS: Final = frozenset(
    {
        *("model", "messages", "stream", "tools", "strict_tools", "documents", "citation_options"),
        *("response_format", "safety_mode", "max_tokens", "stop_sequences", "temperature", "seed"),
        *("frequency_penalty", "presence_penalty", "k", "p", "logprobs", "tool_choice", "thinking"),
        "priority",
    }
)
_BETWEEN: Final = {
    "temperature": (0, float("inf")),
    "frequency_penalty": (0, 1),
    "presence_penalty": (0, 1),
    "k": (0, 500),
    "p": (0.01, 0.99),
}
_PARTS: Final[dict[str, dict[str, type]]] = {
    "system": {"text": str},
    "user": {"text": str, "image_url": dict},
    "assistant": {"text": str, "thinking": str},
    "tool": {"text": str, "document": dict},
}
_MODES: Final[dict[str, ToolMode]] = {"REQUIRED": "required", "NONE": "none"}
MOST_STOPS: Final = 5


def invalid(message: str, status: int = 400) -> Problem:
    return Problem(status, "bad_request", message)


def check_headers(headers: Mapping[str, str], key: str | None) -> None:
    """Credential and media type."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if not token:
        raise Problem(401, "unauthorized", "no api key supplied")
    if scheme.lower() != "bearer" or (key is not None and token != key):
        raise Problem(401, "unauthorized", "invalid api token")
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise invalid("invalid request: content-type must be application/json", 415)


def read(document: object) -> Question:
    """The question in a chat request; raises ``Problem``."""
    if not isinstance(document, dict):
        raise invalid("invalid request: expected an object")
    for name in document:
        if name not in FIELDS:
            raise invalid(
                f"invalid request: unknown field: parameter '{name}' is not a valid field"
            )
    model = model_of(document)
    _numbers(document)
    tools = tuple(map(_tool, document.get("tools") or ()))
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("invalid request: messages must not be empty")
    texts = [_text(message, f"messages[{index}]") for index, message in enumerate(messages)]
    _check_turns(messages)
    results: list[str] = []
    for message, text in zip(reversed(messages), reversed(texts), strict=True):
        if message["role"] != "tool":
            break
        results.insert(0, text)
    return Question(
        model=model,
        messages=tuple(texts),
        last_user=next(
            (text for message, text in zip(reversed(messages), reversed(texts), strict=True)
             if message["role"] == "user"), "",
        ),
        tool_results=tuple(results),
        tools=tools,
        tool_mode=_tool_mode(document, tools),
        max_tokens=document.get("max_tokens"),
        stop_sequences=tuple(document.get("stop_sequences") or ()),
        stream=document.get("stream") is True,
        wants_usage=True,
    )  # fmt: skip


def model_of(document: Mapping[str, Any]) -> str:
    model = document.get("model")
    if not isinstance(model, str) or not model:
        raise invalid("invalid request: model is required")
    if "unknown" in model:
        message = f"model '{model}' not found, make sure the correct model ID was used"
        raise Problem(404, "not_found", message)
    return model


def _numbers(document: Mapping[str, Any]) -> None:
    for name, (low, high) in _BETWEEN.items():
        value = document.get(name)
        if value is not None and not (type(value) in (int, float) and low <= value <= high):
            raise invalid(f"invalid request: {name} must be between {low} and {high} inclusive.")
    cap = document.get("max_tokens")
    if cap is not None and (type(cap) is not int or cap < 1):
        raise invalid("invalid request: max_tokens must be at least 1")
    stops = document.get("stop_sequences") or []
    if len(stops) > MOST_STOPS:
        raise invalid(f"invalid request: at most {MOST_STOPS} stop_sequences are allowed")
    wanted = document.get("response_format") or {"type": "text"}
    if wanted.keys() - {"type", "json_schema"} or wanted["type"] not in ("text", "json_object"):
        raise invalid("invalid request: response_format is not valid")
    thinking = document.get("thinking") or {"type": "disabled"}
    if thinking["type"] not in ("enabled", "disabled") or thinking.get("token_budget") == 0:
        raise invalid("invalid request: thinking is not valid")


def _tool(tool: Any) -> Tool:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type") != "function":
        raise invalid("invalid request: tools must be of type function")
    if function.keys() - {"name", "description", "parameters"}:
        raise invalid("invalid request: unknown field in a function")
    if not isinstance(function.get("parameters"), dict):
        raise invalid("invalid request: function.parameters is required")
    return Tool(function["name"], function["parameters"])


def _tool_mode(document: Mapping[str, Any], tools: tuple[Tool, ...]) -> ToolMode:
    choice = document.get("tool_choice")
    if choice is None:
        return "auto"
    if choice not in _MODES or not tools:
        raise invalid("invalid request: tool_choice must be REQUIRED or NONE, and needs tools")
    return _MODES[choice]


def _text(message: Any, where: str) -> str:
    """All text of a message, its parts checked."""
    role = message.get("role") if isinstance(message, dict) else None
    if role not in _PARTS:
        raise invalid(f"invalid request: {where}.role must be one of {', '.join(_PARTS)}")
    content = message.get("content")
    if content is None and role == "assistant" and message.get("tool_calls"):
        return str(message.get("tool_plan", ""))
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise invalid(f"invalid request: {where}.content must not be empty")
    return "".join(_part(part, role, where) for part in content)


def _part(part: Any, role: str, where: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    expected = _PARTS[role].get(kind) if isinstance(kind, str) else None
    if expected is None or not isinstance(part.get(kind), expected):
        raise invalid(f"invalid request: {where} has a part of the wrong type")
    if kind == "document":
        return str(part["document"]["data"])
    return part["text"] if kind == "text" else ""


def _check_turns(messages: list[dict[str, Any]]) -> None:
    """Results answer calls that were made, all of them, and nobody but them."""
    waiting: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                raise invalid(
                    "invalid request: tool_call_id does not match any preceding tool call"
                )
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            raise invalid("invalid request: all tool calls must be followed by their results")
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
    if messages[-1]["role"] not in ("user", "tool"):
        raise invalid("invalid request: the last message must be of the user or of a tool")
