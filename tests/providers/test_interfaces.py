"""What is passed on and not translated: embeddings, completions, responses and the like."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway_extproc.core.chat import BlockEnd, Chunk, End, LlmRequest, Stop, TextDelta, UsageReport
from gateway_extproc.core.errors import RequestError, refuse
from gateway_extproc.core.ports import Translator
from gateway_extproc.core.usage import Usage
from gateway_extproc.guards.chunks import ChunkFilter, Step
from gateway_extproc.providers.translate import DIALECTS, translator
from gateway_simulators import openai_others

USER = {"role": "user", "content": "My name is Rosalind Quill."}
BODIES: dict[str, dict[str, Any]] = {
    "embeddings": {"model": "m", "input": ["one", "two"], "encoding_format": "base64"},
    "moderations": {"model": "m", "input": "is this violence?"},
    "images": {"model": "m", "prompt": "a red kite over a lake", "n": 2, "size": "1024x1024"},
    "rerank": {"model": "m", "query": "blue sky", "documents": ["a blue day", {"text": "rain"}]},
    "completions": {"model": "m", "prompt": ["say: once upon", "say: a time"], "max_tokens": 50},
    "responses": {"model": "m", "input": [USER], "instructions": "Be brief.", "store": False},
}
SIMULATED = {
    endpoint: openai_others.OTHERS[path]
    for endpoint, path in {
        "embeddings": "/v1/embeddings",
        "moderations": "/v1/moderations",
        "images": "/v1/images/generations",
        "rerank": "/v1/rerank",
        "completions": "/v1/completions",
        "responses": "/v1/responses",
    }.items()
}


def read(endpoint: str, dialect: str = "openai", **fields: Any) -> LlmRequest:
    document = {key: value for key, value in fields.items() if value is not None}
    return DIALECTS[dialect].read_request(endpoint, document)


def way(endpoint: str, dialect: str = "openai") -> Translator:
    return translator(dialect, dialect, endpoint)


def texts_of(request: LlmRequest) -> list[tuple[str, str]]:
    return [(at.role, at.text) for at in request.texts]


@pytest.mark.parametrize("endpoint", BODIES)
def test_a_document_goes_on_with_another_model_and_its_own_order(endpoint: str) -> None:
    body = {"zeta": {"b": 1, "a": 2}, **BODIES[endpoint]}
    request = read(endpoint, **body)
    written = way(endpoint).request(request, "target", 4096, force_usage=False)
    caps = {"completions": {"max_tokens"}, "responses": {"max_output_tokens"}}
    for cap in caps.get(endpoint, set()):
        assert written.pop(cap) == body.pop(cap, 4096)  # type: ignore[attr-defined]
    assert list(written.items()) == list({**body, "model": "target"}.items())
    assert request.document["model"] == "m"


@pytest.mark.parametrize("endpoint", BODIES)
def test_every_text_is_found(endpoint: str) -> None:
    texts = {text for _, text in texts_of(read(endpoint, **BODIES[endpoint], unheard={"of": "x9"}))}
    expected = {
        "embeddings": {"one", "two", "x9"},
        "moderations": {"is this violence?", "x9"},
        "images": {"a red kite over a lake", "x9"},
        "rerank": {"blue sky", "a blue day", "rain", "x9"},
        # Beside its prompts a completion has no field that servers read as text.
        "completions": {"say: once upon", "say: a time"},
        "responses": {"My name is Rosalind Quill.", "Be brief."},
    }
    assert texts == expected[endpoint]


def test_documents_to_rank_speak_as_data() -> None:
    roles = {text: role for role, text in texts_of(read("rerank", **BODIES["rerank"]))}
    assert (roles["blue sky"], roles["a blue day"], roles["rain"]) == ("user", "tool", "tool")


@pytest.mark.parametrize("endpoint", BODIES)
def test_a_whole_answer_keeps_its_bytes_and_tells_its_usage(endpoint: str) -> None:
    body = {**BODIES[endpoint]}
    raw = SIMULATED[endpoint](body, "5eed", 6)
    assert isinstance(raw, bytes)
    release = way(endpoint).answer(orjson.loads(raw), raw)
    assert (release.refusal, release.raw) == (None, raw)
    document = orjson.loads(raw)
    if endpoint in ("embeddings", "completions"):
        assert release.usage is not None
        assert release.usage.prompt_tokens == document["usage"]["prompt_tokens"]
    if endpoint == "responses":
        assert release.usage == Usage(
            document["usage"]["input_tokens"], document["usage"]["output_tokens"]
        )
        assert [at.text for at in release.texts] == ["You said: My name is Rosalind Quill."]
    if endpoint == "moderations":
        assert release.usage == Usage()
    if endpoint == "images":
        assert [at.text for at in release.texts] == ["a red kite over a lake"] * 2


@pytest.mark.parametrize(
    ("endpoint", "fields", "param"),
    [
        ("embeddings", {"input": [[1, 2, 3]]}, "input"),
        ("embeddings", {"input": [15496, 995]}, "input"),
        ("embeddings", {"input": []}, "input"),
        ("embeddings", {"input": ["fine", ""]}, "input[1]"),
        ("embeddings", {"dimensions": 0}, "dimensions"),
        ("embeddings", {"stream": True}, "stream"),
        ("moderations", {"input": 7}, "input"),
        ("images", {"prompt": ""}, "prompt"),
        ("images", {"n": 11}, "n"),
        ("images", {"stream": True}, "stream"),
        ("rerank", {"documents": []}, "documents"),
        ("rerank", {"documents": [3]}, "documents[0]"),
        ("completions", {"prompt": [1, 2]}, "prompt"),
        ("completions", {"extra_body": {"max_new_tokens": 9}}, "extra_body.max_new_tokens"),
        ("responses", {"input": []}, "input"),
        ("responses", {"input": [{"role": "boss", "content": "x"}]}, "input[0].role"),
        ("responses", {"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ("responses", {"previous_response_id": "resp_1"}, "previous_response_id"),
        ("responses", {"conversation": "conv_1"}, "conversation"),
        ("responses", {"prompt": {"id": "pmpt_1"}}, "prompt"),
        ("responses", {"background": True}, "background"),
        ("responses", {"tools": [{"type": "mcp", "server_url": "http://x"}]}, "tools[0].type"),
        ("responses", {"max_tokens_to_sample": 5}, "max_tokens_to_sample"),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
    ],
)
def test_what_cannot_pass_is_refused_by_name(
    endpoint: str, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError) as refused:
        read(endpoint, **{**BODIES[endpoint], **fields})
    assert refused.value.refusal.param == param
    assert refused.value.refusal.status == 400


def test_a_cap_that_nobody_named_is_the_interfaces_own_or_the_gateways() -> None:
    few = read("completions", model="m", prompt="p")
    assert way("completions").request(few, "t", 500, force_usage=False)["max_tokens"] == 16
    assert way("completions").request(few, "t", 9, force_usage=False)["max_tokens"] == 9
    response = read("responses", model="m", input="p")
    written = way("responses").request(response, "t", 500, force_usage=False)
    assert written["max_output_tokens"] == 500


def test_answers_of_several_prompts_are_counted() -> None:
    assert read("completions", model="m", prompt=["a", "b"], n=3).completions == 6
    assert read("embeddings", model="m", input="a").completions == 0


def test_counting_is_not_sending() -> None:
    body: dict[str, Any] = {"model": "m", "messages": [USER], "system": "Be brief."}
    request = read("count_tokens", "anthropic", **body)
    assert texts_of(request) == [("system", "Be brief."), ("user", USER["content"])]
    written = way("count_tokens", "anthropic").request(request, "t", 100, force_usage=False)
    assert written == {**body, "model": "t"}
    answer = way("count_tokens", "anthropic").answer({"input_tokens": 12}, b"{}")
    assert answer.usage == Usage()
    with pytest.raises(RequestError):
        read("count_tokens", "anthropic", **body, max_tokens=5)


@pytest.mark.parametrize("endpoint", ["embeddings", "completions"])
def test_another_dialect_has_no_such_interface(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        translator("openai", "anthropic", endpoint)
    with pytest.raises(RequestError):
        DIALECTS["anthropic"].read_request(endpoint, BODIES[endpoint])


def test_a_failed_response_is_a_providers_error() -> None:
    failed = {"status": "failed", "output": [], "error": {"code": "server_error", "message": "Oh"}}
    refusal = way("responses").answer(failed, b"").refusal
    assert refusal is not None
    assert (refusal.reason, refusal.status, refusal.code) == ("provider_error", 502, "server_error")


# ---------------------------------------------------------------------------- streams


def streamed(endpoint: str, **fields: Any) -> list[bytes]:
    events = SIMULATED[endpoint]({**BODIES[endpoint], "stream": True, **fields}, "5eed", 6)
    assert not isinstance(events, bytes)
    return list(events)


def documents_in(data: bytes) -> list[dict[str, Any]]:
    lines = [line for line in data.split(b"\n") if line.startswith(b"data: {")]
    return [orjson.loads(line[6:]) for line in lines]


@pytest.mark.parametrize("cut", [1, 7, 4096])
@pytest.mark.parametrize("endpoint", ["completions", "responses"])
def test_a_stream_passes_byte_for_byte_in_any_cut(endpoint: str, cut: int) -> None:
    data = b"".join(streamed(endpoint))
    request = read(endpoint, **BODIES[endpoint], stream=True)
    reader, writer = way(endpoint).reader(), way(endpoint).writer(request)
    chunks: list[Chunk] = []
    for start in range(0, len(data), cut):
        chunks += reader.feed(data[start : start + cut], last=False)
    chunks += reader.feed(b"", last=True)
    assert b"".join(map(writer.write, chunks)) == data
    events = [event for chunk in chunks for event in chunk.events]
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert said == {
        "completions": "once upona time", "responses": "You said: My name is Rosalind Quill.",
    }[endpoint]  # fmt: skip
    assert sum(isinstance(event, Stop) for event in events) == (
        2 if endpoint == "completions" else 1
    )
    assert sum(isinstance(event, End) for event in events) == 1


class _Shout:
    """Holds all text until it is over; then it leaves in capitals."""

    def __init__(self, delta: TextDelta) -> None:
        self._held: list[str] = []

    @property
    def pending(self) -> bool:
        return bool(self._held)

    def push(self, text: str, *, final: bool) -> Step:
        self._held.append(text)
        if not final:
            return Step("")
        said, self._held = "".join(self._held).upper(), []
        return Step(said)


def through(endpoint: str, data: bytes, **fields: Any) -> bytes:
    """A stream behind a filter that holds and changes every text."""
    request = read(endpoint, **{**BODIES[endpoint], **fields}, stream=True)
    reader, writer = way(endpoint).reader(), way(endpoint).writer(request)
    window = ChunkFilter(_Shout)
    leaving = window.push(reader.feed(data, last=True), last=True).chunks
    return b"".join(map(writer.write, leaving))


def test_whatever_repeats_a_text_repeats_what_a_guard_let_go() -> None:
    said = documents_in(through("responses", b"".join(streamed("responses"))))
    secret, shown = "Rosalind", "YOU SAID: MY NAME IS ROSALIND QUILL."
    assert all(secret not in orjson.dumps(event).decode() for event in said)
    kinds = [event["type"] for event in said]
    deltas = [e["delta"] for e in said if e["type"] == "response.output_text.delta"]
    assert "".join(deltas) == shown
    assert kinds.index("response.output_text.delta") < kinds.index("response.output_text.done")
    by_kind = {event["type"]: event for event in said}
    assert by_kind["response.output_text.done"]["text"] == shown
    assert by_kind["response.content_part.done"]["part"]["text"] == shown
    assert by_kind["response.output_item.done"]["item"]["content"][0]["text"] == shown
    last = by_kind["response.completed"]["response"]
    assert last["output"][0]["content"][0]["text"] == shown
    assert last["usage"]["output_tokens"] > 0
    assert [event["sequence_number"] for event in said] == list(range(len(said)))


def test_arguments_of_calls_are_held_and_repeated_alike() -> None:
    tool = {"type": "function", "name": "weather", "parameters": {"properties": {"city": {}}}}
    fields = {"tools": [tool], "input": [{"role": "user", "content": "the weather in both"}]}
    said = documents_in(through("responses", b"".join(streamed("responses", **fields)), **fields))
    done = [e["item"] for e in said if e["type"] == "response.output_item.done"]
    assert [item["arguments"] for item in done] == ['{"CITY":"PARIS"}', '{"CITY":"ROME"}']
    arguments = [e for e in said if e["type"] == "response.function_call_arguments.done"]
    assert [event["arguments"] for event in arguments] == ['{"CITY":"PARIS"}', '{"CITY":"ROME"}']
    assert [e["output_index"] for e in said if e["type"].endswith("arguments.delta")] == [0, 1]


def test_changed_completions_keep_their_shape() -> None:
    said = documents_in(through("completions", b"".join(streamed("completions"))))
    texts: dict[int, str] = {}
    for event in said:
        assert event["object"] == "text_completion"
        for choice in event["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    assert texts == {0: "ONCE UPON", 1: "A TIME"}


@pytest.mark.parametrize("left", [3, 6, 9])
def test_a_response_that_a_rule_ends_is_told_as_incomplete(left: int) -> None:
    request = read("responses", **BODIES["responses"], stream=True)
    reader, writer = way("responses").reader(), way("responses").writer(request)
    chunks = reader.feed(b"".join(streamed("responses")[:left]), last=False)
    written = b"".join(map(writer.write, chunks)) + writer.stop() + writer.stop()
    last = documents_in(written)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "content_filter"}
    texts = [
        part["text"] for item in last["response"]["output"] for part in item.get("content") or ()
    ]
    said = "You said: My name is Rosalind Quill."
    assert all(said.startswith(text) for text in texts)
    assert last["response"]["id"] == "resp_5eed"


def test_an_error_is_told_once_in_the_words_of_responses() -> None:
    request = read("responses", **BODIES["responses"], stream=True)
    writer = way("responses").writer(request)
    refusal = refuse("provider_stream_incomplete", "It ended early.")
    (event,) = documents_in(writer.error(refusal) + writer.error(refusal))
    assert (event["type"], event["message"]) == ("error", "It ended early.")


def test_text_that_comes_where_no_guard_looks_breaks_the_stream() -> None:
    reader = way("responses").reader()
    item = {"type": "message", "content": [{"type": "output_text", "text": "smuggled"}]}
    for event in (
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.new_kind.delta", "output_index": 0, "delta": "smuggled"},
    ):
        (chunk,) = reader.feed(b"data: " + orjson.dumps(event) + b"\n\n", last=False)
        assert chunk.raw is None
        assert chunk.document is None


def test_the_end_of_a_response_tells_usage_and_reason() -> None:
    reader = way("responses").reader()
    events = [
        event
        for chunk in reader.feed(b"".join(streamed("responses", max_output_tokens=2)), last=True)
        for event in chunk.events
    ]
    assert [e.reason for e in events if isinstance(e, Stop)] == ["length"]
    assert [e.usage.completion_tokens for e in events if isinstance(e, UsageReport)] == [2]
    assert BlockEnd(0) in events
