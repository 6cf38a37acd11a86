"""Does a request to ``/v1/chat/completions`` hold what OpenAI requires?

Wording, codes and params follow what the real API answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from gateway_simulators.answers import Question, Tool, ToolMode
from gateway_simulators.problem import Problem

ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
PARTS: Final = {
    "text": "text",
    "refusal": "refusal",
    "image_url": "image_url",
    "input_audio": "input_audio",
    "file": "file",
}
# The real API refuses fields it does not know; a gateway that leaks a field of
# another dialect must fail here.  tests/simulators checks this list against the SDK.
FIELDS: Final = frozenset(
    [
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)
_NAMES: Final[dict[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    type(None): "null",
}


def invalid(
    message: str, *, code: str | None = None, param: str | None = None, status: int = 400
) -> Problem:
    return Problem(status, "invalid_request_error", message, code=code, param=param)


def check_headers(headers: Mapping[str, str], key: str | None) -> None:
    """Credential first, then the media type: the order of the real API."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise invalid(
            "You didn't provide an API key. You need to provide your API key in an "
            "Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            status=401,
        )
    if key is not None and token != key:
        raise invalid(
            f"Incorrect API key provided: {_masked(token)}. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
            code="invalid_api_key",
            status=401,
        )
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise invalid(
            f"Unsupported content type: '{media_type}'. This API method only accepts "
            "'application/json' requests.",
            code="unsupported_content_type",
        )


def read(document: object) -> Question:
    """The question in a chat request; raises ``Problem``."""
    if not isinstance(document, dict):
        raise bad_json()
    for name in document:
        if name not in FIELDS:
            raise invalid(f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    model = _model(document)
    messages = _messages(document)
    tools = _tools(document)
    mode, named = _tool_choice(document, tools)
    options = _get(document, "stream_options", dict) or {}
    stream = bool(_get(document, "stream", bool))
    if options and not stream:
        raise invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    parallel = _get(document, "parallel_tool_calls", bool)
    _range(document, "temperature", 0, 2)
    _range(document, "top_p", 0, 1)
    return Question(
        model=model,
        messages=tuple(_text(message) for message in messages),
        last_user=next((_text(m) for m in reversed(messages) if m["role"] == "user"), ""),
        tool_results=_last_results(messages),
        tools=tools,
        tool_mode=mode,
        tool_name=named,
        parallel=parallel is not False,
        max_tokens=_max_tokens(document),
        stop_sequences=_stops(document),
        stream=stream,
        wants_usage=options.get("include_usage") is True,
        choices=_positive(document, "n") or 1,
    )


def bad_json() -> Problem:
    return invalid(
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't "
        "using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was "
        "sent was not valid JSON.)"
    )


def _masked(token: str) -> str:
    """As the real API echoes a wrong key: its ends, and stars."""
    return f"{token[:3]}{'*' * 8}{token[-4:]}" if len(token) > 12 else "*" * len(token)


def _wrong_type(param: str, expected: str, value: object) -> NoReturn:
    got = _NAMES.get(type(value), type(value).__name__)
    raise invalid(
        f"Invalid type for '{param}': expected {expected}, but got {got} instead.",
        code="invalid_type",
        param=param,
    )


def _get(document: Mapping[str, Any], name: str, kind: type) -> Any:
    """An optional field of one type; null counts as absent, as in the real API."""
    value = document.get(name)
    if value is not None and type(value) is not kind:
        _wrong_type(name, _NAMES[kind], value)
    return value


def _positive(document: Mapping[str, Any], name: str) -> int | None:
    value = _get(document, name, int)
    if value is not None and value < 1:
        raise invalid(
            f"Invalid '{name}': integer below minimum value. Expected a value >= 1, "
            f"but got {value} instead.",
            code="integer_below_min_value",
            param=name,
        )
    return None if value is None else int(value)


def _range(document: Mapping[str, Any], name: str, low: int, high: int) -> None:
    value = document.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        _wrong_type(name, "a decimal", value)
    if not low <= value <= high:
        raise invalid(
            f"Invalid '{name}': decimal out of range. Expected a value between {low} and "
            f"{high}, but got {value} instead.",
            code="decimal_out_of_range",
            param=name,
        )


def _max_tokens(document: Mapping[str, Any]) -> int | None:
    older, newer = (_positive(document, n) for n in ("max_tokens", "max_completion_tokens"))
    if older is not None and newer is not None:
        raise invalid(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            code="invalid_parameter_combination",
            param="max_tokens",
        )
    return older if newer is None else newer


def _stops(document: Mapping[str, Any]) -> tuple[str, ...]:
    stop = document.get("stop")
    stops = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(s, str) and s for s in stops):
        _wrong_type("stop", "a string or an array of strings", stop)
    if len(stops) > 4:
        raise invalid(
            "Invalid 'stop': array too long.", code="array_above_max_length", param="stop"
        )
    return tuple(stops)


