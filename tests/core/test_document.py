"""Edits of documents: exact, and never in place."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.chat import Path
from gateway_extproc.core.document import replace_at

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(st.text(max_size=3), VALUES, min_size=1, max_size=4)


def leaves(node: Any, path: Path = ()) -> list[Path]:
    if isinstance(node, dict):
        return [p for key, child in node.items() for p in leaves(child, (*path, key))]
    if isinstance(node, list):
        return [p for i, child in enumerate(node) for p in leaves(child, (*path, i))]
    return [path]


def at(node: Any, path: Path) -> Any:
    for key in path:
        node = node[key]
    return node


@given(DOCUMENTS, st.data())
def test_edits_change_exactly_their_places_and_never_the_input(
    document: dict[str, Any], data: st.DataObject
) -> None:
    places = leaves(document)
    chosen = data.draw(st.lists(st.sampled_from(places), unique=True)) if places else []
    before = copy.deepcopy(document)
    edits = {path: f"new-{i}" for i, path in enumerate(chosen)}
    edited = replace_at(document, edits.items())
    assert document == before
    assert leaves(edited) == places
    for path in places:
        assert at(edited, path) == edits.get(path, at(before, path))


def test_what_is_not_on_the_way_is_shared() -> None:
    document = {"a": {"x": 1}, "b": [{"y": 2}, {"z": 3}]}
    edited = replace_at(document, [(("b", 0, "y"), 9)])
    assert edited["a"] is document["a"]
    assert edited["b"][1] is document["b"][1]  # type: ignore[index]
    assert edited["b"][0] is not document["b"][0]  # type: ignore[index]
