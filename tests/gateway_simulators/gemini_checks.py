"""Does a request to generateContent hold what Gemini requires?

Google's JSON is strict: a field that a message does not have is refused with its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway_simulators.answers import Question, Tool, ToolMode
from gateway_simulators.problem import Problem

FIELDS: Final = frozenset(
    {
        *("contents", "tools", "toolConfig", "safetySettings", "systemInstruction"),
        *("generationConfig", "cachedContent", "serviceTier", "labels"),
    }
)
CONFIG_FIELDS: Final = frozenset(
    {
        *("stopSequences", "responseMimeType", "responseSchema", "responseJsonSchema"),
        *("responseModalities", "candidateCount", "maxOutputTokens", "temperature", "topP", "topK"),
        *("seed", "presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs"),
        *("enableEnhancedCivicAnswers", "speechConfig", "thinkingConfig", "imageConfig"),
        "mediaResolution",
    }
)
PARTS: Final = frozenset(
    {
        *("text", "inlineData", "fileData", "functionCall", "functionResponse"),
        *("executableCode", "codeExecutionResult"),
    }
)
BESIDE: Final = frozenset({"thought", "thoughtSignature", "videoMetadata"})
DECLARED: Final = frozenset({"name", "description", "parameters", "parametersJsonSchema"})
MODES: Final[dict[str, ToolMode]] = {
    "AUTO": "auto",
    "VALIDATED": "auto",
    "ANY": "required",
    "NONE": "none",
}
MAX_STOPS: Final = 5
FREE: Final = frozenset(
    {"args", "response", "parameters", "parametersJsonSchema", "responseSchema", "labels"}
)
_UNDER: Final = re.compile(r"_([a-z])")
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
SIGNING: Final = "gemini-3"
"""Models that sign their calls, and refuse calls that come back without the signature."""


def invalid(message: str, status: int = 400) -> Problem:
    return Problem(status, "INVALID_ARGUMENT", message)


def check_key(headers: Mapping[str, str], key: str | None) -> None:
    """The Gemini API's key: a wrong one is an invalid argument there, a missing one forbidden."""
    sent = headers.get("x-goog-api-key", "")
    if not sent:
        message = (
            "Method doesn't allow unregistered callers (callers without established identity)."
        )
        raise Problem(403, "PERMISSION_DENIED", message)
    if key is not None and sent != key:
        message = "API key not valid. Please pass a valid API key."
        raise Problem(400, "INVALID_ARGUMENT", message, code="API_KEY_INVALID")


def check_token(headers: Mapping[str, str], key: str | None) -> None:
    """Vertex AI's access token."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not token or (key is not None and token != key):
        message = "Request had invalid authentication credentials."
        raise Problem(401, "UNAUTHENTICATED", message)


def read(document: object, model: str, *, stream: bool, takes_ids: bool) -> Question:
    """The question in a request; raises ``Problem``."""
    document = _object(_camel(document), "")
    _only(document, FIELDS, "")
    config = _object(document.get("generationConfig", {}), "generation_config")
    _only(config, CONFIG_FIELDS, "generation_config")
    contents = document.get("contents")
    if not isinstance(contents, list) or not contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified")
    turns = [
        _turn(content, index, model, takes_ids=takes_ids) for index, content in enumerate(contents)
    ]
    system = document.get("systemInstruction")
    texts = [] if system is None else [_system(system)]
    tools = _tools(document)
    mode, named = _mode(document, tools)
    last = turns[-1]
    return Question(
        model=model,
        messages=(*texts, *(text for _, text, _ in turns)),
        last_user=next((text for role, text, _ in reversed(turns) if role == "user"), ""),
        tool_results=last[2],
        tools=tools,
        tool_mode=mode,
        tool_name=named,
        max_tokens=_count(config, "maxOutputTokens"),
        stop_sequences=_stops(config),
        stream=stream,
        wants_usage=True,
        choices=_count(config, "candidateCount") or 1,
    )


def _camel(value: object) -> Any:
    """Protobuf's JSON takes either spelling of a field; not in what the client made up itself."""
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: inner if name in FREE else _camel(inner)
        for name, inner in ((_UNDER.sub(_capital, key), inner) for key, inner in value.items())
    }


def _capital(found: re.Match[str]) -> str:
    return found[1].upper()


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"Invalid value at '{where}' (type.googleapis.com), expected an object")
    return value


def _only(document: Mapping[str, Any], fields: frozenset[str], where: str) -> None:
    for name in document:
        if name not in fields:
            at = f" at '{where}'" if where else ""
            raise invalid(
                f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
            )


