"""Reading a request's JSON strictly.

One document must mean one thing to everybody who reads it: duplicate keys (of
which parsers keep different ones), NaN, lone surrogates and invalid UTF-8 are refused, and
nesting is bounded.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from gateway_extproc.core.errors import RequestError, refuse


def read_object(body: bytes, *, max_depth: int) -> dict[str, Any]:
    """The JSON object in ``body``; raises ``RequestError`` that says what is wrong."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"The request's body is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise _invalid("The request's body must be a JSON object.")
    if body.count(b"{") + body.count(b"[") > max_depth and _deeper_than(document, max_depth):
        raise _invalid(f"The request's JSON is nested more than {max_depth} levels deep.")
    _STRICT.decode(body.decode())
    return document


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _invalid(f"The key '{name[:64]}' stands twice in one JSON object.")


_STRICT = json.JSONDecoder(object_pairs_hook=_unique)


def _deeper_than(document: Any, depth: int) -> bool:
    level = [document]
    for _ in range(depth):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _invalid(message: str) -> RequestError:
    return RequestError(refuse("invalid_json", message))
