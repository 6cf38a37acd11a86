"""keep: what a provider says is gathered where policy may want it, and nowhere else."""

from __future__ import annotations

from gateway_extproc.core.chat import Chunk, TextAt, TextDelta
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.heard import HEARD_MAX, Heard, texts_of
from gateway_extproc.core.ports import Release
from gateway_extproc.core.verdict import CONTINUE
from gateway_extproc.stages.keep import Keep


def chunk(*events: TextDelta) -> Chunk:
    return Chunk(None, None, events)


async def heard(*arrivals: Release, wanted: bool = True) -> Heard | None:
    stage, exchange = Keep(lambda _: wanted), Exchange("POST", "/", {})
    assert await stage.response_headers(exchange) is CONTINUE
    for at, arrived in enumerate(arrivals):
        exchange.arrived = arrived
        last = at == len(arrivals) - 1
        assert await stage.response_body(exchange, b"", last=last) is CONTINUE
    return exchange.heard


async def test_a_whole_answers_texts_are_gathered() -> None:
    at = TextAt(("choices", 0, "message", "content"), "assistant", "Water.")
    found = await heard(Release(document={}, texts=(at,)))
    assert found is not None
    assert found.document_texts == (at,)


async def test_pieces_of_a_stream_join_by_their_place() -> None:
    found = await heard(
        Release(chunks=(chunk(TextDelta((0, "content"), "Wa")),)),
        Release(
            chunks=(
                chunk(
                    TextDelta((0, "tool"), '{"a', "arguments", 0),
                    TextDelta((0, "tool"), '{"b', "arguments", 1),
                ),
                chunk(TextDelta((0, "content"), "ter.")),
                chunk(TextDelta((0, "tool"), '":1}', "arguments", 0)),
            )
        ),
    )
    assert found is not None
    assert {at.path: at.text for at in texts_of(found.deltas)} == {
        (0, "content", "content"): "Water.",
        (0, "tool", 0, "arguments"): '{"a":1}',
        (0, "tool", 1, "arguments"): '{"b',
    }


async def test_what_nobody_wants_is_not_gathered() -> None:
    arrived = Release(chunks=(chunk(TextDelta((0, "content"), "x")),))
    assert await heard(arrived, wanted=False) is None


async def test_an_endless_answer_is_gathered_up_to_its_bound() -> None:
    piece = Release(chunks=(chunk(TextDelta((0, "content"), "x" * 100_000)),))
    found = await heard(*[piece] * 4)
    assert found is not None
    assert sum(len(event.text) for event in found.deltas) == HEARD_MAX
    assert found.missed == 400_000 - HEARD_MAX