def _system(value: object) -> str:
    parts = _object(value, "system_instruction").get("parts")
    if not isinstance(parts, list) or not parts:
        raise invalid("* GenerateContentRequest.system_instruction.parts: must not be empty")
    return "".join(str(part["text"]) for part in parts)


def _turn(
    value: object, index: int, model: str, *, takes_ids: bool
) -> tuple[str, str, tuple[str, ...]]:
    """Role, text and results of one content."""
    where = f"contents[{index}]"
    content = _object(value, where)
    _only(content, frozenset({"role", "parts"}), where)
    role = content.get("role", "user")
    if role not in ("user", "model"):
        raise invalid("Please use a valid role: user, model.")
    parts = content.get("parts")
    if not isinstance(parts, list) or not parts:
        raise invalid(f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.")
    texts: list[str] = []
    results: list[str] = []
    for number, part in enumerate(parts):
        at = f"{where}.parts[{number}]"
        kinds = PARTS & _object(part, at).keys()
        _only(part, PARTS | BESIDE, at)
        if len(kinds) != 1:
            raise invalid(
                f"* GenerateContentRequest.{at}.data: required oneof field 'data' must have "
                "one initialized field"
            )
        if "text" in part:
            texts.append(part["text"])
        elif "functionResponse" in part:
            result = _result(part["functionResponse"], at, takes_ids=takes_ids)
            results.append(result)
            texts.append(result)
        elif "functionCall" in part:
            _call(part, number, at, model, takes_ids=takes_ids)
    return role, "".join(texts), tuple(results)


def _call(part: dict[str, Any], number: int, where: str, model: str, *, takes_ids: bool) -> None:
    called = _object(part["functionCall"], f"{where}.function_call")
    known = {"name", "args", *(["id"] if takes_ids else [])}
    _only(called, frozenset(known), f"{where}.function_call")
    if number == 0 and model.startswith(SIGNING) and "thoughtSignature" not in part:
        raise invalid(
            f"Function call is missing a thought_signature in functionCall parts: {where}"
        )


def _result(value: object, where: str, *, takes_ids: bool) -> str:
    response = _object(value, f"{where}.function_response")
    known = {"name", "response", *(["id"] if takes_ids else [])}
    _only(response, frozenset(known), f"{where}.function_response")
    if not response.get("name"):
        raise invalid(
            f"* GenerateContentRequest.{where}.function_response.name: Name cannot be empty."
        )
    given = _object(response.get("response", {}), f"{where}.function_response.response")
    if "output" in given:
        return given["output"] if isinstance(given["output"], str) else orjson.dumps(given).decode()
    return f"error {given['error']}" if "error" in given else orjson.dumps(given).decode()


def _tools(document: Mapping[str, Any]) -> tuple[Tool, ...]:
    found: list[Tool] = []
    for index, tool in enumerate(document.get("tools") or ()):
        for number, function in enumerate(tool.get("functionDeclarations") or ()):
            where = f"tools[{index}].function_declarations[{number}]"
            _only(_object(function, where), DECLARED, where)
            name = function.get("name")
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise invalid(f"* GenerateContentRequest.{where}.name: Invalid function name.")
            schema = function.get("parametersJsonSchema") or function.get("parameters") or {}
            found.append(Tool(name, _lower(schema)))
    return tuple(found)


def _lower(schema: Any) -> Any:
    """Types in small letters, whichever kind of schema it is."""
    if isinstance(schema, dict):
        return {
            key: value.lower() if key == "type" and isinstance(value, str) else _lower(value)
            for key, value in schema.items()
        }
    return schema


def _mode(document: Mapping[str, Any], tools: tuple[Tool, ...]) -> tuple[ToolMode, str | None]:
    calling = (document.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode = calling.get("mode", "AUTO")
    if mode not in MODES:
        raise invalid(f"Invalid value at 'tool_config.function_calling_config.mode', \"{mode}\"")
    allowed = calling.get("allowedFunctionNames") or []
    if allowed and mode != "ANY":
        raise invalid("Function calling config: allowed_function_names needs mode ANY.")
    for name in allowed:
        if name not in [tool.name for tool in tools]:
            raise invalid(f"allowed_function_names: {name} is not declared.")
    return ("named", allowed[0]) if allowed else (MODES[mode], None)


def _count(config: Mapping[str, Any], name: str) -> int | None:
    value = config.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 1:
        raise invalid(f"* GenerateContentRequest.generation_config.{name}: must be positive.")
    return value


def _stops(config: Mapping[str, Any]) -> tuple[str, ...]:
    stops = config.get("stopSequences") or []
    if len(stops) > MAX_STOPS:
        raise invalid("The number of stop_sequences must be at most 5.")
    return tuple(stops)
