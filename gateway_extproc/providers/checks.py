"""Checks of a client's document that name the offending field by its path.

The gateway refuses a mistake itself, before money is reserved for it, with the
field named as OpenAI names it (``messages[0].role``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gateway_extproc.core.chat import Document, Path
from gateway_extproc.core.errors import invalid

Check = Callable[[Any, str], None]
"""Takes a value and its path's name; raises ``RequestError`` naming the field."""

MAX_DEPTH: Final = 100
"""Deeper JSON than this inside a prompt is an attack on whoever walks it."""


def name_of(path: Path) -> str:
    """A path as OpenAI writes it: ``messages[0].content[1].text``."""
    name = ""
    for key in path:
        name += f"[{key}]" if isinstance(key, int) else f".{key}" if name else key
    return name


def optional(check: Check) -> Check:
    """A null is the same as an absent field."""

    def checked(value: Any, param: str) -> None:
        if value is not None:
            check(value, param)

    return checked


def boolean(value: Any, param: str) -> None:
    if type(value) is not bool:
        raise invalid(param, "a boolean")


def string(value: Any, param: str) -> None:
    if type(value) is not str:
        raise invalid(param, "a string")


def name(value: Any, param: str) -> None:
    if type(value) is not str or not value:
        raise invalid(param, "a non-empty string")


def obj(value: Any, param: str) -> None:
    if type(value) is not dict:
        raise invalid(param, "an object")


def array(value: Any, param: str) -> None:
    if type(value) is not list:
        raise invalid(param, "an array")


def strings(value: Any, param: str) -> None:
    array(value, param)
    for index, item in enumerate(value):
        string(item, f"{param}[{index}]")


def number(low: float, high: float) -> Check:
    """A number from ``low`` to ``high``; a boolean is not a number."""

    def checked(value: Any, param: str) -> None:
        if type(value) not in (int, float) or not low <= value <= high:
            raise invalid(param, f"a number from {low:g} to {high:g}")

    return checked


def integer(low: int, high: int | None = None) -> Check:
    """A whole number of at least ``low``, at most ``high``; a boolean is not a number."""
    expected = f"an integer of at least {low}" if high is None else f"an integer, {low} to {high}"

    def checked(value: Any, param: str) -> None:
        if type(value) is not int or value < low or (high is not None and value > high):
            raise invalid(param, expected)

    return checked


def whole(value: Any, param: str) -> None:
    if type(value) is not int:
        raise invalid(param, "an integer")


def get(document: Document, key: str, check: Check, path: Path) -> Any:
    """A required field of the object at ``path``."""
    value = document.get(key)
    check(value, name_of((*path, key)))
    return value


def string_leaves(value: Any, path: Path) -> list[tuple[Path, str]]:
    """Every string inside a JSON value, in the order of the document.

    What nests deeper than ``MAX_DEPTH`` is refused: it must not exhaust the stack.
    """
    found: list[tuple[Path, str]] = []
    if type(value) is str:
        found.append((path, value))
    elif type(value) in (dict, list):
        _collect(value, path, MAX_DEPTH, found)
    return found


def _collect(node: Any, path: Path, levels: int, found: list[tuple[Path, str]]) -> None:
    if levels == 0:
        raise invalid(name_of(path[:-MAX_DEPTH]), f"at most {MAX_DEPTH} nested levels")
    for key, child in node.items() if type(node) is dict else enumerate(node):
        if type(child) is str:
            found.append(((*path, key), child))
        elif type(child) in (dict, list):
            _collect(child, (*path, key), levels - 1, found)
