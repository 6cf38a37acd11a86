"""Gemini's documents in one spelling.

Google's JSON is protobuf's: every field may be written in camelCase or in snake_case, and one
message may stand where a list of them is expected.  Both are common in clients.  Everything
behind this module reads camelCase and lists only.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document
from gateway_extproc.core.errors import invalid

_NAMES: Final = frozenset(
    {
        *("systemInstruction", "generationConfig", "toolConfig", "safetySettings"),
        *("cachedContent", "serviceTier"),
        *("stopSequences", "topP", "topK", "maxOutputTokens", "candidateCount"),
        *("presencePenalty", "frequencyPenalty", "responseMimeType", "responseSchema"),
        *("responseJsonSchema", "responseLogprobs", "responseModalities", "thinkingConfig"),
        *("thinkingBudget", "thinkingLevel", "includeThoughts", "mediaResolution"),
        *("speechConfig", "imageConfig", "routingConfig", "audioTimestamp"),
        *("enableEnhancedCivicAnswers", "modelSelectionConfig", "enableAffectiveDialog"),
        *("functionDeclarations", "parametersJsonSchema", "responseJsonSchema"),
        *("functionCallingConfig", "allowedFunctionNames", "retrievalConfig"),
        *("googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "googleMaps"),
        *("inlineData", "fileData", "mimeType", "fileUri", "displayName", "videoMetadata"),
        *("functionCall", "functionResponse", "thoughtSignature", "executableCode"),
        *("codeExecutionResult", "willContinue"),
    }
)
_REPEATED: Final = frozenset({"contents", "parts", "tools", "functionDeclarations"})
_OPAQUE: Final = frozenset(
    {
        *("args", "response", "parameters", "parametersJsonSchema", "responseSchema"),
        *("responseJsonSchema", "labels"),
    }
)
"""What stands inside is the client's own: its arguments, its results, its schemas."""


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


_CAMEL: Final = {_snake(name): name for name in _NAMES if _snake(name) != name}
_SNAKES: Final = frozenset(_CAMEL)


class Canonical(dict[str, Any]):
    """A document that is in one spelling already: nobody walks it again."""

    __slots__ = ()


def canonical(document: Document) -> Document:
    """The document with its fields in camelCase; what is the same in it is shared."""
    if type(document) is Canonical:
        return document
    return Canonical(_walk(document) if _is_mixed(document) else document)


def _is_mixed(node: Any) -> bool:
    """Whether anything in it has another spelling; most documents have none."""
    if type(node) is list:
        return any(type(item) in _CONTAINERS and _is_mixed(item) for item in node)
    if not _SNAKES.isdisjoint(node):
        return True
    for key, value in node.items():
        kind = type(value)
        if kind is dict:
            if key in _REPEATED or (key not in _OPAQUE and _is_mixed(value)):
                return True
        elif kind is list and key not in _OPAQUE and _is_mixed(value):
            return True
    return False


_CONTAINERS: Final = (dict, list)


def _walk(node: Any) -> Any:
    if type(node) is list:
        items = [_walk(item) for item in node]
        return items if any(new is not old for new, old in zip(items, node, strict=True)) else node
    if type(node) is not dict:
        return node
    written: dict[str, Any] = {}
    changed = False
    for key, value in node.items():
        name = str(_CAMEL.get(key, key))
        if name in written or (name is not key and name in node):
            raise invalid(name, "one spelling of this field, not two")
        new = value if name in _OPAQUE else _walk(value)
        if name in _REPEATED and type(new) is dict:
            new = [new]
        changed = changed or name is not key or new is not value
        written[name] = new
    return written if changed else node
