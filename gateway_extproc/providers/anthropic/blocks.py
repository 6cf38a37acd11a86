"""Content blocks of Anthropic's messages: their types, and the texts inside."""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, Path, Role, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers import checks
from gateway_extproc.providers.checks import name_of

# Which blocks a turn may hold.  Anthropic's server tools write blocks of their
# own into an assistant's turn, which clients send back as they came.
_USER: Final = frozenset(
    {"text", "image", "document", "search_result", "tool_result", "container_upload"}
)
_ASSISTANT: Final = frozenset(
    {"text", "image", "document", "tool_use", "thinking", "redacted_thinking", "server_tool_use"}
)
_RESULT: Final = frozenset(
    {"text", "image", "document", "search_result", "tool_reference", "browser_state"}
)
_SERVER_RESULT: Final = "_tool_result"

# Strings that are no text: ciphers and bytes, and the words of the wire itself.
_OPAQUE: Final = frozenset(
    {"type", "media_type", "cache_control", "signature", "encrypted_content", "encrypted_index"}
)


def read_system(system: Any, texts: list[TextAt]) -> None:
    """The system prompt: a string or text blocks."""
    if system is None:
        return
    if type(system) is str:
        texts.append(TextAt(("system",), "system", system))
        return
    if type(system) is not list:
        raise invalid("system", "a string or an array of text blocks")
    for index, block in enumerate(system):
        path: Path = ("system", index)
        checks.obj(block, name_of(path))
        if block.get("type") != "text":
            raise invalid(name_of((*path, "type")), "'text'")
        _read_text(block, "system", path, texts)


def read_content(content: Any, role: str, path: Path, texts: list[TextAt]) -> None:
    """The blocks of one turn; raises ``RequestError`` naming the field."""
    if type(content) is not list:
        raise invalid(name_of(path), "a string or an array of content blocks")
    for index, block in enumerate(content):
        _read_block(block, role, (*path, index), texts)


def _read_block(block: Any, role: str, path: Path, texts: list[TextAt]) -> None:
    checks.obj(block, name_of(path))
    kind = block.get("type")
    allowed = _USER if role == "user" else _ASSISTANT
    known = type(kind) is str and (kind in allowed or kind.endswith(_SERVER_RESULT))
    if not known:
        raise invalid(name_of((*path, "type")), f"one of: {', '.join(sorted(allowed))}")
    voice: Role = "user" if role == "user" else "assistant"
    if kind == "text":
        _read_text(block, voice, path, texts)
    elif kind == "tool_use":
        _read_tool_use(block, path, texts)
    elif kind == "tool_result":
        _read_tool_result(block, path, texts)
    elif kind == "image":
        checks.get(block, "source", checks.obj, path)
    elif kind == "thinking":
        checks.get(block, "thinking", checks.string, path)
        texts.append(TextAt((*path, "thinking"), voice, block["thinking"]))
    elif kind != "redacted_thinking":
        # Documents are the user's; what a tool of the provider found is a tool's.
        _read_leaves(block, voice if kind in allowed else "tool", path, texts)


def _read_text(block: Document, role: Role, path: Path, texts: list[TextAt]) -> None:
    text = checks.get(block, "text", checks.string, path)
    texts.append(TextAt((*path, "text"), role, text))


def _read_tool_use(block: Document, path: Path, texts: list[TextAt]) -> None:
    checks.get(block, "id", checks.name, path)
    checks.get(block, "name", checks.name, path)
    arguments = checks.get(block, "input", checks.obj, path)
    for at, text in checks.string_leaves(arguments, (*path, "input")):
        texts.append(TextAt(at, "assistant", text))


def _read_tool_result(block: Document, path: Path, texts: list[TextAt]) -> None:
    checks.get(block, "tool_use_id", checks.name, path)
    checks.get(block, "is_error", checks.optional(checks.boolean), path)
    content, path = block.get("content"), (*path, "content")
    if content is None:
        return
    if type(content) is str:
        texts.append(TextAt(path, "tool", content))
        return
    if type(content) is not list:
        raise invalid(name_of(path), "a string or an array of content blocks")
    for index, part in enumerate(content):
        at = (*path, index)
        checks.obj(part, name_of(at))
        kind = part.get("type")
        if type(kind) is not str or kind not in _RESULT:
            raise invalid(name_of((*at, "type")), f"one of: {', '.join(sorted(_RESULT))}")
        if kind == "text":
            _read_text(part, "tool", at, texts)
        elif kind != "image":
            _read_leaves(part, "tool", at, texts)


def _read_leaves(block: Document, role: Role, path: Path, texts: list[TextAt]) -> None:
    """Every string of a block, whatever its kind; only ciphers and bytes are left out."""
    for at, text in checks.string_leaves(block, path):
        if at[-1] not in _OPAQUE and not _is_base64(block, at[len(path) :]):
            texts.append(TextAt(at, role, text))


def _is_base64(block: Document, at: Path) -> bool:
    """True for the ``data`` of a base64 source; that of a text source is a text."""
    if at[-1] != "data":
        return False
    source: Any = block
    for key in at[:-1]:
        source = source[key]
    return type(source) is dict and source.get("type") == "base64"
