"""A chat request in Cohere's dialect: every type checked, every text found.

The rules are those of Cohere's API reference for ``POST /v2/chat``.  Unknown fields are left alone,
unknown kinds of content are not: a guard could not see into them.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest, Path, Role, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers import checks
from gateway_extproc.providers.caps import refuse_smuggled
from gateway_extproc.providers.cohere.messages import read_messages

_SCHEMA_TYPES: Final = frozenset(
    {"string", "number", "integer", "boolean", "object", "array", "null"}
)


def _typed(value: Any, param: str) -> None:
    checks.obj(value, param)
    checks.get(value, "type", checks.string, (param,))


def _tools(value: Any, param: str) -> None:
    checks.array(value, param)
    for index, tool in enumerate(value):
        at: Path = (param, index)
        _typed(tool, checks.name_of(at))
        if tool["type"] != "function":
            raise invalid(checks.name_of((*at, "type")), "'function'")
        function = checks.get(tool, "function", checks.obj, at)
        at = (*at, "function")
        checks.get(function, "name", checks.name, at)
        checks.get(function, "description", checks.optional(checks.string), at)
        checks.get(function, "parameters", checks.optional(checks.obj), at)


def _tool_choice(value: Any, param: str) -> None:
    if value not in ("REQUIRED", "NONE"):
        raise invalid(param, "'REQUIRED' or 'NONE'")


def _thinking(value: Any, param: str) -> None:
    checks.obj(value, param)
    if value.get("type") not in ("enabled", "disabled"):
        raise invalid(f"{param}.type", "'enabled' or 'disabled'")
    checks.get(value, "token_budget", checks.optional(checks.integer(1)), (param,))


def _response_format(value: Any, param: str) -> None:
    _typed(value, param)
    if value["type"] not in ("text", "json_object"):
        raise invalid(f"{param}.type", "'text' or 'json_object'")
    checks.get(value, "json_schema", checks.optional(checks.obj), (param,))


def _documents(value: Any, param: str) -> None:
    checks.array(value, param)
    for index, item in enumerate(value):
        if type(item) not in (str, dict):
            raise invalid(f"{param}[{index}]", "a string or an object")


_FIELDS: Final[dict[str, checks.Check]] = {
    key: checks.optional(check)
    for key, check in {
        "citation_options": checks.obj,
        "documents": _documents,
        "frequency_penalty": checks.number(0, 1),
        "k": checks.integer(0, 500),
        "logprobs": checks.boolean,
        "max_tokens": checks.integer(1),
        "p": checks.number(0, 1),
        "presence_penalty": checks.number(0, 1),
        "priority": checks.integer(0),
        "response_format": _response_format,
        "safety_mode": checks.string,
        "seed": checks.whole,
        "stop_sequences": checks.strings,
        "stream": checks.boolean,
        "strict_tools": checks.boolean,
        "temperature": checks.number(0, 5),
        "thinking": _thinking,
        "tool_choice": _tool_choice,
        "tools": _tools,
    }.items()
}
_READ: Final = frozenset({"model", "messages"})

# Fields outside of the messages that the model reads, too, and in whose voice.
_SPEAKING: Final[tuple[tuple[str, Role], ...]] = (
    ("response_format", "system"),
    ("documents", "tool"),  # they come from elsewhere, as the results of tools do
)


def read_request(document: Document) -> LlmRequest:
    """The request behind a chat document; raises ``RequestError`` with the field."""
    model = document.get("model")
    checks.name(model, "model")
    for key, value in document.items():
        check = _FIELDS.get(key)
        if check is not None:
            check(value, key)
        elif key not in _READ:
            refuse_smuggled(value, key)
    texts, media = read_messages(document.get("messages"))
    for key, value in document.items():
        if key not in _FIELDS and key not in _READ:  # never heard of: a guard looks anyway
            _described(value, (key,), "user", texts)
    for index, tool in enumerate(document.get("tools") or ()):
        _described(tool["function"], ("tools", index, "function"), "system", texts)
    for key, role in _SPEAKING:
        if document.get(key) is not None:
            _described(document[key], (key,), role, texts)
    return LlmRequest(
        "cohere",
        "cohere_chat",
        model,  # type: ignore[arg-type]
        document.get("stream") is True,
        document.get("max_tokens"),
        True,  # Cohere's streams always report usage
        document,
        tuple(texts),
        media=media,
        has_tools=bool(document.get("tools")),
    )


def _described(value: Any, path: Path, role: Role, texts: list[TextAt]) -> None:
    """The strings of a description, a schema or a document: the model reads all of them.

    Left out are the names of tools and the type words of JSON schema, which carry no text.
    """
    for at, text in checks.string_leaves(value, path):
        named = path[0] == "tools" and at == (*path, "name")
        if role == "system" and (named or _is_word(at, text)):
            continue
        texts.append(TextAt(at, role, text))


def _is_word(at: Path, text: str) -> bool:
    return at[-1] == "type" and (text in _SCHEMA_TYPES or len(at) == 2)
