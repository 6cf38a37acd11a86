"""A mapping of bounded size: who leaves, and what counts as a use."""

from __future__ import annotations

from gateway_extproc.core.recent import Recent


def filled(most: int = 3) -> Recent[str, int]:
    recent: Recent[str, int] = Recent(most)
    for number, key in enumerate("abc"):
        assert recent.keep(key, number) == number
    return recent


def test_the_longest_unused_entry_leaves() -> None:
    recent = filled()
    assert recent.found("a") == 0
    recent.keep("d", 3)
    assert list(recent) == ["c", "a", "d"]


def test_keeping_again_counts_as_a_use_and_looking_does_not() -> None:
    recent = filled()
    recent.keep("b", 7)
    assert recent.get("a") == 0
    recent.keep("d", 3)
    assert dict(recent) == {"c": 2, "b": 7, "d": 3}


def test_what_is_not_there_is_none_and_changes_nothing() -> None:
    recent = filled()
    assert recent.found("x") is None
    assert list(recent) == ["a", "b", "c"]
