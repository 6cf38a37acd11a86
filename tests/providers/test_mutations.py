"""Whatever stands where in a document, the outcome is an answer or a refusal, never a crash."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.core.chat import Path
from gateway_extproc.core.document import replace_at
from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.ports import Translator
from gateway_extproc.providers.dropping import write
from gateway_extproc.providers.translate import DIALECTS, translator
from providers.cohere_samples import COHERE_ANSWER, COHERE_DOCUMENTS, COHERE_TOOLS
from providers.converse_samples import CONVERSE_ANSWER, CONVERSE_EVENTS, CONVERSE_TOOLS, event
from providers.gemini_samples import GEMINI_ANSWER, GEMINI_DOCUMENTS, GEMINI_TOOLS
from providers.samples import (
    ANTHROPIC_STREAM,
    LANGUAGES,
    OPENAI_STREAM,
    data,
    documents,
    named,
    read,
)
from providers.test_dropping import KNOBS
from providers.test_media import DOCUMENTS, FORMATS
from providers.test_read_request import ANTHROPIC_FULL, OPENAI_FULL
from providers.test_responses_over_hub import EVENTS, written
from providers.test_responses_over_hub import REQUEST as RESPONSES_TOOLS
from providers.test_responses_over_hub import documents as response_events
from providers.test_translate import (
    ANTHROPIC_ANSWER,
    ANTHROPIC_TOOLS,
    OPENAI_ANSWER,
    OPENAI_TOOLS,
)

PROVIDERS = (*DIALECTS, "openai:chat", "openai:responses")
RESPONSE: dict[str, Any] = response_events(written(EVENTS))[-1]["response"]


def way_of(client: str, provider: str) -> Translator:
    dialect, endpoint = LANGUAGES[client]
    return translator(dialect, provider, endpoint)


VALUES: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**18, "", "auto", "text", "function", "tool_use", "user"),
    *([], {}, [[]], [{}], [None], ["x"], {"type": "text"}, {"type": "x"}, {"index": 0}),
]


def places(node: Any, path: Path = ()) -> Iterator[Path]:
    for key, child in (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    ):
        yield (*path, key)
        yield from places(child, (*path, key))


NATIVE = {("openai", "openai:chat"), ("responses", "openai:responses")}


@st.composite
def mutated(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    all_places = list(places(document))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(all_places))
        try:
            document = replace_at(document, [(path, deepcopy(draw(st.sampled_from(VALUES))))])
        except (KeyError, IndexError, TypeError):
            continue  # the first change took the place of the second away
    mutant: dict[str, Any] = orjson.loads(orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS))
    return mutant


REQUESTS = [
    ("openai", OPENAI_TOOLS),
    ("openai", OPENAI_FULL),
    ("anthropic", ANTHROPIC_TOOLS),
    ("anthropic", ANTHROPIC_FULL),
    ("gemini", GEMINI_TOOLS),
    ("cohere", COHERE_TOOLS),
    ("bedrock", CONVERSE_TOOLS),
    ("responses", RESPONSES_TOOLS),
    *((client, {**DOCUMENTS[client], **FORMATS.get(client, {}), **KNOBS[client]})
      for client in DOCUMENTS),
]  # fmt: skip


@pytest.mark.parametrize(("client", "document"), REQUESTS)
@settings(max_examples=60, deadline=None)
@given(drawn=st.data())
def test_a_mutated_request_is_read_or_refused(
    client: str, document: dict[str, Any], drawn: st.DataObject
) -> None:
    document = drawn.draw(mutated(document))
    for provider in PROVIDERS:
        for drop in (False, True):
            refused: RequestError | None = None
            try:
                asked = read(client, document)
                way = way_of(client, provider)
                sent = write(way, asked, provider, "t", 5, drop=drop)
                orjson.dumps(sent.document)
            except RequestError as error:
                refused = error
            if refused is not None:
                assert refused.refusal.param


@pytest.mark.parametrize("client", list(LANGUAGES))
@pytest.mark.parametrize(
    ("provider", "document"),
    [
        ("openai:chat", OPENAI_ANSWER), ("anthropic", ANTHROPIC_ANSWER), ("gemini", GEMINI_ANSWER),
        ("openai:responses", RESPONSE), ("cohere", COHERE_ANSWER), ("bedrock", CONVERSE_ANSWER),
    ],
)  # fmt: skip
@settings(max_examples=60, deadline=None)
@given(drawn=st.data())
def test_a_mutated_answer_is_read_or_refused(
    client: str, provider: str, document: dict[str, Any], drawn: st.DataObject
) -> None:
    if client == "responses" and provider == "openai:responses":
        provider = "openai"
    release = way_of(client, provider).answer(drawn.draw(mutated(document)), b"raw")
    assert (release.refusal is None) == (release.document is not None)


@pytest.mark.parametrize("client", list(LANGUAGES))
@pytest.mark.parametrize(
    "provider", ["openai:chat", "openai:responses", "anthropic", "gemini", "cohere", "bedrock"]
)
@settings(max_examples=60, deadline=None)
@given(drawn=st.data())
def test_a_mutated_stream_is_written_or_reported(
    client: str, provider: str, drawn: st.DataObject
) -> None:
    streams = {"openai:chat": OPENAI_STREAM, "anthropic": ANTHROPIC_STREAM}
    others: dict[str, Any] = {
        "gemini": GEMINI_DOCUMENTS,
        "cohere": COHERE_DOCUMENTS,
        "bedrock": [document for _, document in CONVERSE_EVENTS],
        "openai:responses": response_events(written(EVENTS)),
    }
    found = documents(streams[provider]) if provider in streams else list(others[provider])
    index = drawn.draw(st.integers(0, len(found) - 1))
    found[index] = drawn.draw(mutated(found[index]))
    if provider == "anthropic":
        stream = b"".join(
            named(one) if isinstance(one.get("type"), str) else data(one) for one in found
        )
    elif provider == "bedrock":
        names = [name for name, _ in CONVERSE_EVENTS]
        stream = b"".join(event(name, one) for name, one in zip(names, found, strict=True))
    else:
        stream = data(*found)
    tools = {
        "openai": OPENAI_TOOLS, "anthropic": ANTHROPIC_TOOLS, "gemini": GEMINI_TOOLS,
        "responses": RESPONSES_TOOLS, "cohere": COHERE_TOOLS, "bedrock": CONVERSE_TOOLS,
    }  # fmt: skip
    base = tools[client]
    way = way_of(client, "openai" if (client, provider) in NATIVE else provider)
    writer = way.writer(read(client, {**base, "stream": True}))
    for one in way.reader().feed(stream, last=True):
        assert isinstance(writer.write(one), bytes)
        changed = type(one)(None, one.document, one.events)
        assert isinstance(writer.write(changed), bytes)
    assert isinstance(writer.stop(), bytes)
