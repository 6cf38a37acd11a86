"""The messages of a chat request: who may say what in which shape."""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, Path, Role, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers import checks
from gateway_extproc.providers.checks import name_of

VOICES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_PLAIN: Final = frozenset({"system", "developer", "user", "assistant"})

# Which content parts which role may use, by OpenAI's message schemas.  An unknown
# part is refused: a guard could not see the text in it.
_PARTS: Final[dict[str, frozenset[str]]] = {
    "system": frozenset({"text"}),
    "developer": frozenset({"text"}),
    "user": frozenset({"text", "image_url", "input_audio", "file"}),
    "assistant": frozenset({"text", "refusal"}),
    "tool": frozenset({"text"}),
    "function": frozenset(),
}

# What OpenAI-compatible servers call the reasoning of an assistant's turn.
_REASONING: Final = ("reasoning_content", "reasoning", "reasoning_details")


def read_messages(messages: Any) -> list[TextAt]:
    """Every text of the messages; raises ``RequestError`` naming the field."""
    if type(messages) is not list or not messages:
        raise invalid("messages", "a non-empty array of messages")
    texts: list[TextAt] = []
    for index, message in enumerate(messages):
        if type(message) is dict and len(message) == 2:
            role, content = message.get("role"), message.get("content")
            if type(content) is str and type(role) is str and role in _PLAIN:
                texts.append(TextAt(("messages", index, "content"), VOICES[role], content))
                continue
        _read_message(message, ("messages", index), texts)
    return texts


def _read_message(message: Any, path: Path, texts: list[TextAt]) -> None:
    checks.obj(message, name_of(path))
    role = message.get("role")
    if type(role) is not str or role not in VOICES:
        raise invalid(name_of((*path, "role")), f"one of {', '.join(VOICES)}")
    if role == "tool":
        checks.get(message, "tool_call_id", checks.name, path)
    if role == "function":
        checks.get(message, "name", checks.name, path)
    checks.optional(checks.string)(message.get("name"), name_of((*path, "name")))
    if role == "assistant":
        _read_assistant(message, path, texts)
    if message.get("content") is not None or not _may_be_silent(message, role):
        _read_content(message.get("content"), role, (*path, "content"), texts)


def _may_be_silent(message: Document, role: str) -> bool:
    """Only an assistant that called a tool, refused or spoke aloud needs no content."""
    return role == "function" or (
        role == "assistant"
        and any(message.get(key) for key in ("tool_calls", "function_call", "refusal", "audio"))
    )


def _read_content(content: Any, role: str, path: Path, texts: list[TextAt]) -> None:
    voice = VOICES[role]
    if type(content) is str:
        texts.append(TextAt(path, voice, content))
        return
    if type(content) is not list or not content:
        raise invalid(name_of(path), "a string or a non-empty array of content parts")
    for index, part in enumerate(content):
        _read_part(part, role, (*path, index), texts)


def _read_part(part: Any, role: str, path: Path, texts: list[TextAt]) -> None:
    checks.obj(part, name_of(path))
    kind = part.get("type")
    if type(kind) is not str or kind not in _PARTS[role]:
        expected = ", ".join(sorted(_PARTS[role])) or "no parts"
        raise invalid(name_of((*path, "type")), f"one of: {expected}")
    value = part.get(kind)
    at = (*path, kind)
    if kind in ("text", "refusal"):
        checks.string(value, name_of(at))
        texts.append(TextAt(at, VOICES[role], value))
        return
    checks.obj(value, name_of(at))
    if kind == "image_url":
        checks.get(value, "url", checks.name, at)
        checks.optional(checks.string)(value.get("detail"), name_of((*at, "detail")))
    elif type(value.get("filename")) is str:  # the model reads it
        texts.append(TextAt((*at, "filename"), VOICES[role], value["filename"]))


def _read_assistant(message: Document, path: Path, texts: list[TextAt]) -> None:
    refusal = message.get("refusal")
    if refusal is not None:
        checks.string(refusal, name_of((*path, "refusal")))
        texts.append(TextAt((*path, "refusal"), "assistant", refusal))
    for key in _REASONING:
        for at, text in checks.string_leaves(message.get(key), (*path, key)):
            texts.append(TextAt(at, "assistant", text))
    call = message.get("function_call")
    if call is not None:
        checks.obj(call, name_of((*path, "function_call")))
        _read_function(call, (*path, "function_call"), "arguments", texts)
    calls = message.get("tool_calls")
    if calls is not None:
        checks.array(calls, name_of((*path, "tool_calls")))
        for index, item in enumerate(calls):
            _read_tool_call(item, (*path, "tool_calls", index), texts)


def _read_tool_call(call: Any, path: Path, texts: list[TextAt]) -> None:
    checks.obj(call, name_of(path))
    checks.get(call, "id", checks.name, path)
    kind = call.get("type")
    if kind not in ("function", "custom"):
        raise invalid(name_of((*path, "type")), "'function' or 'custom'")
    called = checks.get(call, kind, checks.obj, path)
    _read_function(called, (*path, kind), "arguments" if kind == "function" else "input", texts)


def _read_function(called: Document, path: Path, key: str, texts: list[TextAt]) -> None:
    checks.get(called, "name", checks.name, path)
    text = checks.get(called, key, checks.string, path)
    texts.append(TextAt((*path, key), "assistant", text))
