"""Several answers at once and log probabilities, between OpenAI's dialect and Gemini's."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from google.genai import types
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway_extproc.core.errors import RequestError
from gateway_extproc.providers.translate import translator
from providers.samples import DONE, OPENAI_REQUEST, call, chunk, data, read

GEMINI: dict[str, Any] = {
    "model": "m", "alt": "sse", "stream": True, "contents": [{"parts": [{"text": "q"}]}],
    "generationConfig": {"candidateCount": 2},
}  # fmt: skip
OPENAI: dict[str, Any] = {**OPENAI_REQUEST, "n": 2, "stream": True}
CALL = {"functionCall": {"name": "f", "args": {"a": 1}}}
ANSWER: dict[str, Any] = {
    "candidates": [
        {"content": {"parts": [{"text": "one"}]}, "finishReason": "STOP", "index": 0},
        {"content": {"parts": [CALL]}, "finishReason": "STOP", "index": 1},
        {"content": {"parts": [{"text": "th"}]}, "finishReason": "MAX_TOKENS", "index": 2},
    ],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 5},
    "responseId": "r",
    "modelVersion": "g",
}


def test_the_number_of_answers_goes_over() -> None:
    sent = translator("openai", "gemini", "chat").request(
        read("openai", OPENAI), "t", 9, force_usage=True
    )
    assert sent["generationConfig"]["candidateCount"] == 2
    sent = translator("gemini", "openai", "generate_content").request(
        read("gemini", GEMINI), "t", 9, force_usage=True
    )
    assert sent["n"] == 2


def test_all_candidates_become_choices_and_candidates_again() -> None:
    release = translator("openai", "gemini", "chat").answer(ANSWER, b"")
    assert release.document is not None
    completion = ChatCompletion.model_validate(release.document)
    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert [choice.message.content for choice in completion.choices] == ["one", None, "th"]
    assert [c.finish_reason for c in completion.choices] == ["stop", "tool_calls", "length"]
    assert [text.text for text in release.texts] == ["one", '{"a":1}', "th"]
    back = translator("gemini", "openai", "generate_content").answer(release.document, b"")
    assert back.document is not None
    answer = types.GenerateContentResponse.model_validate(back.document)
    assert answer.candidates is not None
    parts = [c.content.parts[0] for c in answer.candidates if c.content and c.content.parts]
    assert [part.text for part in parts] == ["one", None, "th"]
    assert parts[1].function_call is not None
    assert parts[1].function_call.args == {"a": 1}


def written(client: str, provider: str, document: dict[str, Any], stream: bytes) -> bytes:
    asked = read(client, document)
    way = translator(asked.dialect, provider, asked.endpoint, lambda: 17)
    writer = way.writer(asked)
    return b"".join(writer.write(one) for one in way.reader().feed(stream, last=True))


def test_a_stream_of_two_candidates_becomes_one_of_two_choices() -> None:
    events: list[dict[str, Any]] = [
        {"candidates": [{"index": 0, "content": {"parts": [{"text": "a"}]}}], "responseId": "r"},
        {"candidates": [{"index": 1, "content": {"parts": [{"text": "b"}, CALL]}}]},
        {"candidates": [{"index": 0, "content": {"parts": [CALL]}, "finishReason": "STOP"}]},
        {"candidates": [{"index": 1, "finishReason": "MAX_TOKENS"}]},
    ]
    told = written("openai", "gemini", OPENAI, data(*events))
    lines = [line.removeprefix(b"data: ") for line in told.split(b"\n\n") if line]
    assert lines[-1] == b"[DONE]"
    chunks = [ChatCompletionChunk.model_validate(orjson.loads(line)) for line in lines[:-1]]
    said: dict[int, str] = {}
    ends: dict[int, str] = {}
    calls: dict[int, list[int]] = {}
    roles: list[int] = []
    for one in chunks:
        (choice,) = one.choices
        said[choice.index] = said.get(choice.index, "") + (choice.delta.content or "")
        if choice.delta.role:
            roles.append(choice.index)
        if choice.finish_reason:
            ends[choice.index] = choice.finish_reason
        for tool in choice.delta.tool_calls or ():
            if tool.id:
                calls.setdefault(choice.index, []).append(tool.index)
    assert said == {0: "a", 1: "b"}
    assert ends == {0: "tool_calls", 1: "length"}
    assert roles == [0, 1]
    assert calls == {0: [0], 1: [0]}


def test_a_stream_of_two_choices_becomes_one_of_two_candidates() -> None:
    stream = (
        data(
            chunk({"content": "a"}),
            chunk({"content": "b"}, index=1),
            chunk(call(0, '{"x":', id="c0", name="f")),
            chunk(call(0, '{"x":2}', id="c1", name="g"), index=1),
            chunk(call(0, "1}")),
            chunk({}, "tool_calls"),
            chunk({}, "length", index=1),
        )
        + DONE
    )
    told = written("gemini", "openai", GEMINI, stream)
    documents = [
        orjson.loads(line.removeprefix(b"data: ")) for line in told.split(b"\r\n\r\n") if line
    ]
    candidates = [candidate for one in documents for candidate in one["candidates"]]
    texts = {
        c["index"]: part["text"]
        for c in candidates
        for part in c.get("content", {}).get("parts", ())
        if "text" in part
    }
    assert texts == {0: "a", 1: "b"}
    ends = {c["index"]: c for c in candidates if "finishReason" in c}
    assert [ends[n]["finishReason"] for n in (0, 1)] == ["STOP", "MAX_TOKENS"]
    args = [ends[n]["content"]["parts"][0]["functionCall"]["args"] for n in (0, 1)]
    assert args == [{"x": 1}, {"x": 2}]


def test_a_rule_ends_every_choice_that_is_open() -> None:
    asked = read("openai", OPENAI)
    way = translator("openai", "gemini", "chat")
    writer = way.writer(asked)
    events = [
        {"candidates": [{"index": 0, "content": {"parts": [{"text": "a"}]},
                         "finishReason": "STOP"}]},
        {"candidates": [{"index": 1, "content": {"parts": [{"text": "b"}]}}]},
    ]  # fmt: skip
    for one in way.reader().feed(data(*events), last=False):
        writer.write(one)
    (end, done, rest) = writer.stop().split(b"\n\n")
    choice = orjson.loads(end.removeprefix(b"data: "))["choices"][0]
    assert (choice["index"], choice["finish_reason"]) == (1, "content_filter")
    assert (done, rest) == (b"data: [DONE]", b"")


PROBS = {
    "chosenCandidates": [
        {"token": "o", "tokenId": 5, "logProbability": -0.25}, {"token": "ne"},
    ],
    "topCandidates": [
        {"candidates": [{"token": "o", "logProbability": -0.25},
                        {"token": "a", "logProbability": -2}]},
        {},
    ],
}  # fmt: skip


def test_log_probabilities_go_over_and_back() -> None:
    asked = {**OPENAI_REQUEST, "logprobs": True, "top_logprobs": 2}
    way = translator("openai", "gemini", "chat")
    config = way.request(read("openai", asked), "t", 9, force_usage=True)["generationConfig"]
    assert (config["responseLogprobs"], config["logprobs"]) == (True, 2)
    candidate = {**ANSWER["candidates"][0], "logprobsResult": PROBS}
    release = way.answer({**ANSWER, "candidates": [candidate]}, b"")
    assert release.document is not None
    completion = ChatCompletion.model_validate(release.document)
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    first, second = logprobs.content
    assert (first.token, first.logprob, first.bytes) == ("o", -0.25, [111])
    assert [(one.token, one.logprob) for one in first.top_logprobs] == [("o", -0.25), ("a", -2.0)]
    assert (second.token, second.logprob, second.top_logprobs) == ("ne", 0.0, [])
    # They spell the answer again: a guard that changes it must find them.
    assert release.echoes == (("choices", 0, "logprobs"),)
    back = translator("gemini", "openai", "generate_content").answer(release.document, b"")
    assert back.document is not None
    result = back.document["candidates"][0]["logprobsResult"]
    assert [one["logProbability"] for one in result["chosenCandidates"]] == [-0.25, 0.0]
    assert back.echoes == (("candidates", 0, "logprobsResult"),)
    response = translator("openai", "gemini", "responses").answer(
        {**ANSWER, "candidates": [candidate]}, b""
    )
    assert response.document is not None
    assert response.document["output"][0]["content"][0]["logprobs"][0]["token"] == "o"
    assert response.echoes == (("output", 0, "content", 0, "logprobs"),)


@pytest.mark.parametrize("broken", [1, [1], [{"token": 1}], {"chosenCandidates": [1]}, {"x": 1}])
def test_log_probabilities_that_cannot_be_read_cost_nobody_an_answer(broken: Any) -> None:
    candidate = {**ANSWER["candidates"][0], "logprobsResult": broken}
    release = translator("openai", "gemini", "chat").answer({"candidates": [candidate]}, b"")
    assert release.refusal is None
    choice = {"index": 0, "message": {"content": "a"}, "logprobs": {"content": broken}}
    release = translator("gemini", "openai", "generate_content").answer({"choices": [choice]}, b"")
    assert release.refusal is None


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_are_for_whole_answers(stream: bool) -> None:
    asked = {**OPENAI_REQUEST, "logprobs": True, "stream": stream}
    way = translator("openai", "vertex", "chat")
    if not stream:
        assert way.request(read("openai", asked), "t", 9, force_usage=True)
        return
    with pytest.raises(RequestError) as caught:
        way.request(read("openai", asked), "t", 9, force_usage=True)
    assert caught.value.refusal.param == "logprobs"
