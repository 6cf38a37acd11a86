"""Checks the field names and types of an Envoy configuration without Envoy.

With the classes of ``envoy-data-plane``, one message at a time, so that a mistake
is told with its place.  What that package does not know yet (messages newer than it)
is listed as unchecked, never passed in silence; the real binary's
``--mode validate`` is the judge of all the rest.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ROOT_TYPE = "envoy.config.bootstrap.v3.Bootstrap"
PREFIX = "type.googleapis.com/"
STRUCT_KEYS = frozenset({"filter_metadata", "json_format"})
"""Fields that hold free-form documents, not messages."""


@dataclass(frozen=True, slots=True)
class TypeReport:
    """``mistakes`` say where and what; ``unchecked`` names the messages nobody could check."""

    mistakes: tuple[str, ...]
    unchecked: tuple[str, ...]


def check_types(document: dict[str, Any]) -> TypeReport:
    """The mistakes in a bootstrap document."""
    mistakes: list[str] = []
    unchecked: set[str] = set()
    for place, type_name, message in _messages(document, "", ROOT_TYPE):
        found = _find_class(type_name)
        if found is None:
            unchecked.add(type_name)
            continue
        try:
            found.from_dict(_without_any(message))
        except Exception as error:
            # The package raises whatever its parsers raise: each is a mistake here.
            text = str(error.args[0] if error.args else error)
            mistakes.append(f"{place or 'file'}: {text}")
    return TypeReport(tuple(mistakes), tuple(sorted(unchecked)))


def _messages(
    node: Any, place: str, type_name: str | None
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every message whose type is stated, outermost first."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _messages(item, f"{place}[{index}]", None)
        return
    if not isinstance(node, dict):
        return
    stated = node.get("@type", "").removeprefix(PREFIX) or type_name
    if stated:
        yield place, stated, node
    for key, value in node.items():
        if key not in STRUCT_KEYS:
            yield from _messages(value, f"{place}.{key}" if place else key, None)


def _without_any(node: Any) -> Any:
    """The message with every message inside it that states its own type left out."""
    if isinstance(node, list):
        return [_without_any(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value if key in STRUCT_KEYS else _without_any(value)
        for key, value in node.items()
        if key != "@type" and not _holds_any(value)
    }


def _holds_any(value: Any) -> bool:
    """A message that states its own type, or a map of such (a cluster's protocol options)."""
    if not isinstance(value, dict):
        return False
    inner = list(value.values())
    is_map = bool(inner) and all(isinstance(item, dict) and "@type" in item for item in inner)
    return "@type" in value or is_map


def _find_class(type_name: str) -> Any:
    module, _, name = type_name.rpartition(".")
    try:
        return getattr(importlib.import_module(f"envoy_data_plane.{module}"), name, None)
    except ImportError:
        return None
