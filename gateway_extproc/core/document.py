"""Editing JSON documents without changing them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway_extproc.core.chat import Document, Path


def replace_at(document: Document, edits: Iterable[tuple[Path, Any]]) -> dict[str, Any]:
    """A copy of ``document`` with the values at the given paths replaced.

    Only the containers on the way to an edit are copied; everything else is
    shared with the original, which stays as it was.
    """
    root: dict[str, Any] = dict(document)
    copied: dict[Path, Any] = {(): root}
    for path, value in edits:
        node: Any = root
        for depth, key in enumerate(path[:-1], start=1):
            prefix = path[:depth]
            child = copied.get(prefix)
            if child is None:
                child = _copy(node[key])
                node[key] = child
                copied[prefix] = child
            node = child
        node[path[-1]] = value
    return root


def _copy(container: Any) -> Any:
    return dict(container) if isinstance(container, dict) else list(container)
