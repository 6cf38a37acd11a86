"""What OpenAI's models say aloud and what they cite: guards read it, whole and in streams."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway_extproc.core.chat import StreamError, TextDelta
from gateway_extproc.providers.translate import translator
from providers.samples import chunk, chunks, read
from support import bodies, flow
from support.parts import Bench

ADDRESS = "ada@example.org"
_PLACE: dict[str, Any] = {
    "start_index": 0, "end_index": 4, "title": "A page", "url": "https://example.org/a",
}  # fmt: skip
CITED = {"type": "url_citation", "url_citation": _PLACE}


def _answer(**message: Any) -> bytes:
    return orjson.dumps({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": None, **message}}],
    })  # fmt: skip


def _titled(title: str, **more: Any) -> dict[str, Any]:
    return {**CITED, "url_citation": {**_PLACE, "title": title, **more}}


async def _told(bench: Bench, answer: bytes) -> tuple[int, dict[str, Any]]:
    exchange, decision = await flow.ask(bench, bodies.chat())
    assert decision.answer is None
    _, at_body = await flow.answer(bench, exchange, answer)
    if at_body.answer is not None:
        return at_body.answer.status, orjson.loads(at_body.answer.body)
    return 200, orjson.loads(at_body.body or answer)


async def test_sound_goes_where_its_words_were_changed(bench: Bench) -> None:
    audio = {"id": "audio_1", "data": "UklGRg==", "expires_at": 9, "transcript": "All is well."}
    _, plain = await _told(bench, _answer(audio=audio))
    assert plain["choices"][0]["message"]["audio"] == audio
    spoken = {**audio, "transcript": f"Write to {ADDRESS} then."}
    _, told = await _told(bench, _answer(audio=spoken))
    said = told["choices"][0]["message"]["audio"]
    assert ADDRESS not in said["transcript"]
    assert said["transcript"].startswith("Write to ")
    assert said["data"] is None
    status, refused = await _told(bench, _answer(audio={**audio, "transcript": "forbidden zebra"}))
    assert (status, refused["error"]["code"]) == (400, "answer_blocked")


async def test_titles_and_addresses_of_citations_are_read(bench: Bench) -> None:
    _, told = await _told(bench, _answer(content="See.", annotations=[_titled(f"By {ADDRESS}")]))
    cited = told["choices"][0]["message"]["annotations"][0]["url_citation"]
    assert ADDRESS not in cited["title"]
    assert cited["url"] == "https://example.org/a"
    status, _ = await _told(
        bench, _answer(content="See.", annotations=[_titled("forbidden zebra")])
    )
    assert status == 400


async def _streamed(bench: Bench, *deltas: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    exchange, _ = await flow.ask(bench, bodies.chat(stream=True))
    await flow.answer_headers(bench, exchange, headers=flow.EVENTS)
    pipeline = bench.pipeline()
    out = b""
    events = [chunk(delta) for delta in deltas] + [chunk({}, "stop")]
    stream = [b"data: %b\n\n" % orjson.dumps(event) for event in events] + [b"data: [DONE]\n\n"]
    for number, piece in enumerate(stream):
        decision = await pipeline.response_body(exchange, piece, last=number == len(stream) - 1)
        out += piece if decision.body is None else decision.body
    lines = [line[6:] for line in out.decode().split("\n\n") if line.startswith("data: {")]
    return out.decode(), [orjson.loads(line) for line in lines]


async def test_citations_in_a_stream_stay_whole_and_are_read(bench: Bench) -> None:
    two = [_titled("A page of ada@"), _titled("example.org", url="https://example.org/b")]
    text, events = await _streamed(
        bench, {"content": "As ada@exa"}, {"annotations": two}, {"content": "mple.org says."}
    )
    told = [c["delta"]["annotations"] for e in events for c in e["choices"]
            if "annotations" in c["delta"]]  # fmt: skip
    assert told == [two]  # two texts are no address, and neither holds the other back
    said = "".join(c["delta"].get("content") or "" for e in events for c in e["choices"])
    assert ADDRESS not in said
    assert said.startswith("As ")
    assert said.endswith(" says.")
    assert "[DONE]" in text


async def test_a_rule_changes_or_ends_a_stream_by_what_it_cites(bench: Bench) -> None:
    text, events = await _streamed(
        bench, {"content": "Look."}, {"annotations": [_titled(f"By {ADDRESS}")]}
    )
    assert ADDRESS not in text
    (cited,) = [c["delta"]["annotations"] for e in events for c in e["choices"]
                if "annotations" in c["delta"]]  # fmt: skip
    assert cited[0]["url_citation"]["url"] == "https://example.org/a"
    text, events = await _streamed(
        bench, {"content": "Look."}, {"annotations": [_titled("forbidden zebra")]},
        {"content": "more"},
    )  # fmt: skip
    assert "zebra" not in text
    assert events[-1]["choices"][0]["finish_reason"] == "content_filter"


def test_sound_in_a_stream_cannot_be_read_in_time() -> None:
    stream = b"data: %b\n\n" % orjson.dumps(chunk({"audio": {"id": "a", "data": "UklG"}}))
    found = chunks(translator("openai", "openai", "chat").reader(), [stream])
    assert [type(event) for one in found for event in one.events][-1] is StreamError
    assert all(one.raw is None for one in found)


@pytest.mark.parametrize("client", ["anthropic", "gemini"])
def test_clients_of_other_dialects_are_told_no_citations(client: str) -> None:
    endpoint = {"anthropic": "messages", "gemini": "generate_content"}[client]
    stream = b"data: %b\n\n" % orjson.dumps(chunk({"annotations": [CITED]}))
    found = chunks(translator(client, "openai", endpoint).reader(), [stream])
    assert not [e for one in found for e in one.events if isinstance(e, TextDelta)]


def test_where_a_search_begins_is_a_text() -> None:
    asked = read("openai", {
        "model": "m", "messages": [{"role": "user", "content": "x"}],
        "web_search_options": {"user_location": {"approximate": {"city": "Oslo"}}},
    })  # fmt: skip
    assert ("web_search_options", "user_location", "approximate", "city") in [
        at.path for at in asked.texts
    ]
