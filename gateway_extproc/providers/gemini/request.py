"""A generateContent request: every type checked, every text found.

The rules are those of the Gemini API reference for ``models.generateContent``.  The model and how
to stream stand in the path; ``core.endpoint.with_path`` put them into the document (``model``,
``stream``, ``alt``).  Unknown kinds of parts are refused: a guard could not see into them.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest, Path, Role, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers import checks
from gateway_extproc.providers.caps import refuse_smuggled
from gateway_extproc.providers.checks import name_of
from gateway_extproc.providers.gemini.spelling import canonical

CONFIG: Final = "generationConfig"
PATH_FIELDS: Final = ("model", "stream", "alt")
"""What the path says, and no document of Gemini's."""

_VOICES: Final[dict[str, Role]] = {"user": "user", "model": "assistant", "function": "tool"}
KINDS: Final = (
    *("text", "inlineData", "fileData", "functionCall", "functionResponse"),
    *("executableCode", "codeExecutionResult"),
)
_BESIDE: Final = frozenset({"thought", "thoughtSignature", "videoMetadata", "mediaResolution"})
_SCHEMA_TYPES: Final = frozenset(
    {"string", "number", "integer", "boolean", "object", "array", "null"}
)
_MODES: Final = frozenset({"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"})


def _thinking(value: Any, param: str) -> None:
    checks.obj(value, param)
    budget = checks.optional(checks.integer(-1))
    budget(value.get("thinkingBudget"), f"{param}.thinkingBudget")
    checks.optional(checks.string)(value.get("thinkingLevel"), f"{param}.thinkingLevel")
    checks.optional(checks.boolean)(value.get("includeThoughts"), f"{param}.includeThoughts")


_CONFIG_FIELDS: Final[dict[str, checks.Check]] = {
    key: checks.optional(check)
    for key, check in {
        "audioTimestamp": checks.boolean,
        "candidateCount": checks.integer(1, 8),
        "enableAffectiveDialog": checks.boolean,
        "enableEnhancedCivicAnswers": checks.boolean,
        "frequencyPenalty": checks.number(-2, 2),
        "imageConfig": checks.obj,
        "logprobs": checks.integer(0, 20),
        "maxOutputTokens": checks.integer(1),
        "mediaResolution": checks.string,
        "presencePenalty": checks.number(-2, 2),
        "responseJsonSchema": checks.obj,
        "responseLogprobs": checks.boolean,
        "responseMimeType": checks.string,
        "responseModalities": checks.strings,
        "responseSchema": checks.obj,
        "seed": checks.whole,
        "speechConfig": checks.obj,
        "stopSequences": checks.strings,
        "temperature": checks.number(0, 2),
        "thinkingConfig": _thinking,
        "topK": checks.number(0, 1_000_000),
        "topP": checks.number(0, 1),
    }.items()
}
_SCHEMAS: Final = ("responseSchema", "responseJsonSchema")

_READ: Final = frozenset({*PATH_FIELDS, CONFIG, "contents", "systemInstruction", "tools"})


def read_request(document: Document) -> LlmRequest:
    """The request behind a generateContent document; raises ``RequestError`` with the field."""
    document = canonical(document)
    model = document.get("model")
    checks.name(model, "model")
    for key, value in document.items():
        if key == "toolConfig":
            _tool_config(value)
        elif key == "safetySettings":
            checks.optional(checks.array)(value, key)
        elif key in ("cachedContent", "serviceTier"):
            checks.optional(checks.string)(value, key)
        elif key == "labels":
            checks.optional(checks.obj)(value, key)
        elif key not in _READ:
            refuse_smuggled(value, key)
    config = _config(document.get(CONFIG))
    texts: list[TextAt] = []
    _system(document.get("systemInstruction"), texts)
    media = _contents(document.get("contents"), texts)
    _tools(document.get("tools"), texts)
    for key in _SCHEMAS:
        _described(config.get(key), (CONFIG, key), texts)
    return LlmRequest(
        "gemini",
        "generate_content",
        model,  # type: ignore[arg-type]
        document.get("stream") is True,
        config.get("maxOutputTokens"),
        True,  # Gemini's streams always report usage
        document,
        tuple(texts),
        completions=config.get("candidateCount") or 1,
        media=media,
        has_tools=bool(document.get("tools")),
    )


def _config(config: Any) -> Document:
    if config is None:
        return {}
    checks.obj(config, CONFIG)
    for key, value in config.items():
        check = _CONFIG_FIELDS.get(key)
        if check is not None:
            check(value, f"{CONFIG}.{key}")
        else:
            refuse_smuggled(value, key)
    return config  # type: ignore[no-any-return]


def _system(system: Any, texts: list[TextAt]) -> None:
    if system is None:
        return
    checks.obj(system, "systemInstruction")
    for path, part in _parts(system, ("systemInstruction",)):
        if kind_of(part, path) != "text":
            raise invalid(name_of(path), "a text")
        checks.string(part["text"], name_of((*path, "text")))
        texts.append(TextAt((*path, "text"), "system", part["text"]))


def _contents(contents: Any, texts: list[TextAt]) -> int:
    """Reads the turns; how many of their parts are no text."""
    if type(contents) is not list or not contents:
        raise invalid("contents", "a non-empty array of contents")
    media = 0
    for index, content in enumerate(contents):
        path: Path = ("contents", index)
        checks.obj(content, name_of(path))
        role = content.get("role")
        voice = _VOICES.get(role) if type(role) is str else "user" if role is None else None
        if voice is None:
            raise invalid(name_of((*path, "role")), "'user' or 'model'")
        for at, part in _parts(content, path):
            media += _part(part, voice, at, texts)
    return media


