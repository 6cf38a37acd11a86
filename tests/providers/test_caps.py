"""No spelling of a cap lifts it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_extproc.core.errors import RequestError
from gateway_extproc.providers.openai.caps import CAPS, MULTIPLIERS, NESTED
from gateway_extproc.providers.translate import DIALECTS, translator

MESSAGES = [{"role": "user", "content": "Hi"}]


def read(**fields: Any) -> Any:
    document = {"model": "m", "messages": MESSAGES, **fields}
    return DIALECTS["openai"].read_request("chat", document)


def sent(cap: int, **fields: Any) -> Any:
    pair = translator("openai", "openai", "chat", lambda: 0)
    return pair.request(read(**fields), "m", cap, force_usage=False)


@pytest.mark.parametrize("name", CAPS)
def test_every_spelling_is_capped(name: str) -> None:
    assert sent(100, **{name: 5000})[name] == 100
    assert sent(100, **{name: 7})[name] == 7
    assert read(**{name: 7}).max_tokens == 7


@pytest.mark.parametrize("name", CAPS[1:])
def test_spellings_that_disagree_are_refused(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(**{CAPS[0]: 5, name: 6})
    assert caught.value.refusal.reason == "invalid_request"
    assert read(**{CAPS[0]: 5, name: 5}).max_tokens == 5


def test_a_client_without_a_cap_gets_one() -> None:
    assert sent(100)["max_tokens"] == 100


@pytest.mark.parametrize(("outer", "name"), [(o, n) for o, names in NESTED for n in names])
def test_a_cap_inside_another_object_is_refused(outer: str, name: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(**{outer: {name: 10**6}})
    assert caught.value.refusal.param == f"{outer}.{name}"


@pytest.mark.parametrize("name", MULTIPLIERS)
def test_what_makes_a_server_work_on_is_refused(name: str) -> None:
    with pytest.raises(RequestError):
        read(**{name: 1000})
    assert read(**{name: 0}).max_tokens is None


@pytest.mark.parametrize(("fields", "completions"), [({}, 1), ({"n": 4}, 4), ({"best_of": 8}, 8)])
def test_several_completions_are_known(fields: dict[str, int], completions: int) -> None:
    assert read(**fields).completions == completions


def test_thinking_has_to_fit_under_the_cap() -> None:
    document = {"model": "m", "max_tokens": 9000, "messages": MESSAGES,
                "thinking": {"type": "enabled", "budget_tokens": 5000}}  # fmt: skip
    request = DIALECTS["anthropic"].read_request("messages", document)
    pair = translator("anthropic", "anthropic", "messages", lambda: 0)
    assert pair.request(request, "m", 8000, force_usage=False)["max_tokens"] == 8000
    with pytest.raises(RequestError) as caught:
        pair.request(request, "m", 4000, force_usage=False)
    assert caught.value.refusal.param == "thinking.budget_tokens"


def test_media_and_tools_are_counted() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/i.png"}}
    content = [{"type": "text", "text": "x"}, image, image]
    request = read(messages=[{"role": "user", "content": content}],
                   tools=[{"type": "function", "function": {"name": "f"}}])  # fmt: skip
    assert (request.media, request.has_tools) == (2, True)
    block = {"type": "image", "source": {"type": "url", "url": "https://example.org/i.png"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    document = {"model": "m", "max_tokens": 1,
                "messages": [{"role": "user", "content": [block, result]}]}  # fmt: skip
    assert DIALECTS["anthropic"].read_request("messages", document).media == 2
