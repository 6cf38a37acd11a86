"""A messages request in Anthropic's dialect: every type checked, every text found.

The rules are those of Anthropic's API reference for ``POST /v1/messages``.  Turns
need not alternate; ``max_tokens`` is required there.  Unknown fields are left
alone, unknown kinds of content are not: a guard could not see into them.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers import checks
from gateway_extproc.providers.anthropic.blocks import read_content, read_system
from gateway_extproc.providers.caps import refuse_smuggled

_NO_TEXT: Final = frozenset({"name", "type", "cache_control"})
_SCHEMA_TYPES: Final = frozenset(
    {"string", "number", "integer", "boolean", "object", "array", "null"}
)

_MEDIA: Final = frozenset({"image", "document", "container_upload"})


def _tools(value: Any, param: str) -> None:
    checks.array(value, param)
    for index, tool in enumerate(value):
        path = (f"{param}[{index}]",)
        checks.obj(tool, path[0])
        checks.get(tool, "type", checks.optional(checks.string), path)
        if tool.get("type") in (None, "custom"):
            checks.get(tool, "name", checks.name, path)
            checks.get(tool, "input_schema", checks.obj, path)
            checks.get(tool, "description", checks.optional(checks.string), path)


def _tool_choice(value: Any, param: str) -> None:
    checks.obj(value, param)
    kind = value.get("type")
    if kind not in ("auto", "any", "tool", "none"):
        raise invalid(f"{param}.type", "'auto', 'any', 'tool' or 'none'")
    if kind == "tool":
        checks.get(value, "name", checks.name, (param,))
    checks.get(value, "disable_parallel_tool_use", checks.optional(checks.boolean), (param,))


def _metadata(value: Any, param: str) -> None:
    checks.obj(value, param)
    checks.get(value, "user_id", checks.optional(checks.string), (param,))


def _thinking(value: Any, param: str) -> None:
    checks.obj(value, param)
    checks.get(value, "type", checks.string, (param,))
    checks.get(value, "budget_tokens", checks.optional(checks.integer(1)), (param,))


_FIELDS: Final[dict[str, checks.Check]] = {
    key: checks.optional(check)
    for key, check in {
        "metadata": _metadata,
        "output_config": checks.obj,
        "service_tier": checks.string,
        "stop_sequences": checks.strings,
        "stream": checks.boolean,
        "temperature": checks.number(0, 1),
        "thinking": _thinking,
        "tool_choice": _tool_choice,
        "tools": _tools,
        "top_k": checks.integer(0),
        "top_p": checks.number(0, 1),
    }.items()
}

_READ: Final = frozenset({"model", "messages", "max_tokens", "system"})


def read_request(document: Document) -> LlmRequest:
    """The request behind a messages document; raises ``RequestError`` with the field."""
    model = document.get("model")
    checks.name(model, "model")
    max_tokens = checks.get(document, "max_tokens", checks.integer(1), ())
    for key, value in document.items():
        check = _FIELDS.get(key)
        if check is not None:
            check(value, key)
        elif key not in _READ:
            refuse_smuggled(value, key)
    _thinks_below(document.get("thinking"), max_tokens)
    texts: list[TextAt] = []
    read_system(document.get("system"), texts)
    _read_messages(document.get("messages"), texts)
    if document.get("tools"):
        _tool_texts(document["tools"], texts)
    for at, text in checks.string_leaves(document.get("output_config"), ("output_config",)):
        if len(at) > 2:  # the schema of a structured answer
            texts.append(TextAt(at, "system", text))
    return LlmRequest(
        "anthropic",
        "messages",
        model,  # type: ignore[arg-type]
        document.get("stream") is True,
        max_tokens,
        True,  # Anthropic's streams always report usage
        document,
        tuple(texts),
        media=_media(document["messages"]),
        has_tools=bool(document.get("tools")),
    )


def _thinks_below(thinking: Document | None, max_tokens: int) -> None:
    """Thinking is part of the answer.  Anthropic refuses more of it than ``max_tokens``, but for
    a beta in which it lifts the cap."""
    budget = thinking.get("budget_tokens") if thinking else None
    if budget is not None and budget >= max_tokens:
        raise invalid("thinking.budget_tokens", "an integer below 'max_tokens'")


def _media(messages: list[Any]) -> int:
    """Blocks that are no text, also inside of tools' results."""
    count = 0
    for message in messages:
        blocks = message["content"]
        if type(blocks) is not list:
            continue
        for block in blocks:
            count += block["type"] in _MEDIA
            inside = block.get("content") if block["type"] == "tool_result" else None
            if type(inside) is list:
                count += sum(part["type"] in _MEDIA for part in inside)
    return count


def _read_messages(messages: Any, texts: list[TextAt]) -> None:
    if type(messages) is not list or not messages:
        raise invalid("messages", "a non-empty array of messages")
    for index, message in enumerate(messages):
        if type(message) is not dict:
            raise invalid(f"messages[{index}]", "an object")
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise invalid(f"messages[{index}].role", "'user', 'assistant' or 'system'")
        if type(content) is str:
            texts.append(TextAt(("messages", index, "content"), role, content))
        else:
            read_content(content, role, ("messages", index, "content"), texts)


def _tool_texts(tools: list[Any], texts: list[TextAt]) -> None:
    """All that a tool says to the model, its schema's descriptions included."""
    for index, tool in enumerate(tools):
        for key, value in tool.items():
            if key in _NO_TEXT:
                continue
            for at, text in checks.string_leaves(value, ("tools", index, key)):
                if at[-1] != "type" or text not in _SCHEMA_TYPES:
                    texts.append(TextAt(at, "system", text))
