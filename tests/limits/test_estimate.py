"""How many tokens a prompt has: bounds that hold, estimates that are near."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.tokens import TEXTS
from gateway_extproc.core.chat import LlmRequest, TextAt
from gateway_extproc.limits import estimate as module
from gateway_extproc.limits.estimate import (
    MOST_MEDIA_TOKENS,
    calibrated,
    count_tokens,
    estimate,
    exact_encoding,
    family_of,
)
from gateway_extproc.limits.weights import CLASSES, WEIGHTS


def request(*texts: str, **more: object) -> LlmRequest:
    at = tuple(TextAt(("messages", i, "content"), "user", t) for i, t in enumerate(texts))
    return LlmRequest("openai", "chat", "m", False, None, False, {}, at, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-mini", "o200k"), ("gpt-4.1", "o200k"), ("gpt-5-nano", "o200k"), ("o3", "o200k"),
        ("gpt-4-turbo", "cl100k"), ("gpt-3.5-turbo", "cl100k"), ("claude-sonnet-4-5", "claude"),
        ("eu.anthropic.claude-haiku-4-5", "claude"), ("llama-3.3-70b", "default"),
    ],
)  # fmt: skip
def test_a_models_name_tells_its_vocabulary(model: str, family: str) -> None:
    assert family_of(model) == family


def test_no_byte_is_in_two_classes() -> None:
    members = b"".join(CLASSES.values())
    assert len(members) == len(set(members))


@settings(deadline=None)  # the vocabularies are read at the first one
@given(st.lists(st.text(max_size=200), max_size=5))
def test_no_vocabulary_makes_more_tokens_than_the_bound(texts: list[str]) -> None:
    bound = estimate(request(*texts), "gpt-4o").at_most
    for family in ("o200k", "cl100k"):
        encoding = exact_encoding(family)
        assert sum(len(encoding.encode_ordinary(t)) for t in texts) <= bound


@given(st.text(max_size=300))
def test_an_estimate_is_at_least_1_for_any_text_and_0_for_none(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    for family in WEIGHTS:
        assert calibrated(data, family) >= (1 if text else 0)
    assert calibrated(b"", "default") == 0


@pytest.mark.filterwarnings("ignore:open_binary:DeprecationWarning")
@pytest.mark.parametrize("family", ["o200k", "cl100k"])
def test_the_estimate_is_near_what_the_vocabulary_says(family: str) -> None:
    encoding = exact_encoding(family)
    errors = []
    for text in TEXTS.values():
        truth = len(encoding.encode_ordinary(text))
        errors.append(abs(calibrated(text.encode(), family) - truth) / truth)
    assert statistics.median(errors) < 0.15
    assert max(errors) < 0.6


def test_it_is_exact_where_the_vocabulary_is_at_hand_and_the_text_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "Antidisestablishmentarianism, twice."
    truth = len(exact_encoding("o200k").encode_ordinary(text))
    assert count_tokens(text.encode(), text, "o200k") == truth
    monkeypatch.setattr(module, "EXACT_BYTES", 10)
    assert count_tokens(text.encode(), text, "o200k") == calibrated(text.encode(), "o200k")


def test_without_the_extra_the_estimate_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "exact_encoding", lambda family: None)
    assert estimate(request("Hello there"), "gpt-4o").expected > 0


def test_images_and_tools_count() -> None:
    plain, seen = estimate(request("x"), "gpt-4o"), estimate(request("x", media=2), "gpt-4o")
    armed = estimate(request("x", has_tools=True), "gpt-4o")
    assert seen.at_most == plain.at_most + 2 * MOST_MEDIA_TOKENS
    assert seen.expected > plain.expected
    assert armed.expected > plain.expected
