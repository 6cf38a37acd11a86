"""A chat request in OpenAI's dialect: every type checked, every text found.

The rules are those of OpenAI's API reference for ``POST /v1/chat/completions``.
A null stands for an absent optional field, as it does there.  Unknown fields are
left alone: OpenAI-compatible servers have their own.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest, Path, Role, TextAt
from gateway_extproc.core.errors import RequestError, invalid, refuse
from gateway_extproc.providers import checks
from gateway_extproc.providers.caps import refuse_smuggled
from gateway_extproc.providers.openai.messages import read_messages

CAPS: Final = ("max_tokens", "max_completion_tokens")
"""The cap's old spelling and its new one."""

_SCHEMA_TYPES: Final = frozenset(
    {"string", "number", "integer", "boolean", "object", "array", "null"}
)

_NAMED: Final = frozenset({"function", "custom"})


def _stop(value: Any, param: str) -> None:
    if type(value) is str:
        return
    if type(value) is not list or not 1 <= len(value) <= 4:
        raise invalid(param, "a string or an array of one to four strings")
    checks.strings(value, param)


def _stream_options(value: Any, param: str) -> None:
    checks.obj(value, param)
    checks.optional(checks.boolean)(value.get("include_usage"), f"{param}.include_usage")


def _typed(value: Any, param: str) -> None:
    checks.obj(value, param)
    checks.get(value, "type", checks.string, (param,))


def _tool(value: Any, param: str) -> None:
    _typed(value, param)
    kind = value["type"]
    if kind in ("function", "custom"):
        _function(value.get(kind), f"{param}.{kind}")


def _function(value: Any, param: str) -> None:
    checks.obj(value, param)
    checks.get(value, "name", checks.name, (param,))
    checks.optional(checks.string)(value.get("description"), f"{param}.description")
    checks.optional(checks.obj)(value.get("parameters"), f"{param}.parameters")
    checks.optional(checks.boolean)(value.get("strict"), f"{param}.strict")


def _tools(value: Any, param: str) -> None:
    checks.array(value, param)
    for index, tool in enumerate(value):
        _tool(tool, f"{param}[{index}]")


def _functions(value: Any, param: str) -> None:
    checks.array(value, param)
    for index, function in enumerate(value):
        _function(function, f"{param}[{index}]")


def _tool_choice(value: Any, param: str) -> None:
    if type(value) is dict:
        _typed(value, param)
        if value["type"] in ("function", "custom"):
            chosen = checks.get(value, value["type"], checks.obj, (param,))
            checks.get(chosen, "name", checks.name, (param, value["type"]))
    elif value not in ("none", "auto", "required"):
        raise invalid(param, "'none', 'auto', 'required' or an object that names a tool")


def _function_call(value: Any, param: str) -> None:
    if type(value) is dict:
        checks.get(value, "name", checks.name, (param,))
    elif value not in ("none", "auto"):
        raise invalid(param, "'none', 'auto' or an object that names a function")


FIELDS: Final[dict[str, checks.Check]] = {
    key: checks.optional(check)
    for key, check in {
        "audio": checks.obj,
        "frequency_penalty": checks.number(-2, 2),
        "function_call": _function_call,
        "functions": _functions,
        "logit_bias": checks.obj,
        "logprobs": checks.boolean,
        "max_completion_tokens": checks.integer(1),
        "max_tokens": checks.integer(1),
        "metadata": checks.obj,
        "min_tokens": checks.integer(0),  # vLLM
        "modalities": checks.strings,
        "n": checks.integer(1, 128),
        "parallel_tool_calls": checks.boolean,
        "prediction": checks.obj,
        "presence_penalty": checks.number(-2, 2),
        "prompt_cache_key": checks.string,
        "reasoning_effort": checks.string,
        "response_format": _typed,
        "safety_identifier": checks.string,
        "seed": checks.whole,
        "service_tier": checks.string,
        "stop": _stop,
        "store": checks.boolean,
        "stream": checks.boolean,
        "stream_options": _stream_options,
        "temperature": checks.number(0, 2),
        "tool_choice": _tool_choice,
        "tools": _tools,
        "top_logprobs": checks.integer(0, 20),
        "top_p": checks.number(0, 1),
        "user": checks.string,
        "verbosity": checks.string,
        "web_search_options": checks.obj,
    }.items()
}

READ: Final = frozenset({"model", "messages"})

# Fields outside of the messages that the model reads, too, and in whose voice.
_SPEAKING: Final[tuple[tuple[str, Role], ...]] = (
    ("functions", "system"),
    ("response_format", "system"),
    ("prediction", "assistant"),
    ("web_search_options", "user"),
)


_STREAMED_SOUND: Final = refuse(
    "unsupported_parameter",
    "'modalities' may not ask for sound in a stream: it would be heard before it is read. "
    "Ask without 'stream'.",
    param="modalities",
)


def read_request(document: Document) -> LlmRequest:
    """The request behind a chat document; raises ``RequestError`` with the field."""
    model = document.get("model")
    checks.name(model, "model")
    for key, value in document.items():
        check = FIELDS.get(key)
        if check is not None:
            check(value, key)
        elif key not in READ:
            refuse_smuggled(value, key)
    if document.get("stream") and "audio" in (document.get("modalities") or ()):
        # Its sound arrives before the words of it that a guard could read.
        raise RequestError(_STREAMED_SOUND)
    texts = read_messages(document.get("messages"))
    if document.get("tools"):
        _tool_texts(document["tools"], texts)
    for key, role in _SPEAKING:
        if document.get(key) is not None:
            _described(document[key], (key,), role, texts)
    options = document.get("stream_options")
    return LlmRequest(
        "openai",
        "chat",
        model,  # type: ignore[arg-type]
        document.get("stream") is True,
        _max_tokens(document),
        options is not None and options.get("include_usage") is True,
        document,
        tuple(texts),
        completions=document.get("n") or 1,
        media=_media(document["messages"]),
        has_tools=bool(document.get("tools") or document.get("functions")),
    )


def _max_tokens(document: Document) -> int | None:
    """The cap in either spelling; OpenAI refuses both at once, we only a contradiction."""
    old: int | None = document.get("max_tokens")
    new: int | None = document.get("max_completion_tokens")
    if old is not None and new is not None and old != new:
        raise invalid("max_tokens", "the same value as 'max_completion_tokens'")
    return old if new is None else new


def _media(messages: list[Any]) -> int:
    """Parts of user turns that are no text."""
    return sum(
        part["type"] != "text"
        for message in messages
        if type(message.get("content")) is list
        for part in message["content"]
    )


def _tool_texts(tools: list[Any], texts: list[TextAt]) -> None:
    for index, tool in enumerate(tools):
        for key, value in tool.items():
            if key != "type":
                _described(value, ("tools", index, key), "system", texts)


def _described(value: Any, path: Path, role: Role, texts: list[TextAt]) -> None:
    """The strings of a schema or description: the model reads all of them.

    Left out are the names of tools and the type words of JSON schema, which
    carry no text; a "type" that is no type word is kept.
    """
    for at, text in checks.string_leaves(value, path):
        if at[-1] == "name" and (len(at) == 3 or (len(at) == 4 and at[2] in _NAMED)):
            continue
        if at[-1] == "type" and (text in _SCHEMA_TYPES or len(at) <= 2):
            continue
        texts.append(TextAt(at, role, text))
