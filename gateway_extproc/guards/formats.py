"""What an answer must look like: JSON, a schema, keys, one of some texts, a length.

``Format.check`` says what is wrong without a word of the answer: neither values nor the names
of members that the schema does not know.  What cannot be checked in bounded time is a
problem too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import orjson

from gateway_extproc.core.chat import Document, Path
from gateway_extproc.core.recent import Recent
from gateway_extproc.guards.masking import render_path
from gateway_extproc.guards.repair import repaired
from gateway_extproc.guards.schemas import (
    ANSWER_DEPTH_MAX,
    Schema,
    SchemaRefused,
    compile_schema,
    depth_of,
)

__all__ = ["Format", "Formats", "Problem", "SchemaRefused", "Shape", "shape_asked"]

JSON_CHARS_MAX: Final = 1 << 20
"""A longer text is not read as JSON."""
VALUES_MAX: Final = 30_000
"""Values in it, counted by their commas: each costs a microsecond to read and to compare."""
CONTAINERS_MAX: Final = 10_000
"""Objects and arrays in it, counted by their brackets: each costs some more."""
PROBLEMS_MAX: Final = 20
EXPLAINED_MAX: Final = 2_000
"""Checks of an answer up to which all that is wrong is told; else the first or the fact."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is asked of an answer; ``schema`` is JSON text.

    ``required`` are members of the outermost object; ``one_of`` are whole texts.
    """

    as_json: bool = False
    schema: bytes | None = None
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    max_chars: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where; ``path`` "" is the whole answer."""

    path: str
    message: str


