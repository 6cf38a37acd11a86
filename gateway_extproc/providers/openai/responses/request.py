"""A request for a response: every type checked, every text found.

The rules are those of OpenAI's API reference for ``POST /v1/responses``.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest, Path, Role, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers import checks
from gateway_extproc.providers.caps import refuse_smuggled

CAP: Final = "max_output_tokens"

_ELSEWHERE: Final = {
    "previous_response_id": "nothing: send the conversation itself in 'input'",
    "conversation": "nothing: send the conversation itself in 'input'",
    "prompt": "nothing: send the prompt itself in 'instructions' and 'input'",
}
"""Fields that name something which the provider keeps, of whichever tenant."""

_FIELDS: Final[dict[str, checks.Check]] = {
    "include": checks.strings,
    CAP: checks.integer(1),
    "max_tool_calls": checks.integer(1),
    "metadata": checks.obj,
    "parallel_tool_calls": checks.boolean,
    "prompt_cache_key": checks.string,
    "prompt_cache_retention": checks.string,
    "reasoning": checks.obj,
    "safety_identifier": checks.string,
    "service_tier": checks.string,
    "store": checks.boolean,
    "stream": checks.boolean,
    "stream_options": checks.obj,
    "temperature": checks.number(0, 2),
    "text": checks.obj,
    "top_logprobs": checks.integer(0, 20),
    "top_p": checks.number(0, 1),
    "truncation": checks.string,
    "user": checks.string,
}
_READ: Final = frozenset({"model", "input", "instructions", "tools", "tool_choice", "background"})

_REACHING: Final = {
    "file_search": "vector stores of the provider's account are shared by all tenants",
    "mcp": "the provider would carry the conversation to a server that nobody here approved",
    "code_interpreter": "containers of the provider's account are shared by all tenants",
}
"""Tools by which a provider reaches what the gateway cannot govern, and why they are refused."""

_ROLES: Final[dict[str, Role]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}
_VOICES: Final[dict[str, Role]] = {
    "function_call": "assistant",
    "custom_tool_call": "assistant",
    "reasoning": "assistant",
    "function_call_output": "tool",
    "custom_tool_call_output": "tool",
}
"""Who speaks in an item that is no message; in others the user."""

_MEDIA: Final = frozenset({"input_image", "input_file", "input_audio"})
_SILENT: Final = frozenset(
    {
        *("type", "id", "call_id", "status", "role", "name", "namespace", "encrypted_content"),
        *("image_url", "file_data", "file_url", "detail", "phase"),
    }
)
"""Fields of items and parts that carry no text."""


def read_request(document: Document) -> LlmRequest:
    """The request behind a document; raises ``RequestError`` with the field."""
    model = document.get("model")
    checks.name(model, "model")
    for key, value in document.items():
        _check(key, value)
    texts: list[TextAt] = []
    instructions = document.get("instructions")
    if instructions is not None:
        checks.string(instructions, "instructions")
        texts.append(TextAt(("instructions",), "system", instructions))
    media = _read_input(document.get("input"), texts)
    for index, tool in enumerate(document.get("tools") or ()):
        for key, value in tool.items():
            if key not in ("type", "name"):
                texts += _described(value, ("tools", index, key))
    if document.get("text"):
        texts += _described(document["text"].get("format"), ("text", "format"))
    return LlmRequest(
        "openai", "responses", model,  # type: ignore[arg-type]
        document.get("stream") is True,
        document.get(CAP),
        True,  # responses always report usage
        document, tuple(texts),
        media=media,
        has_tools=bool(document.get("tools")),
    )  # fmt: skip


def _check(key: str, value: Any) -> None:
    if value is None:
        return
    expected = _ELSEWHERE.get(key)
    if expected is not None:
        raise invalid(key, expected)
    check = _FIELDS.get(key)
    if check is not None:
        check(value, key)
    elif key == "background" and value is not False:
        raise invalid(key, "false or nothing: this gateway answers while the client waits")
    elif key == "tools":
        _check_tools(value)
    elif key not in _READ:
        refuse_smuggled(value, key)


def _check_tools(value: Any) -> None:
    checks.array(value, "tools")
    for index, tool in enumerate(value):
        param = f"tools[{index}]"
        checks.obj(tool, param)
        kind = checks.get(tool, "type", checks.string, ("tools", index))
        if kind in _REACHING:
            raise invalid(f"{param}.type", f"another tool: {_REACHING[kind]}")
        if kind == "function":
            checks.get(tool, "name", checks.name, ("tools", index))


def _read_input(value: Any, texts: list[TextAt]) -> int:
    """Finds the texts of ``input``; returns how many parts are no text."""
    if type(value) is str:
        texts.append(TextAt(("input",), "user", value))
        return 0
    if type(value) is not list or not value:
        raise invalid("input", "a text, or a non-empty array of items")
    media = 0
    for index, item in enumerate(value):
        if type(item) is not dict:
            raise invalid(f"input[{index}]", "an object")
        media += _read_item(item, ("input", index), texts)
    return media


def _read_item(item: Document, path: Path, texts: list[TextAt]) -> int:
    kind = item.get("type", "message")
    if kind == "item_reference":
        raise invalid(checks.name_of((*path, "type")), "the item itself, not a reference to it")
    if kind == "message":
        named = item.get("role")
        role = _ROLES.get(named) if type(named) is str else None
        if role is None:
            expected = " or ".join(f"'{name}'" for name in _ROLES)
            raise invalid(checks.name_of((*path, "role")), expected)
    else:
        role = _VOICES.get(kind, "user") if type(kind) is str else "user"
    media = 0
    for key, value in item.items():
        if key not in _SILENT:
            media += _read_value(value, (*path, key), role, texts)
    return media


def _read_value(value: Any, path: Path, role: Role, texts: list[TextAt]) -> int:
    """A field of an item: a text, an array of parts, or something else with texts in it."""
    if type(value) is not list:
        texts += [TextAt(at, role, text) for at, text in checks.string_leaves(value, path)]
        return 0
    media = 0
    for index, part in enumerate(value):
        at = (*path, index)
        if type(part) is not dict:
            texts += [TextAt(*found) for found in _leaves(part, at, role)]
            continue
        if part.get("file_id") is not None:
            wanted = "the content itself: files of the provider's account are shared by all tenants"
            raise invalid(checks.name_of((*at, "file_id")), wanted)
        media += type(part.get("type")) is str and part["type"] in _MEDIA
        for key, inner in part.items():
            if key not in _SILENT:
                texts += [TextAt(*found) for found in _leaves(inner, (*at, key), role)]
    return media


def _leaves(value: Any, path: Path, role: Role) -> list[tuple[Path, Role, str]]:
    return [(at, role, text) for at, text in checks.string_leaves(value, path)]


def _described(value: Any, path: Path) -> list[TextAt]:
    """The strings of a schema or a description, which the model reads."""
    return [
        TextAt(at, "system", text)
        for at, text in checks.string_leaves(value, path)
        if at[-1] not in ("type", "name")
    ]