def _model(document: Mapping[str, Any]) -> str:
    model = document.get("model")
    if model is None or model == "":
        raise invalid("you must provide a model parameter")
    if not isinstance(model, str):
        _wrong_type("model", "a string", model)
    if "unknown" in model:
        raise invalid(
            f"The model `{model}` does not exist or you do not have access to it.",
            code="model_not_found",
            status=404,
        )
    return model


def _missing(param: str) -> Problem:
    return invalid(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def _messages(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = document.get("messages")
    if messages is None:
        raise _missing("messages")
    if not isinstance(messages, list):
        _wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise invalid(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got "
            "an empty array instead.",
            code="empty_array",
            param="messages",
        )
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]")
    _check_tool_turns(messages)
    return messages


def _check_message(message: object, where: str) -> None:
    if not isinstance(message, dict):
        _wrong_type(where, "an object", message)
    role = message.get("role")
    if role is None:
        raise _missing(f"{where}.role")
    if role not in ROLES:
        supported = ", ".join(f"'{name}'" for name in ROLES)
        raise invalid(
            f"Invalid value: '{role}'. Supported values are: {supported}.",
            code="invalid_value",
            param=f"{where}.role",
        )
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise _missing(f"{where}.tool_call_id")
    calls = message.get("tool_calls")
    if calls is not None:
        _check_calls(calls, f"{where}.tool_calls")
    _check_content(message.get("content"), f"{where}.content", optional=role == "assistant")


def _check_content(content: object, where: str, *, optional: bool) -> None:
    if isinstance(content, str) or (content is None and optional):
        return
    if content is None:
        raise invalid(
            f"Invalid value for 'content': expected a string, got null. ({where})", param=where
        )
    if not isinstance(content, list):
        _wrong_type(where, "one of a string or array of objects", content)
    if not content:
        raise invalid(f"Invalid '{where}': empty array.", code="empty_array", param=where)
    for index, part in enumerate(content):
        place = f"{where}[{index}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str) or kind not in PARTS:
            raise invalid(f"Invalid value: '{kind}'.", code="invalid_value", param=f"{place}.type")
        value = part.get(PARTS[kind])
        if not isinstance(value, str if kind in ("text", "refusal") else dict):
            raise _missing(f"{place}.{PARTS[kind]}")


def _check_calls(calls: object, where: str) -> None:
    if not isinstance(calls, list) or not calls:
        raise invalid(f"Invalid '{where}': expected a non-empty array.", param=where)
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(call.get("id"), str):
            raise _missing(f"{where}[{index}].id")
        if not isinstance(function, dict) or not all(
            isinstance(function.get(name), str) for name in ("name", "arguments")
        ):
            raise _missing(f"{where}[{index}].function")


def _check_tool_turns(messages: list[dict[str, Any]]) -> None:
    """Every call is answered at once, and nothing answers a call that was not made."""
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                raise invalid(
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceeding message with 'tool_calls'.",
                    param=f"messages.[{index}].role",
                )
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            break
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
    if waiting:
        raise invalid(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            f"to each 'tool_call_id'. Unanswered: {', '.join(sorted(waiting))}",
            param="messages",
        )


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or () if part["type"] == "text")


def _last_results(messages: list[dict[str, Any]]) -> tuple[str, ...]:
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.append(_text(message))
    return tuple(reversed(results))


def _tools(document: Mapping[str, Any]) -> tuple[Tool, ...]:
    tools = _get(document, "tools", list)
    if tools is None:
        return ()
    if not tools:
        raise invalid("Invalid 'tools': empty array.", code="empty_array", param="tools")
    return tuple(_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools))


def _tool(tool: object, where: str) -> Tool:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise _missing(f"{where}.type")
    function = tool.get("function")
    if not isinstance(function, dict):
        raise _missing(f"{where}.function")
    name, schema = function.get("name"), function.get("parameters")
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier() or len(name) > 64:
        raise invalid(
            f"Invalid '{where}.function.name': string does not match pattern '^[a-zA-Z0-9_-]+$'.",
            code="invalid_value",
            param=f"{where}.function.name",
        )
    if schema is not None and not isinstance(schema, dict):
        _wrong_type(f"{where}.function.parameters", "an object", schema)
    return Tool(name, schema or {})


def _tool_choice(
    document: Mapping[str, Any], tools: tuple[Tool, ...]
) -> tuple[ToolMode, str | None]:
    choice = document.get("tool_choice")
    if choice is None:
        return "auto", None
    if not tools:
        raise invalid(
            "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice"
        )
    if choice in ("auto", "none", "required"):
        return choice, None
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if name not in {tool.name for tool in tools}:
        raise invalid(
            "Invalid value for 'tool_choice': the function is not among 'tools'.",
            param="tool_choice",
        )
    return "named", name
