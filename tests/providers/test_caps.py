"""Caps: every other spelling and every multiplier is refused by its path, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_extproc.core.errors import RequestError
from gateway_extproc.providers.translate import DIALECTS, translator
from providers.samples import ANTHROPIC_REQUEST, OPENAI_REQUEST

REQUESTS = {"openai": ("chat", OPENAI_REQUEST), "anthropic": ("messages", ANTHROPIC_REQUEST)}
EVERYWHERE: list[tuple[str, dict[str, Any]]] = [
    ("max_output_tokens", {"max_output_tokens": 99_999}),
    ("maxOutputTokens", {"maxOutputTokens": 99_999}),
    ("max-output-tokens", {"max-output-tokens": 99_999}),
    ("MAX_OUTPUT_TOKENS", {"MAX_OUTPUT_TOKENS": "99999"}),
    ("max_new_tokens", {"max_new_tokens": 99_999}),
    ("max_tokens_to_sample", {"max_tokens_to_sample": 99_999}),
    ("max_gen_len", {"max_gen_len": 99_999}),
    ("maxTokenCount", {"maxTokenCount": 99_999}),
    ("max_length", {"max_length": 99_999}),
    ("num_predict", {"num_predict": -1}),
    ("n_predict", {"n_predict": -1}),
    ("min_new_tokens", {"min_new_tokens": 99_999}),
    ("thinking_token_budget", {"thinking_token_budget": 99_999}),
    ("max_thinking_tokens", {"max_thinking_tokens": 99_999}),
    ("options.num_predict", {"options": {"num_predict": 99_999}}),
    ("generationConfig.maxOutputTokens", {"generationConfig": {"maxOutputTokens": 99_999}}),
    ("generation_config.max_output_tokens", {"generation_config": {"max_output_tokens": 9}}),
    ("generationConfig.candidateCount", {"generationConfig": {"candidateCount": 8}}),
    ("parameters.max_new_tokens", {"parameters": {"max_new_tokens": 99_999}}),
    ("sampling_params.max_tokens", {"sampling_params": {"max_tokens": 99_999}}),
    ("inferenceConfig.maxTokens", {"inferenceConfig": {"maxTokens": 99_999}}),
    ("extra_body.max_tokens", {"extra_body": {"max_tokens": 99_999}}),
    ("extra_body.max_completion_tokens", {"extra_body": {"max_completion_tokens": 99_999}}),
    ("extra_body.n", {"extra_body": {"n": 8}}),
    ("extra_body.options.num_predict", {"extra_body": {"options": {"num_predict": 9}}}),
    ("extra_body.list[1].max_tokens", {"extra_body": {"list": [1, {"max_tokens": 9}]}}),
    ("reasoning.max_tokens", {"reasoning": {"max_tokens": 99_999}}),
    ("chat_template_kwargs.thinking_budget", {"chat_template_kwargs": {"thinking_budget": 9}}),
    ("best_of", {"best_of": 8}),
    ("bestOf", {"bestOf": "8"}),
    ("use_beam_search", {"use_beam_search": True}),
    ("use_beam_search", {"use_beam_search": 1}),
    ("beam_width", {"beam_width": 4}),
    ("num_beams", {"num_beams": 4}),
    ("num_return_sequences", {"num_return_sequences": 4}),
    ("candidateCount", {"candidateCount": 4}),
    ("n_cmpl", {"n_cmpl": 4}),
]


def refused(dialect: str, more: dict[str, Any]) -> str | None:
    endpoint, document = REQUESTS[dialect]
    try:
        DIALECTS[dialect].read_request(endpoint, {**document, **more})
    except RequestError as error:
        return error.refusal.param if error.refusal.status == 400 else None
    return None


@pytest.mark.parametrize("dialect", REQUESTS)
@pytest.mark.parametrize(("param", "more"), EVERYWHERE, ids=[param for param, _ in EVERYWHERE])
def test_another_way_around_the_cap_is_refused(
    dialect: str, param: str, more: dict[str, Any]
) -> None:
    assert refused(dialect, more) == param


@pytest.mark.parametrize(
    ("param", "more"),
    [
        ("n", {"n": 8}),
        ("best_of", {"best_of": 2}),
        ("max_completion_tokens", {"max_completion_tokens": 99_999}),
        ("min_tokens", {"min_tokens": 99_999}),
        ("thinking.budget_tokens", {"thinking": {"type": "enabled", "budget_tokens": 100}}),
        ("thinking.budget_tokens", {"thinking": {"type": "enabled", "budget_tokens": 99_999}}),
    ],
)
def test_what_anthropics_dialect_does_not_define_is_no_way_either(
    param: str, more: dict[str, Any]
) -> None:
    assert refused("anthropic", more) == param


@pytest.mark.parametrize(
    ("param", "more"),
    [
        ("n", {"n": 129}),
        ("n", {"n": "2"}),
        ("max_tokens", {"max_tokens": 5, "max_completion_tokens": 6}),
        ("min_tokens", {"min_tokens": "5"}),
        ("thinking.budget_tokens", {"thinking": {"type": "enabled", "budget_tokens": 9}}),
    ],
)
def test_a_bad_or_contradictory_cap_of_openai_is_refused(param: str, more: dict[str, Any]) -> None:
    assert refused("openai", more) == param


@pytest.mark.parametrize("dialect", REQUESTS)
@pytest.mark.parametrize(
    "more",
    [
        {"best_of": 1, "use_beam_search": False, "num_beams": 1},
        {"max_output_tokens": None, "options": {"num_predict": None}},
        {"guided_json": {"properties": {"n": {"type": "integer"}}, "maxLength": 9, "n": 3}},
        {"structured_outputs": {"json": {"maxLength": 9}}},
        {"reasoning": {"effort": "low"}, "options": {"temperature": 1, "list": [8, "n"]}},
        {"top_k": 40, "repetition_penalty": 1.1, "ignore_eos": True},
        {"vendor": {"properties": {"max_tokens": {"type": "integer"}}}},
    ],
    ids=str,
)
def test_what_leaves_the_cap_alone_passes(dialect: str, more: dict[str, Any]) -> None:
    assert refused(dialect, more) is None


def test_a_tool_may_have_an_argument_of_any_name() -> None:
    schema = {"type": "object", "properties": {"max_tokens": {"type": "integer"}, "n": True}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    assert refused("openai", {"tools": tools}) is None


def test_nesting_without_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    assert refused("openai", {"extra_body": deep}) == "extra_body"


@pytest.mark.parametrize(("n", "completions"), [({}, 1), ({"n": None}, 1), ({"n": 3}, 3)])
def test_how_many_answers_are_wanted_is_read(n: dict[str, Any], completions: int) -> None:
    request = DIALECTS["openai"].read_request("chat", {**OPENAI_REQUEST, **n})
    assert request.completions == completions


def sent(dialect: str, more: dict[str, Any], cap: int) -> Any:
    endpoint, document = REQUESTS[dialect]
    request = DIALECTS[dialect].read_request(endpoint, {**document, **more})
    return translator(dialect, dialect, endpoint).request(request, "t", cap, force_usage=False)


@pytest.mark.parametrize(("asked", "forwarded"), [(5, 5), (40, 40), (99_999, 40)])
def test_a_least_number_of_tokens_is_no_more_than_the_cap(asked: int, forwarded: int) -> None:
    assert sent("openai", {"min_tokens": asked}, 40)["min_tokens"] == forwarded


@pytest.mark.parametrize(("cap", "forwarded"), [(9000, 4000), (4000, 3999), (1025, 1024)])
def test_thinking_stays_below_the_cap(cap: int, forwarded: int) -> None:
    thinking = {"type": "enabled", "budget_tokens": 4000}
    document = sent("anthropic", {"max_tokens": 8000, "thinking": thinking}, cap)
    assert document["thinking"] == {"type": "enabled", "budget_tokens": forwarded}
    assert document["max_tokens"] == min(8000, cap)
    assert thinking["budget_tokens"] == 4000


def test_thinking_that_no_cap_leaves_room_for_is_refused() -> None:
    thinking = {"type": "enabled", "budget_tokens": 4000}
    with pytest.raises(RequestError) as caught:
        sent("anthropic", {"max_tokens": 8000, "thinking": thinking}, 1024)
    assert caught.value.refusal.param == "thinking.budget_tokens"


def test_adaptive_thinking_has_no_budget_to_cap() -> None:
    document = sent("anthropic", {"thinking": {"type": "adaptive"}}, 10)
    assert document["thinking"] == {"type": "adaptive"}
