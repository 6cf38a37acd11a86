"""Gemini's own kind of schema, an excerpt of OpenAPI 3.0, as JSON schema.

Types stand in capitals there, and ``nullable`` says what JSON schema says with a second type.
The other way is not needed: Gemini takes JSON schema in fields of their own.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_extproc.core.chat import Document

_INTEGERS: Final = frozenset(
    {
        *("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"),
        *("min_items", "max_items", "min_length", "max_length"),
        *("min_properties", "max_properties"),
    }
)
_RENAMED: Final = {
    "any_of": "anyOf",
    "max_items": "maxItems",
    "min_items": "minItems",
    "max_length": "maxLength",
    "min_length": "minLength",
    "max_properties": "maxProperties",
    "min_properties": "minProperties",
}
_LEFT_OUT: Final = frozenset({"nullable", "propertyOrdering", "property_ordering", "example"})


def json_schema(schema: Document) -> dict[str, Any]:
    """The JSON schema that says the same."""
    written: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties" and type(value) is dict:
            written[key] = {name: _schema(inner) for name, inner in value.items()}
        elif key == "items":
            written[key] = _schema(value)
        elif key in ("anyOf", "any_of") and type(value) is list:
            written["anyOf"] = [_schema(inner) for inner in value]
        elif key == "type" and type(value) is str:
            written[key] = value.lower()
        elif key in _INTEGERS:
            # Protobuf writes 64-bit integers as strings.
            number = int(value) if type(value) is str and value.isdecimal() else value
            written[_RENAMED.get(key, key)] = number
        elif key not in _LEFT_OUT:
            written[key] = value
    if schema.get("nullable") is True and "type" in written:
        written["type"] = [written["type"], "null"]
    return written


def _schema(value: Any) -> Any:
    return json_schema(value) if type(value) is dict else value
