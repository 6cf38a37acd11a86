"""Which attempts were made, from what Envoy tells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.route import Target
from gateway_extproc.routing.attempts import attempts_made, find_answering

A, B, C = (Target(name, "openai", "m", name, f"{name}:fallback", "/v1") for name in ("a", "b", "c"))


@pytest.mark.parametrize(
    ("count", "notes", "final", "expected"),
    [
        (1, {"a": "200"}, 200, [("a", 200, "ok")]),
        (1, {}, 200, [("a", 200, "ok")]),
        (1, {}, 0, [("a", 0, "no_answer")]),
        (2, {"a": "503"}, 200, [("a", 503, "error"), ("b:fallback", 200, "ok")]),
        (2, {}, 200, [("a", 0, "no_answer"), ("b:fallback", 200, "ok")]),
        (2, {"a": "429", "b:fallback": "404"}, 404,
         [("a", 429, "error"), ("b:fallback", 404, "error")]),
        (2, {"a": "odd"}, 200, [("a", 0, "no_answer"), ("b:fallback", 200, "ok")]),
        (9, {}, 503, [("a", 0, "no_answer"), ("b:fallback", 0, "no_answer"),
                      ("c:fallback", 503, "error")]),
        (0, {}, 200, []),
    ],
)  # fmt: skip
def test_attempts_are_what_was_noted_and_the_last_what_came(
    count: int, notes: dict[str, str], final: int, expected: list[tuple[str, int, str]]
) -> None:
    made = attempts_made((A, B, C), count, notes, final)
    assert [(attempt.cluster, attempt.status, attempt.outcome) for attempt in made] == expected


@given(
    st.integers(0, 5),
    st.dictionaries(st.sampled_from(["a", "b:fallback", "x"]), st.text(max_size=4)),
    st.integers(0, 599),
)
def test_no_notes_break_it(count: int, notes: dict[str, str], final: int) -> None:
    made = attempts_made((A, B), count, notes, final)
    assert len(made) == min(count, 2)
    assert [attempt.target for attempt in made] == ["a/m", "b/m"][: len(made)]


@pytest.mark.parametrize(
    ("cluster", "target"),
    [("a", A), ("a:fallback", A), ("c:fallback", C), ("", None), ("no-target", None), ("d", None)],
)
def test_who_answered_is_known_by_the_cluster(cluster: str, target: Target | None) -> None:
    assert find_answering((A, B, C), cluster) is target
