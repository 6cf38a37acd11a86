"""A Converse request: every type checked, every text found.

The rules are those of the Bedrock Runtime API reference for ``Converse``.  The model and whether to
stream stand in the path; ``core.endpoint.with_path`` put them into the document.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest, Path, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers import checks
from gateway_extproc.providers.bedrock.blocks import kind_of, read_messages, read_system
from gateway_extproc.providers.caps import refuse_smuggled
from gateway_extproc.providers.checks import name_of

PATH_FIELDS: Final = ("model", "stream")
"""What the path says, and no document of Converse's."""
INFERENCE: Final = "inferenceConfig"
MORE: Final = "additionalModelRequestFields"
THINKING: Final = ("thinking", "reasoning_config")
"""Where Anthropic's models on Bedrock are told how much to think."""

_TOOLS: Final = frozenset({"toolSpec", "systemTool", "cachePoint"})
_SCHEMA_TYPES: Final = frozenset(
    {"string", "number", "integer", "boolean", "object", "array", "null"}
)
_INFERENCE: Final[dict[str, checks.Check]] = {
    "maxTokens": checks.integer(1),
    "temperature": checks.number(0, 1),
    "topP": checks.number(0, 1),
    "stopSequences": checks.strings,
}
_FIELDS: Final[dict[str, checks.Check]] = {
    key: checks.optional(check)
    for key, check in {
        "additionalModelResponseFieldPaths": checks.strings,
        "guardrailConfig": checks.obj,
        "outputConfig": checks.obj,
        "performanceConfig": checks.obj,
        "promptVariables": checks.obj,
        "requestMetadata": checks.obj,
        "serviceTier": checks.obj,
    }.items()
}
_READ: Final = frozenset({*PATH_FIELDS, INFERENCE, MORE, "messages", "system", "toolConfig"})


def read_request(document: Document) -> LlmRequest:
    """The request behind a Converse document; raises ``RequestError`` with the field."""
    model = document.get("model")
    checks.name(model, "model")
    texts: list[TextAt] = []
    for key, value in document.items():
        check = _FIELDS.get(key)
        if check is not None:
            check(value, key)
        elif key == "projectIdentifier":
            raise invalid(key, "nothing: whose account pays is the gateway's configuration")
        elif key not in _READ:
            refuse_smuggled(value, key)
            _described(value, (key,), "user", texts)
    config = _inference(document.get(INFERENCE))
    _more(document.get(MORE))
    _described(document.get(MORE), (MORE,), "system", texts)
    read_system(document.get("system"), texts)
    media = read_messages(document.get("messages"), texts)
    has_tools = _tools(document.get("toolConfig"), texts)
    _described(document.get("promptVariables"), ("promptVariables",), "user", texts)
    _described(document.get("outputConfig"), ("outputConfig",), "system", texts)
    return LlmRequest(
        "bedrock",
        "converse",
        model,  # type: ignore[arg-type]
        document.get("stream") is True,
        config.get("maxTokens"),
        True,  # Converse's streams always report usage
        document,
        tuple(texts),
        media=media,
        has_tools=has_tools,
    )


def _inference(config: Any) -> Document:
    if config is None:
        return {}
    checks.obj(config, INFERENCE)
    for key, value in config.items():
        check = _INFERENCE.get(key)
        if check is None:
            refuse_smuggled(value, key)
        else:
            checks.optional(check)(value, f"{INFERENCE}.{key}")
    return config  # type: ignore[no-any-return]


def _more(fields: Any) -> None:
    """The model's own fields: thinking is known, and none of them may be another cap."""
    if fields is None:
        return
    checks.obj(fields, MORE)
    for key, value in fields.items():
        if key not in THINKING:
            refuse_smuggled(value, key)
            continue
        checks.obj(value, f"{MORE}.{key}")
        budget = checks.optional(checks.integer(1))
        checks.get(value, "budget_tokens", budget, (MORE, key))
        rest = {name: inner for name, inner in value.items() if name != "budget_tokens"}
        refuse_smuggled(rest, key)


def _tools(config: Any, texts: list[TextAt]) -> bool:
    """Reads the tools; whether there are any."""
    if config is None:
        return False
    checks.obj(config, "toolConfig")
    tools = config.get("tools")
    checks.array(tools, "toolConfig.tools")
    for index, tool in enumerate(tools):
        path: Path = ("toolConfig", "tools", index)
        if kind_of(tool, path, _TOOLS) == "toolSpec":
            _spec(tool["toolSpec"], (*path, "toolSpec"), texts)
    _tool_choice(config.get("toolChoice"), ("toolConfig", "toolChoice"))
    return bool(tools)


def _spec(spec: Any, path: Path, texts: list[TextAt]) -> None:
    checks.obj(spec, name_of(path))
    checks.get(spec, "name", checks.name, path)
    checks.get(spec, "description", checks.optional(checks.string), path)
    checks.get(spec, "strict", checks.optional(checks.boolean), path)
    schema, at = checks.get(spec, "inputSchema", checks.obj, path), (*path, "inputSchema")
    checks.get(schema, "json", checks.obj, at)
    for key, value in spec.items():
        if key != "name":
            _described(value, (*path, key), "system", texts)


def _tool_choice(choice: Any, path: Path) -> None:
    if choice is None:
        return
    checks.obj(choice, name_of(path))
    kinds = [key for key in choice if choice[key] is not None]
    if len(kinds) != 1 or kinds[0] not in ("auto", "any", "tool"):
        raise invalid(name_of(path), "exactly one of: any, auto, tool")
    checks.obj(choice[kinds[0]], name_of((*path, kinds[0])))
    if kinds[0] == "tool":
        checks.get(choice["tool"], "name", checks.name, (*path, "tool"))


def _described(value: Any, path: Path, role: Any, texts: list[TextAt]) -> None:
    """The strings of a schema or description: the model reads all of them."""
    for at, text in checks.string_leaves(value, path):
        if at[-1] != "type" or text not in _SCHEMA_TYPES:
            texts.append(TextAt(at, role, text))
