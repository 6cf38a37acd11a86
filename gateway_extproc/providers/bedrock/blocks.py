"""Content blocks of Converse: their kinds, and the texts inside.

A block has exactly one key, which says what it is.  What stands in a bucket of S3 is refused
wherever it is asked for: the provider would fetch it with the gateway's own permissions, which all
tenants share, and no guard would see it.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, Path, Role, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers import checks
from gateway_extproc.providers.checks import name_of

_USER: Final = frozenset(
    {
        *("text", "image", "document", "video", "audio", "toolResult", "guardContent"),
        *("cachePoint", "searchResult", "toolAddition", "toolRemoval"),
    }
)
_ASSISTANT: Final = frozenset(
    {
        *("text", "image", "document", "video", "audio", "toolUse", "toolResult", "cachePoint"),
        *("reasoningContent", "citationsContent"),
    }
)
_SYSTEM: Final = frozenset({"text", "guardContent", "cachePoint"})
_RESULT: Final = frozenset({"json", "text", "image", "document", "video", "searchResult"})
_KINDS: Final = {"user": _USER, "assistant": _ASSISTANT, "system": _USER | _SYSTEM}
MEDIA: Final = frozenset({"image", "document", "video", "audio"})
_SILENT: Final = frozenset({"cachePoint", "toolAddition", "toolRemoval"})

# Strings that are no text: bytes, ciphers, and the words of the wire itself.
_OPAQUE: Final = frozenset(
    {*("bytes", "signature", "redactedContent", "format", "toolUseId", "status", "type")}
)


def kind_of(block: Any, path: Path, allowed: frozenset[str]) -> str:
    """The one key of a block; raises ``RequestError`` for none, several, or one not allowed."""
    checks.obj(block, name_of(path))
    kinds = [key for key in block if block[key] is not None]
    if len(kinds) != 1 or kinds[0] not in allowed:
        raise invalid(name_of(path), f"exactly one of: {', '.join(sorted(allowed))}")
    return str(kinds[0])


def read_system(system: Any, texts: list[TextAt]) -> None:
    """The system prompt's blocks."""
    if system is not None:
        _read_blocks(system, _SYSTEM, "system", ("system",), texts)


def read_messages(messages: Any, texts: list[TextAt]) -> int:
    """Every text of the messages; how many of their blocks are no text."""
    if type(messages) is not list or not messages:
        raise invalid("messages", "a non-empty array of messages")
    media = 0
    for index, message in enumerate(messages):
        path: Path = ("messages", index)
        checks.obj(message, name_of(path))
        role = message.get("role")
        if role not in ("user", "assistant", "system"):
            raise invalid(name_of((*path, "role")), "'user', 'assistant' or 'system'")
        at = (*path, "content")
        media += _read_blocks(message.get("content"), _KINDS[role], role, at, texts)
    return media


def _read_blocks(
    blocks: Any, allowed: frozenset[str], role: Role, path: Path, texts: list[TextAt]
) -> int:
    checks.array(blocks, name_of(path))
    return sum(
        _read_block(block, allowed, role, (*path, index), texts)
        for index, block in enumerate(blocks)
    )


def _read_block(
    block: Any, allowed: frozenset[str], role: Role, path: Path, texts: list[TextAt]
) -> int:
    """Reads one block; how many images, pages and sounds it holds."""
    kind = kind_of(block, path, allowed)
    value, at = block[kind], (*path, kind)
    if kind == "text":
        checks.string(value, name_of(at))
        texts.append(TextAt(at, role, value))
        return 0
    if kind == "json":  # a tool's own object: none of its keys is the wire's
        _leaves(value, role, at, texts, opaque=frozenset())
        return 0
    checks.obj(value, name_of(at))
    if kind in MEDIA:
        _read_media(value, role, at, texts)
        return 1
    if kind == "toolUse":
        checks.get(value, "toolUseId", checks.name, at)
        checks.get(value, "name", checks.name, at)
        arguments = checks.get(value, "input", checks.obj, at)
        _leaves(arguments, "assistant", (*at, "input"), texts, opaque=frozenset())
    elif kind == "toolResult":
        checks.get(value, "toolUseId", checks.name, at)
        checks.get(value, "status", checks.optional(checks.string), at)
        return _read_blocks(value.get("content"), _RESULT, "tool", (*at, "content"), texts)
    elif kind not in _SILENT:
        # What was found somewhere is data, whoever brings it; thoughts are the model's.
        _leaves(value, "tool" if kind == "searchResult" else role, at, texts)
    return 0


def _read_media(value: Document, role: Role, path: Path, texts: list[TextAt]) -> None:
    source, at = checks.get(value, "source", checks.obj, path), (*path, "source")
    if "s3Location" in source:
        raise invalid(name_of((*at, "s3Location")), "'bytes': nothing is fetched from a bucket")
    if source.get("bytes") is not None:
        checks.string(source["bytes"], name_of((*at, "bytes")))
    _leaves(value, role, path, texts)


def _leaves(
    value: Any, role: Role, path: Path, texts: list[TextAt], opaque: frozenset[str] = _OPAQUE
) -> None:
    """Every string inside, but for bytes and the words of the wire."""
    for at, text in checks.string_leaves(value, path):
        if at[-1] not in opaque:
            texts.append(TextAt(at, role, text))
