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
        (1, {"1": "200"}, 200, [("a", 200, "ok")]),
        (1, {}, 200, [("a", 200, "ok")]),
        (1, {}, 0, [("a", 0, "no_answer")]),
        (2, {"1": "503", "attempt": "2"}, 200, [("a", 503, "error"), ("b:fallback", 200, "ok")]),
        (2, {}, 200, [("a", 0, "no_answer"), ("b:fallback", 200, "ok")]),
        (2, {"1": "429", "2": "404"}, 404,
         [("a", 429, "error"), ("b:fallback", 404, "error")]),
        (2, {"1": "odd"}, 200, [("a", 0, "no_answer"), ("b:fallback", 200, "ok")]),
        (9, {}, 503, [("a", 0, "no_answer"), ("b:fallback", 0, "no_answer"),
                      ("c:fallback", 503, "error")]),
        (2, {"1": "400 context_window"}, 200,
         [("a", 400, "context_window"), ("b:fallback", 200, "ok")]),
        (2, {"1": "400 context_window", "2": "400 content_policy"}, 400,
         [("a", 400, "context_window"), ("b:fallback", 400, "content_policy")]),
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
    st.dictionaries(st.sampled_from(["1", "2", "attempt", ""]), st.text(max_size=4)),
    st.integers(0, 599),
)
def test_no_notes_break_it(count: int, notes: dict[str, str], final: int) -> None:
    made = attempts_made((A, B), count, notes, final)
    assert len(made) == min(count, 2)
    assert [attempt.target for attempt in made] == ["a/m", "b/m"][: len(made)]


@pytest.mark.parametrize(
    ("cluster", "count", "target"),
    [("a", 1, A), ("b:fallback", 2, B), ("c:fallback", 3, C), ("", 1, None), ("", 3, None),
     ("no-target", 1, None), ("d", 1, None), ("a:fallback", 1, None), ("c:fallback", 2, None),
     ("a", 0, None), ("c:fallback", 4, None)],
)  # fmt: skip
def test_who_answered_is_known_by_the_attempt_and_its_cluster(
    cluster: str, count: int, target: Target | None
) -> None:
    assert find_answering((A, B, C), cluster, count) is target


def test_targets_of_one_provider_are_told_apart_by_the_attempt() -> None:
    large = Target("a", "openai", "large", "a", "a:fallback", "/v1")
    largest = Target("a", "openai", "largest", "a", "a:fallback", "/v1")
    assert find_answering((A, large, largest), "a:fallback", 2) is large
    assert find_answering((A, large, largest), "a:fallback", 3) is largest
    made = attempts_made((A, large, largest), 3, {"1": "400", "2": "413", "3": "200"}, 200)
    assert [(attempt.target, attempt.status) for attempt in made] == [
        ("a/m", 400), ("a/large", 413), ("a/largest", 200),
    ]  # fmt: skip
