"""JSON schemas of strangers: compiled only when their cost is bounded.

A client may send a schema with its request.  Small schemas can take for ever: references that
double at each level, the same member described by two alternatives of a recursive
type, patterns that defeat an automaton.  So a schema is refused that is too large, refers to
other documents or to itself in place, or uses what cannot be bounded; and of each
accepted one it is known how many checks one path through an answer can take at most.  The
answer's size times that number is known before it is checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import jsonschema_rs
import orjson

from gateway_extproc.guards.schemacost import (
    ANSWER_DEPTH_MAX,
    CHECKS_MAX,
    READS_MAX,
    Cost,
    CostGraph,
    SchemaRefused,
)

__all__ = ["ANSWER_DEPTH_MAX", "Schema", "SchemaRefused", "compile_schema", "depth_of"]

SCHEMA_BYTES_MAX: Final = 64 << 10
SCHEMA_DEPTH_MAX: Final = 64

_PATTERN_BYTES: Final = 32_000
_AUTOMATON_BYTES: Final = 1 << 20

_DRAFTS: Final = frozenset(
    {
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema",
        "http://json-schema.org/draft-06/schema",
    }
)

_REFUSED: Final = (
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
)


@dataclass(frozen=True, slots=True)
class Schema:
    """A compiled schema.

    ``costs`` holds the most that one path of an answer of depth 0, 1, ... may take; its last
    entry is for all deeper ones if ``deep``, else these are not checked.
    ``names`` are the members that the schema speaks of; ``branches`` tells that it has
    alternatives, whose errors are expensive to explain.
    """

    validator: Any
    names: frozenset[str]
    branches: bool
    costs: tuple[Cost, ...]
    deep: bool

    def affords(self, depth: int, values: int, chars: int) -> bool:
        """True if an answer of this size can be checked in bounded time."""
        if depth >= len(self.costs) and not self.deep:
            return False
        cost = self.costs[min(depth, len(self.costs) - 1)]
        return cost.checks * values <= CHECKS_MAX and cost.reads * chars <= READS_MAX

    def explains(self, depth: int, values: int) -> int:
        """The most checks that telling what is wrong with such an answer takes."""
        return self.costs[min(depth, len(self.costs) - 1)].explained * values


def compile_schema(source: bytes) -> Schema:
    """The schema in JSON text ``source``; raises ``SchemaRefused``."""
    if len(source) > SCHEMA_BYTES_MAX:
        raise SchemaRefused(f"the schema is longer than {SCHEMA_BYTES_MAX} bytes")
    try:
        document = orjson.loads(source)
    except orjson.JSONDecodeError:
        raise SchemaRefused("the schema is not valid JSON") from None
    if not isinstance(document, dict | bool):
        raise SchemaRefused("the schema is neither an object nor true or false")
    if depth_of(document, SCHEMA_DEPTH_MAX) > SCHEMA_DEPTH_MAX:
        raise SchemaRefused(f"the schema is nested more than {SCHEMA_DEPTH_MAX} levels deep")
    for part in _objects(document):
        _refuse(part, is_root=part is document)
    graph = CostGraph(document)
    costs, deep = graph.costs()
    return Schema(_validator(document), graph.names, graph.branches, costs, deep)


def _refuse(part: dict[str, Any], *, is_root: bool) -> None:
    """Refuses what makes references mean something else than their path from the root.

    Of all objects, since a reference may lead to any.  Members that are called so
    hold a schema, not a text.
    """
    for keyword in _REFUSED:
        if keyword in part and not isinstance(part[keyword], dict):
            raise SchemaRefused(f"the keyword '{keyword}' is not supported")
    for keyword in ("$id", "$schema"):
        if not is_root and isinstance(part.get(keyword), str):
            raise SchemaRefused(f"'{keyword}' is only supported at the root of a schema")
    if is_root and str(part.get("$schema", "")).rstrip("#") not in ("", *_DRAFTS):
        raise SchemaRefused("the schema is of an unknown draft")


def _objects(document: Any) -> Iterator[dict[str, Any]]:
    queue = [document]
    for node in queue:  # grows while it is read
        if isinstance(node, dict):
            yield node
        queue += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _validator(document: dict[str, Any] | bool) -> Any:
    try:
        return jsonschema_rs.validator_for(
            document,
            validate_formats=True,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(_PATTERN_BYTES, _AUTOMATON_BYTES),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        where = getattr(error, "instance_path", None)
        keyword = next((str(key) for key in reversed(where or []) if isinstance(key, str)), "")
        at = f" at '{keyword[:64]}'" if keyword else ""
        raise SchemaRefused(f"the schema is not valid{at}") from None


def depth_of(document: Any, limit: int) -> int:
    """How deep containers are nested; counts no further than ``limit`` + 1."""
    depth = 0
    level = [document] if isinstance(document, dict | list) else []
    while level and depth <= limit:
        depth += 1
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
    return depth