class Format:
    """A shape, compiled.  Raises ``SchemaRefused`` for a schema that cannot be used."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._schema = compile_schema(shape.schema) if shape.schema is not None else None
        self._reads_json = shape.as_json or self._schema is not None or bool(shape.required)

    def check(self, text: str) -> list[Problem]:
        """What is wrong with an answer; empty when nothing is."""
        shape = self.shape
        if shape.max_chars is not None and len(text) > shape.max_chars:
            return [Problem("", f"is longer than {shape.max_chars} characters")]
        if shape.one_of and text not in shape.one_of:
            return [Problem("", "is none of the allowed texts")]
        return self._check_json(text) if self._reads_json else []

    def repair(self, text: str) -> str | None:
        """The answer with small faults of its JSON put right, if that makes it good; once.

        None for an answer that stays wrong, or that could mean more than one thing.
        """
        if not self._reads_json:
            return None
        good = {candidate for candidate in repaired(text) if not self.check(candidate)}
        return good.pop() if len(good) == 1 else None

    def _check_json(self, text: str) -> list[Problem]:
        if len(text) > JSON_CHARS_MAX:
            return [Problem("", f"is JSON of more than {JSON_CHARS_MAX} characters")]
        values, containers = text.count(",") + 1, text.count("[") + text.count("{")
        if values > VALUES_MAX or containers > CONTAINERS_MAX:
            return [Problem("", "is JSON of too many values to be checked")]
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            return [Problem("", f"is not valid JSON at character {error.pos}")]
        depth = depth_of(document, ANSWER_DEPTH_MAX)
        if depth > ANSWER_DEPTH_MAX:
            return [Problem("", f"is nested more than {ANSWER_DEPTH_MAX} levels deep")]
        if not _has_unique_names(text):
            return [Problem("", "names a member of an object twice")]
        missing = _missing(document, self.shape.required)
        if missing or self._schema is None:
            return missing
        return _against(self._schema, document, depth, values, len(text))


def _missing(document: Any, required: Sequence[str]) -> list[Problem]:
    if required and not isinstance(document, dict):
        return [Problem("", "is not an object")]
    return [Problem(render_path((key,)), "is missing") for key in required if key not in document]


def _has_unique_names(text: str) -> bool:
    """Parsers differ in which of two members with one name they keep."""
    try:
        _UNIQUE.decode(text)
    except _Twice:
        return False
    return True


class _Twice(Exception):
    """A name stands twice in one object."""


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({name for name, _ in pairs}) != len(pairs):
        raise _Twice


_UNIQUE: Final = json.JSONDecoder(object_pairs_hook=_unique)


# --------------------------------------------------------------------------- schemas


def _against(schema: Schema, document: Any, depth: int, values: int, chars: int) -> list[Problem]:
    if not schema.affords(depth, values, chars):
        return [Problem("", "is too large or too deep for its schema to be checked")]
    if schema.validator.is_valid(document):
        return []
    problems = list(islice(_explain(schema, document, depth, values), PROBLEMS_MAX))
    return problems or [Problem("", "does not match its schema")]


def _explain(schema: Schema, document: Any, depth: int, values: int) -> Iterator[Problem]:
    """Only as far as it is cheap: errors of alternatives hold copies of what they are about."""
    if schema.explains(depth, values) <= EXPLAINED_MAX:
        for error in schema.validator.iter_errors(document):
            yield _problem(schema, error)
    elif not schema.branches:
        try:
            schema.validator.validate(document)
        except ValueError as error:
            yield _problem(schema, error)


def _problem(schema: Schema, error: Any) -> Problem:
    path: Path = tuple(
        key if isinstance(key, int) or key in schema.names else "*" for key in error.instance_path
    )
    return Problem(render_path(path), _message(error.kind))


_MESSAGES: Final = {
    "additionalItems": "has more items than allowed",
    "additionalProperties": "has members that are not allowed",
    "anyOf": "matches none of the alternatives",
    "const": "is not the one allowed value",
    "contains": "does not contain what it must",
    "dependentRequired": "lacks a member that another one needs",
    "enum": "is none of the allowed values",
    "exclusiveMaximum": "is too large",
    "exclusiveMinimum": "is too small",
    "falseSchema": "is not allowed",
    "format": "does not have the format asked for",
    "maxItems": "has too many items",
    "maxLength": "is too long",
    "maxProperties": "has too many members",
    "maximum": "is too large",
    "minItems": "has too few items",
    "minLength": "is too short",
    "minProperties": "has too few members",
    "minimum": "is too small",
    "multipleOf": "is not a multiple of what it must be",
    "not": "is what it must not be",
    "oneOf": "matches not exactly one of the alternatives",
    "pattern": "does not match its pattern",
    "propertyNames": "has a member with a name that is not allowed",
    "uniqueItems": "has an item twice",
}


def _message(kind: Any) -> str:
    """What is wrong in words of our own: those of the library quote the answer."""
    name: str = kind.name
    if name == "required":
        return f"lacks the member '{kind.property}'"
    if name == "type":
        return f"is not of type {' or '.join(kind.types)}"
    return _MESSAGES.get(name, "does not match its schema")


# ----------------------------------------------------------------------- many of them


class Formats:
    """Formats compiled once, the most recently used ones; refused schemas are remembered too."""

    def __init__(self, size: int = 256) -> None:
        self._known: Recent[Shape, Format | str] = Recent(size)

    def get(self, shape: Shape) -> Format:
        """The format of a shape; raises ``SchemaRefused``."""
        known = self._known.found(shape) or self._known.keep(shape, _compiled(shape))
        if isinstance(known, str):
            raise SchemaRefused(known)
        return known


def _compiled(shape: Shape) -> Format | str:
    try:
        return Format(shape)
    except SchemaRefused as refused:
        return str(refused)


_ASKED: Final[tuple[tuple[Path, Path], ...]] = (
    (("response_format",), ("json_schema", "schema")),  # OpenAI, chat
    (("text", "format"), ("schema",)),  # OpenAI, responses
    (("output_config", "format"), ("schema",)),  # Anthropic
    (("output_format",), ("schema",)),  # Anthropic, its first form
    (("outputConfig", "textFormat"), ("structure", "jsonSchema", "schema")),  # Bedrock, as text
)


def shape_asked(document: Document) -> Shape | None:
    """The shape that a request itself asks its answer to have; None if it asks for none."""
    for at, schema_at in _ASKED:
        asked = _get(document, at)
        kind = asked.get("type") if isinstance(asked, dict) else None
        if kind == "json_object":
            schema = _get(asked, ("json_schema",))  # Cohere's
            return Shape(as_json=True, schema=None if schema is None else orjson.dumps(schema))
        if kind == "json_schema":
            schema = _get(asked, schema_at)
            source = schema.encode() if type(schema) is str else None
            if source is None and schema is not None:
                source = orjson.dumps(schema)
            return Shape(as_json=True, schema=source)
    return None


def _get(document: Any, path: Path) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document
