"""The configuration reference, rendered from the model: ``docs/configuration.md``.

Reads the JSON schema that pydantic makes of ``Config``, so that a field, a bound or a
default that changes there changes here.  ``python -m gateway_extproc.config.reference``
prints it; a test holds the file in docs/ equal to it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway_extproc.config.model import Config

Schema = Mapping[str, Any]

INTRODUCTION: Final = """\
# Configuration reference

One YAML file configures the gateway. `gateway-extproc check FILE` validates it and shows
all its mistakes at once, each with path, value and what was expected; the exit code is 2
for a file with mistakes. Unknown fields, a key that stands twice in a mapping, and names that
nothing in the file defines are mistakes.

Rendered from `gateway_extproc/config/model.py`; do not edit. To write it anew:

    python -m gateway_extproc.config.reference > docs/configuration.md

*required* in the column "default" means that the file is refused without the field. Numbers
are not quoted, strings are not coerced. Paths are relative to the folder in which the
gateway was started. Units stand in the names: `_s` seconds, `_bytes` bytes, `_tokens` tokens,
`_nanos` nano-dollars (one thousand-millionth of a dollar).
"""

TYPES: Final = {
    "integer": "integer",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
}

BOUNDS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
}


def reference() -> str:
    """docs/configuration.md as Markdown text."""
    schema = Config.model_json_schema()
    definitions: Mapping[str, Schema] = schema["$defs"]
    places = _places(schema, definitions)
    parts = [INTRODUCTION, _section("The whole file", schema, places, "")]
    for name, paths in places.items():
        parts.append(_section(", ".join(paths), definitions[name], places, f"{paths[0]}."))
    return "\n".join(parts)


def _places(schema: Schema, definitions: Mapping[str, Schema]) -> dict[str, list[str]]:
    """Each section's name in the model, and the paths at which it stands, in file order."""
    places: dict[str, list[str]] = {}

    def visit(node: Schema, path: str) -> None:
        for field, value in node["properties"].items():
            name = _section_of(value)
            if name is not None:
                here = f"{path}{field}"
                places.setdefault(name, []).append(here)
                visit(definitions[name], f"{here}.")

    visit(schema, "")
    return places


def _section_of(field: Schema) -> str | None:
    """The section that a field holds, alone or in a list; None for a plain value."""
    for option in _options(field):
        return _section_of(option)
    target = field.get("$ref") or field.get("items", {}).get("$ref")
    return target.rpartition("/")[2] if target else None


def _section(title: str, section: Schema, places: Mapping[str, list[str]], path: str) -> str:
    lines = [
        f"## {title}",
        "",
        _prose(section["description"]),
        "",
        "| field | type | default | meaning |",
        "|---|---|---|---|",
    ]
    required = section.get("required", ())
    for name, field in section["properties"].items():
        default = "*required*" if name in required else _default(field)
        kind = "; ".join([_type(field, places, f"{path}{name}"), *_constraints(field)])
        meaning = _prose(field.get("description", ""))
        lines.append("| " + " | ".join([f"`{name}`", kind, default, meaning]).rstrip() + " |")
    return "\n".join([*lines, ""])


def _type(field: Schema, places: Mapping[str, list[str]], path: str) -> str:
    for option in _options(field):
        return _type(option, places, path)
    name = _section_of(field)
    if name is not None:
        link = f"[{path}](#{_anchor(', '.join(places[name]))})"
        return f"list of {link}" if field.get("type") == "array" else f"section {link}"
    if field.get("type") == "array":
        return f"list of {_type(field['items'], places, path)}"
    if field.get("additionalProperties") is True:
        return "mapping"
    if field.get("type") == "object":
        values = field.get("patternProperties") or {"": field["additionalProperties"]}
        return f"mapping of text to {_type(next(iter(values.values())), places, path)}"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    return "date" if field.get("format") == "date" else TYPES[field["type"]]


def _options(field: Schema) -> list[Schema]:
    """What a field that may be absent can hold."""
    return [option for option in field.get("anyOf", ()) if option.get("type") != "null"]


def _constraints(field: Schema) -> Iterator[str]:
    node = next(iter(_options(field)), field)
    for key, text in BOUNDS.items():
        if key in node:
            yield text.format(node[key])
    if "minItems" in node:
        yield f"at least {node['minItems']}"
    yield from _text_constraints(node)
    if node.get("type") == "array":
        yield from _text_constraints(node["items"])


def _text_constraints(node: Schema) -> Iterator[str]:
    if "maxLength" in node:
        yield f"{node.get('minLength', 0)} to {node['maxLength']} characters"
    if "pattern" in node:
        yield _code(node["pattern"])


def _default(field: Schema) -> str:
    value = field.get("default")
    if value is None:
        return "none"
    if _section_of(field) is not None and isinstance(value, dict):
        # A section's own table shows its defaults; only a short one is worth repeating.
        return _code(_short(value)) if len(value) == 2 else "its fields' defaults"
    return _code(_short(value))


def _short(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_short(item) for item in value) + "]"
    plain = isinstance(value, str) and re.fullmatch(r"[\w./-]+", value)
    return str(value) if plain else json.dumps(value)


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _prose(text: str) -> str:
    """A docstring as one line of Markdown; its double backquotes mean code."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def _anchor(title: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    sys.stdout.write(reference())
