"""Streams of every dialect in every framing and every cut mean, and are written, the same."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.core.chat import Chunk, End, StreamError, StreamEvent
from gateway_extproc.core.ports import Translator
from gateway_extproc.providers.gemini.reader import GeminiReader
from gateway_extproc.providers.jsonarray import BrokenArray, JsonArrayParser
from gateway_extproc.providers.translate import translator
from providers.gemini_samples import GEMINI_DOCUMENTS, GEMINI_STREAM, GEMINI_TOOLS
from providers.samples import (
    ANTHROPIC_REQUEST,
    ANTHROPIC_STREAM,
    OPENAI_REQUEST,
    OPENAI_STREAM,
    read,
)
from providers.test_bedrock import STREAM as BEDROCK_STREAM

STREAMS: Final = {
    "openai": OPENAI_STREAM,
    "anthropic": ANTHROPIC_STREAM,
    "gemini": GEMINI_STREAM.replace(b"\r\n", b"\n"),
    "vertex": GEMINI_STREAM.replace(b"\r\n", b"\n"),
}
ASKED: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "openai": ("chat", {**OPENAI_REQUEST, "stream_options": {"include_usage": True}}),
    "anthropic": ("messages", ANTHROPIC_REQUEST),
    "gemini": ("generate_content", {**GEMINI_TOOLS, "alt": "sse"}),
}
PAIRS: Final = [(client, provider) for client in ASKED for provider in STREAMS]


def _multi_line(stream: bytes) -> bytes:
    """Each document over several ``data`` lines: their breaks are blanks of JSON."""

    def spread(found: re.Match[bytes]) -> bytes:
        text = orjson.dumps(orjson.loads(found[1]), option=orjson.OPT_INDENT_2)
        return b"\n".join(b"data: " + line for line in text.split(b"\n"))

    return re.sub(rb"^data: (\{.*\})$", spread, stream, flags=re.MULTILINE)


def _commented(stream: bytes) -> bytes:
    """Comments, ids and reconnection times, alone and inside of events."""
    stream = stream.replace(b"data:", b": keep-alive\nid: 7\nretry: 100\ndata:")
    return b":\n\n: OPENROUTER PROCESSING\n\n" + stream.replace(b"\n\n", b"\n\n:\n\n")


VARIANTS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "as it is": lambda stream: stream,
    "CRLF": lambda stream: stream.replace(b"\n", b"\r\n"),
    "CR": lambda stream: stream.replace(b"\n", b"\r"),
    "mixed line ends": lambda stream: stream.replace(b"\n\n", b"\r\n\n").replace(b"}\n", b"}\r"),
    "no space": lambda stream: re.sub(rb"^(data|event): ", rb"\1:", stream, flags=re.MULTILINE),
    "comments": _commented,
    "several lines": _multi_line,
    "several lines, CRLF": lambda stream: _multi_line(stream).replace(b"\n", b"\r\n"),
    "blank lines": lambda stream: b"\n\n" + stream.replace(b"\n\n", b"\n\n\n\n"),
    "a byte order mark": lambda stream: b"\xef\xbb\xbf" + stream,
    "no last line": lambda stream: stream.rstrip(b"\n"),
    "one last break": lambda stream: stream.rstrip(b"\n") + b"\n",
    "UTF-8 as escapes": lambda stream: re.sub(
        "[^\x00-\x7f]", lambda found: f"\\u{ord(found[0]):04x}", stream.decode()
    ).encode(),
}
DONES: Final = {
    "no space": b"data:[DONE]\n\n",
    "blanks": b"data: [DONE]  \n\n",
    "CRLF": b"data: [DONE]\r\n\r\n",
    "nothing behind": b"data: [DONE]",
    "one break": b"data: [DONE]\n",
    "named": b"event: done\ndata: [DONE]\n\n",
    "twice": b"data: [DONE]\n\ndata: [DONE]\n\n",
}


def cuts(stream: bytes, seed: int = 7) -> Iterator[list[bytes]]:
    """Whole, byte by byte, event by event, in twos of events, and at random places."""
    yield [stream]
    yield [bytes([byte]) for byte in stream]
    yield re.split(rb"(?<=\n\n)", stream)
    yield re.split(rb"(?<=\n\n)(?=.*?\n\n)", stream)
    chance = random.Random(seed)
    for _ in range(6):
        places = [0, *sorted(chance.choices(range(len(stream) + 1), k=9)), len(stream)]
        yield [stream[a:b] for a, b in itertools.pairwise(places)]


def way(client: str, provider: str) -> Translator:
    return translator(client, provider, ASKED[client][0], lambda: 17)


def told(client: str, provider: str, pieces: list[bytes]) -> tuple[list[StreamEvent], bytes]:
    """The events of a stream, and what its client is written when each is written anew."""
    reader = way(client, provider).reader()
    endpoint_document = {**ASKED[client][1], "stream": True}
    writer = way(client, provider).writer(read(client, endpoint_document))
    events: list[StreamEvent] = []
    out = b""
    for number, piece in enumerate([*pieces, b""]):
        for chunk in reader.feed(piece, last=number == len(pieces)):
            events += chunk.events
            if chunk.events or client != provider:
                out += writer.write(Chunk(None, chunk.document, chunk.events))
    return events, out


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_framing_and_cuts_change_nothing(client: str, provider: str, variant: str) -> None:
    expected = told(client, provider, [STREAMS[provider]])
    assert isinstance(expected[0][-1], End)
    for pieces in cuts(VARIANTS[variant](STREAMS[provider])):
        assert told(client, provider, pieces) == expected


@pytest.mark.parametrize("done", DONES)
@pytest.mark.parametrize("client", ASKED)
def test_every_spelling_of_the_end_mark_ends_a_stream(client: str, done: str) -> None:
    stream = OPENAI_STREAM.removesuffix(b"data: [DONE]\n\n")
    events, written = told(client, "openai", [OPENAI_STREAM])
    for pieces in cuts(stream + DONES[done]):
        found, out = told(client, "openai", pieces)
        ends = found[len(events) - 1 :]
        assert found[: len(events)] == events
        assert all(isinstance(event, End) for event in ends)
        assert out.startswith(written)
        assert out.count(b"[DONE]") <= max(1, written.count(b"[DONE]"), DONES[done].count(b"[D"))


@pytest.mark.parametrize("mark", [b"", b"data: [done]\n\n", b"data: DONE\n\n", b": [DONE]\n\n"])
def test_without_the_end_mark_a_stream_is_not_complete(mark: bytes) -> None:
    stream = OPENAI_STREAM.removesuffix(b"data: [DONE]\n\n") + mark
    for pieces in cuts(stream):
        events, _ = told("anthropic", "openai", pieces)
        assert not any(isinstance(event, End) for event in events)


@pytest.mark.parametrize("client", ASKED)
def test_bedrocks_messages_in_any_cut_are_written_the_same(client: str) -> None:
    expected = told(client, "bedrock", [BEDROCK_STREAM])
    for pieces in cuts(BEDROCK_STREAM):
        assert told(client, "bedrock", pieces) == expected


# -------------------------------------------------------------------- arrays of Google's

ARRAYS: Final = {
    "compact": orjson.dumps(GEMINI_DOCUMENTS),
    "as Google": b"[" + b",\r\n".join(
        orjson.dumps(one, option=orjson.OPT_INDENT_2) for one in GEMINI_DOCUMENTS
    ) + b"\r\n]\r\n",
    "blanks around": b"\n \t[ " + b" ,\n ".join(map(orjson.dumps, GEMINI_DOCUMENTS)) + b" ] \n",
}  # fmt: skip


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize(("client", "provider"), [
    (client, provider) for client in ASKED for provider in ("gemini", "vertex")
])  # fmt: skip
def test_an_array_says_what_events_say(client: str, provider: str, array: str) -> None:
    expected = told(client, provider, [STREAMS[provider]])
    for pieces in cuts(ARRAYS[array]):
        assert told(client, provider, pieces) == expected


def test_an_array_becomes_events_for_clients_of_its_own_dialect() -> None:
    for array in ARRAYS.values():
        chunks = GeminiReader().feed(array, last=True)
        assert b"".join(chunk.raw or b"" for chunk in chunks) == GEMINI_STREAM


def test_each_object_is_told_as_soon_as_it_is_there() -> None:
    reader = GeminiReader()
    assert not reader.feed(b"[", last=False)
    for number, document in enumerate(GEMINI_DOCUMENTS):
        text = (b"," if number else b"") + orjson.dumps(document)
        assert not reader.feed(text[:-1], last=False)
        (chunk,) = reader.feed(text[-1:], last=False)
        assert chunk.document == document


@pytest.mark.parametrize("broken", [
    ARRAYS["compact"][:-1],
    ARRAYS["compact"][:-9],
    ARRAYS["compact"][:200],
    b"[",
])  # fmt: skip
def test_an_array_that_is_not_closed_has_no_end(broken: bytes) -> None:
    for pieces in cuts(broken):
        events, _ = told("openai", "gemini", pieces)
        assert not any(isinstance(event, End) for event in events)


@pytest.mark.parametrize("wrong", [
    b'[{"a":1} {"b":2}]', b'[{"a":1},]', b"[7]", b'["text"]', b"[[{}]]", b'[{"a":1}]x', b"[,{}]",
    b"{}{}", b'[{"a":"\\q"}]', b"[{]", b"[null]",
])  # fmt: skip
def test_what_is_no_array_of_objects_does_not_pass(wrong: bytes) -> None:
    for pieces in cuts(wrong):
        reader = GeminiReader()
        chunks = [chunk for piece in pieces for chunk in reader.feed(piece, last=False)]
        chunks += reader.feed(b"", last=True)
        events = [event for chunk in chunks for event in chunk.events]
        if wrong != b"[{]":  # it waits for its end
            assert any(isinstance(event, StreamError) for event in events)
        assert not any(isinstance(event, End) for event in events)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\{}[],: €\n', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner,
                                                                 max_size=3),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(st.text('x"\\[', max_size=3), _VALUES, max_size=3), max_size=5),
       st.booleans(), st.data())  # fmt: skip
def test_any_array_of_objects_is_cut_into_them(
    objects: list[dict[str, Any]], pretty: bool, data: st.DataObject
) -> None:
    stream = orjson.dumps(objects, option=orjson.OPT_INDENT_2 if pretty else None)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    for cut in (pieces, [bytes([byte]) for byte in stream]):
        parser = JsonArrayParser()
        found = [orjson.loads(one) for piece in cut for one in parser.feed(piece)]
        assert found == objects
        assert parser.complete


def test_an_object_over_the_bound_ends_the_reading() -> None:
    parser = JsonArrayParser(limit=50)
    with pytest.raises(BrokenArray) as caught:
        parser.feed(b'[{"a":1},{"b":"' + b"x" * 60)
    assert caught.value.objects == (b'{"a":1}',)