def _parts(content: Document, path: Path) -> list[tuple[Path, Document]]:
    parts = content.get("parts")
    checks.array(parts, name_of((*path, "parts")))
    assert type(parts) is list
    for index, part in enumerate(parts):
        checks.obj(part, name_of((*path, "parts", index)))
    return [((*path, "parts", index), part) for index, part in enumerate(parts)]


def kind_of(part: Document, path: Path) -> str:
    """The one field of a part that says what it is; raises ``RequestError``."""
    kinds = [key for key in KINDS if key in part]
    unknown = part.keys() - _BESIDE - set(kinds)
    if len(kinds) != 1 or unknown:
        raise invalid(name_of(path), f"exactly one of: {', '.join(KINDS)}")
    return kinds[0]


def _part(part: Document, voice: Role, path: Path, texts: list[TextAt]) -> int:
    """Reads one part; 1 if it is no text."""
    kind = kind_of(part, path)
    checks.optional(checks.boolean)(part.get("thought"), name_of((*path, "thought")))
    signature = checks.optional(checks.string)
    signature(part.get("thoughtSignature"), name_of((*path, "thoughtSignature")))
    value, at = part[kind], (*path, kind)
    if kind == "text":
        checks.string(value, name_of(at))
        texts.append(TextAt(at, voice, value))
        return 0
    checks.obj(value, name_of(at))
    if kind in ("inlineData", "fileData"):
        key = "data" if kind == "inlineData" else "fileUri"
        checks.get(value, key, checks.string, at)
        checks.optional(checks.string)(value.get("mimeType"), name_of((*at, "mimeType")))
        if type(value.get("displayName")) is str:  # the model reads it
            texts.append(TextAt((*at, "displayName"), voice, value["displayName"]))
        return 1
    if kind == "functionCall":
        _called(value, "args", at)
        texts += [
            TextAt(leaf, "assistant", text)
            for leaf, text in checks.string_leaves(value.get("args"), (*at, "args"))
        ]
    elif kind == "functionResponse":
        _called(value, "response", at)
        media = _media(value.get("parts"), (*at, "parts"))
        texts += [
            TextAt(leaf, "tool", text)
            for leaf, text in checks.string_leaves(value.get("response"), (*at, "response"))
        ]
        return media
    else:  # what Gemini's own interpreter ran, and what came of it
        texts += [
            TextAt(leaf, "assistant", text)
            for leaf, text in checks.string_leaves(value, at)
            if leaf[-1] in ("code", "output")
        ]
    return 0


def _media(parts: Any, path: Path) -> int:
    """Images and files beside the result of a function; how many there are."""
    if parts is None:
        return 0
    checks.array(parts, name_of(path))
    for index, part in enumerate(parts):
        checks.obj(part, name_of((*path, index)))
        if not part.keys() <= {"inlineData", "fileData"}:
            raise invalid(name_of((*path, index)), "'inlineData' or 'fileData'")
    return len(parts)


def _called(value: Document, content: str, path: Path) -> None:
    checks.get(value, "name", checks.name, path)
    checks.optional(checks.string)(value.get("id"), name_of((*path, "id")))
    checks.optional(checks.obj)(value.get(content), name_of((*path, content)))


def _tools(tools: Any, texts: list[TextAt]) -> None:
    if tools is None:
        return
    checks.array(tools, "tools")
    for index, tool in enumerate(tools):
        path: Path = ("tools", index)
        checks.obj(tool, name_of(path))
        for key, value in tool.items():
            if key != "functionDeclarations":
                _described(value, (*path, key), texts)
        declared = tool.get("functionDeclarations")
        if declared is None:
            continue
        at = (*path, "functionDeclarations")
        checks.array(declared, name_of(at))
        for number, function in enumerate(declared):
            _function(function, (*at, number), texts)


def _function(function: Any, path: Path, texts: list[TextAt]) -> None:
    checks.obj(function, name_of(path))
    checks.get(function, "name", checks.name, path)
    checks.optional(checks.string)(function.get("description"), name_of((*path, "description")))
    for key in ("parameters", "parametersJsonSchema"):
        checks.optional(checks.obj)(function.get(key), name_of((*path, key)))
    for key, value in function.items():
        if key != "name":
            _described(value, (*path, key), texts)


def _described(value: Any, path: Path, texts: list[TextAt]) -> None:
    """The strings of a schema or description: the model reads all of them."""
    for at, text in checks.string_leaves(value, path):
        if at[-1] != "type" or text.lower() not in _SCHEMA_TYPES:
            texts.append(TextAt(at, "system", text))


def _tool_config(value: Any) -> None:
    if value is None:
        return
    checks.obj(value, "toolConfig")
    calling, name = value.get("functionCallingConfig"), "toolConfig.functionCallingConfig"
    if calling is None:
        return
    checks.obj(calling, name)
    mode = calling.get("mode")
    if mode is not None and (type(mode) is not str or mode not in _MODES):
        raise invalid(f"{name}.mode", "'AUTO', 'ANY', 'NONE' or 'VALIDATED'")
    checks.optional(checks.strings)(
        calling.get("allowedFunctionNames"), f"{name}.allowedFunctionNames"
    )
