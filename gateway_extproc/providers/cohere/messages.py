"""The messages of a Cohere chat: who may say what in which shape."""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, Path, Role, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers import checks
from gateway_extproc.providers.checks import name_of

# Which parts which role may use.  An unknown part is refused: a guard could not see into it.
_PARTS: Final[dict[str, frozenset[str]]] = {
    "system": frozenset({"text"}),
    "user": frozenset({"text", "image_url"}),
    "assistant": frozenset({"text", "thinking"}),
    "tool": frozenset({"text", "document"}),
}
_VOICES: Final[dict[str, Role]] = {
    "system": "system", "user": "user", "assistant": "assistant", "tool": "tool",
}  # fmt: skip


def read_messages(messages: Any) -> tuple[list[TextAt], int]:
    """Every text of the messages, and how many images; raises ``RequestError`` with the field."""
    if type(messages) is not list or not messages:
        raise invalid("messages", "a non-empty array of messages")
    texts: list[TextAt] = []
    media = 0
    for index, message in enumerate(messages):
        media += _read_message(message, ("messages", index), texts)
    return texts, media


def _read_message(message: Any, path: Path, texts: list[TextAt]) -> int:
    checks.obj(message, name_of(path))
    role = message.get("role")
    if type(role) is not str or role not in _VOICES:
        raise invalid(name_of((*path, "role")), f"one of {', '.join(_VOICES)}")
    if role == "tool":
        checks.get(message, "tool_call_id", checks.name, path)
    silent = False
    if role == "assistant":
        silent = _read_assistant(message, path, texts)
    content = message.get("content")
    if content is None and silent:
        return 0
    return _read_content(content, role, (*path, "content"), texts, may_be_empty=silent)


def _read_assistant(message: Document, path: Path, texts: list[TextAt]) -> bool:
    """Reads what an assistant says beside its content; whether it needs no content then."""
    plan, calls = message.get("tool_plan"), message.get("tool_calls")
    checks.optional(checks.string)(plan, name_of((*path, "tool_plan")))
    if plan:
        texts.append(TextAt((*path, "tool_plan"), "assistant", plan))
    checks.optional(checks.array)(calls, name_of((*path, "tool_calls")))
    for index, call in enumerate(calls or ()):
        _read_call(call, (*path, "tool_calls", index), texts)
    # What it cited: documents and results of tools, which come from elsewhere.
    for at, text in checks.string_leaves(message.get("citations"), (*path, "citations")):
        texts.append(TextAt(at, "tool", text))
    return bool(plan or calls)


def _read_call(call: Any, path: Path, texts: list[TextAt]) -> None:
    checks.obj(call, name_of(path))
    checks.get(call, "id", checks.name, path)
    if call.get("type", "function") != "function":
        raise invalid(name_of((*path, "type")), "'function'")
    function = checks.get(call, "function", checks.obj, path)
    at = (*path, "function")
    checks.get(function, "name", checks.name, at)
    text = checks.get(function, "arguments", checks.string, at)
    texts.append(TextAt((*at, "arguments"), "assistant", text))


def _read_content(
    content: Any, role: str, path: Path, texts: list[TextAt], *, may_be_empty: bool
) -> int:
    if type(content) is str:
        texts.append(TextAt(path, _VOICES[role], content))
        return 0
    if type(content) is not list or not (content or may_be_empty):
        raise invalid(name_of(path), "a string or a non-empty array of content parts")
    return sum(_read_part(part, role, (*path, i), texts) for i, part in enumerate(content))


def _read_part(part: Any, role: str, path: Path, texts: list[TextAt]) -> int:
    """Reads one part; 1 if it is an image."""
    checks.obj(part, name_of(path))
    kind = part.get("type")
    if type(kind) is not str or kind not in _PARTS[role]:
        expected = ", ".join(sorted(_PARTS[role]))
        raise invalid(name_of((*path, "type")), f"one of: {expected}")
    value, at = part.get(kind), (*path, kind)
    if kind in ("text", "thinking"):
        checks.string(value, name_of(at))
        texts.append(TextAt(at, _VOICES[role], value))
        return 0
    checks.obj(value, name_of(at))
    if kind == "image_url":
        checks.get(value, "url", checks.name, at)
        checks.get(value, "detail", checks.optional(checks.string), at)
        return 1
    data = value.get("data")
    if type(data) not in (str, dict):
        raise invalid(name_of((*at, "data")), "a string or an object")
    checks.get(value, "id", checks.optional(checks.string), at)
    for leaf, text in checks.string_leaves(data, (*at, "data")):
        texts.append(TextAt(leaf, "tool", text))
    return 0
