"""Questions in other words: given the same answer, within one tenant and one conversation only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway_extproc.config.caching import SemanticCache
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.meaning.model import SentenceModel, ThreadMeanings
from gateway_extproc.meaning.verify import said
from gateway_extproc.stages.likeness import FAMILY_QUESTIONS, Likeness, Question
from support import bodies, config, flow
from support.config import BOB, VIC
from support.parts import Bench, make_bench

ASKED = "How do I convert a list to a tuple in Python?"
LIKE = "How can I convert a list to a tuple in Python?"
SETTINGS = SemanticCache(wait_ms=1000)


@cache
def model() -> SentenceModel:
    return SentenceModel()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    shared = {"shared": [{"id": "all", "tenants": ["acme", "beta"]}]}
    sections = config.document(cache={**shared, "wait_s": 0})
    for entry in sections["models"]:
        entry["cache_ttl_s"] = 60
    made = make_bench(tmp_path, **sections)
    meanings = ThreadMeanings(model, 16, 30.0)
    meanings.wait()
    answers = replace(made.parts.answers, likeness=Likeness(meanings, SETTINGS))
    stages = {"cache": answers.cache(made.parts.snapshot)}
    made.stages = [stages.get(stage.name, stage) for stage in made.stages]
    yield made
    meanings.close()
    made.close()


def turn(text: str, system: str = "Be brief.", **more: Any) -> bytes:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return bodies.chat(messages=messages, **more)


async def answered(bench: Bench, body: bytes, text: str = "Use tuple().", **asked: Any) -> None:
    exchange, decision = await flow.ask(bench, body, **asked)
    assert decision.answer is None
    await flow.answer(bench, exchange, bodies.completion(text))


async def given(bench: Bench, body: bytes, **asked: Any) -> Exchange:
    exchange, _ = await flow.ask(bench, body, **asked)
    await bench.pipeline().close(exchange)
    return exchange


async def test_the_same_in_other_words_is_given_the_same_answer(bench: Bench) -> None:
    await answered(bench, turn(ASKED))
    exchange, decision = await flow.ask(bench, turn(LIKE))
    assert decision.answer is not None
    assert b"Use tuple()." in decision.answer.body
    note = exchange.cache
    assert note is not None
    assert note.kind == "semantic"
    assert SETTINGS.threshold <= note.similarity <= 1.0
    assert dict(decision.answer.headers)["x-gateway-cache-kind"] == "semantic"
    assert exchange.saved_nanos > 0


async def test_who_wants_only_the_exact_text_is_asked_for_anew(bench: Bench) -> None:
    await answered(bench, turn(ASKED))
    exchange = await given(bench, turn(LIKE), headers={"x-gateway-cache": "exact"})
    assert not exchange.cache_hit
    assert (await given(bench, turn(ASKED), headers={"x-gateway-cache": "exact"})).cache_hit


@pytest.mark.parametrize(
    "other",
    [
        turn(LIKE, system="Be verbose."),
        turn(LIKE, temperature=0),
        turn(LIKE, max_tokens=5),
        turn(LIKE, model="large"),
        turn(LIKE, tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}]),
        turn(LIKE, response_format={"type": "json_object"}),
        bodies.chat(LIKE),
        turn("How do I convert a tuple to a list in Python?"),
        turn("How do I not convert a list to a tuple in Python?"),
    ],
)
async def test_only_the_last_turn_may_differ_and_only_in_words(bench: Bench, other: bytes) -> None:
    await answered(bench, turn(ASKED))
    assert not (await given(bench, other)).cache_hit


async def test_an_earlier_turn_that_differs_is_another_conversation(bench: Bench) -> None:
    def talk(first: str, last: str) -> bytes:
        messages = [
            {"role": "user", "content": first},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": last},
        ]
        return bodies.chat(messages=messages)

    await answered(bench, talk("Do you know Python?", ASKED))
    assert (await given(bench, talk("Do you know Python?", LIKE))).cache_hit
    assert not (await given(bench, talk("Do you know Rust?", LIKE))).cache_hit


async def test_likeness_stays_within_a_tenant_even_where_answers_are_shared(bench: Bench) -> None:
    await answered(bench, turn(ASKED))
    assert (await given(bench, turn(ASKED), key=BOB)).cache_hit
    assert not (await given(bench, turn(LIKE), key=BOB)).cache_hit
    assert (await given(bench, turn(LIKE), key=VIC)).cache_hit


async def test_a_stream_is_given_a_like_answer_too(bench: Bench) -> None:
    await answered(bench, turn(ASKED))
    _, decision = await flow.ask(bench, turn(LIKE, stream=True))
    assert decision.answer is not None
    assert decision.answer.body.endswith(b"data: [DONE]\n\n")


async def test_a_turn_of_one_text_part_is_compared_as_well(bench: Bench) -> None:
    def parts(text: str) -> bytes:
        return bodies.chat(messages=[{"role": "user", "content": [{"type": "text", "text": text}]}])

    await answered(bench, parts(ASKED))
    assert (await given(bench, parts(LIKE))).cache_hit


@pytest.mark.parametrize(
    "content",
    [
        "x" * 401,
        [{"type": "text", "text": LIKE}, {"type": "text", "text": "and more"}],
        [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}],
        " ",
    ],
)
async def test_what_is_no_short_text_is_not_compared(bench: Bench, content: Any) -> None:
    body = bodies.chat(messages=[{"role": "user", "content": content}])
    exchange = await given(bench, body)
    assert exchange.cache is not None
    assert exchange.cache.learn is None


async def test_an_answer_that_is_not_kept_teaches_nothing(bench: Bench) -> None:
    exchange, _ = await flow.ask(bench, turn(ASKED))
    await flow.answer(bench, exchange, bodies.completion("ask jane@example.org"))
    assert not (await given(bench, turn(LIKE))).cache_hit


async def test_a_question_whose_answer_is_gone_finds_nothing(bench: Bench) -> None:
    await answered(bench, turn(ASKED))
    bench.clock.advance(61)
    assert not (await given(bench, turn(LIKE))).cache_hit


# ------------------------------------------------------------------------------ memory


class Nobody:
    async def vector(self, text: str) -> None:
        return None


def question(family: bytes, number: int, width: int = 4) -> Question:
    vector = np.zeros(width, dtype=np.float32)
    vector[number % width] = 1
    return Question(family, said(f"word{number}"), vector)


def test_the_family_that_was_used_longest_ago_goes_first() -> None:
    memory = Likeness(Nobody(), SemanticCache(max_questions=10))
    for number in range(8):
        memory.learn(question(b"one", number), b"key%d" % number)
    memory.learn(question(b"two", 0), b"other")
    assert memory.find(question(b"one", 1))
    for number in range(3):
        memory.learn(question(b"three", number), b"key%d" % number)
    assert memory.find(question(b"one", 1)) or memory.find(question(b"three", 1))
    assert not memory.find(question(b"two", 0))


def test_a_family_forgets_its_oldest_question() -> None:
    memory = Likeness(Nobody(), SemanticCache(max_questions=10 * FAMILY_QUESTIONS))
    rare = [0, 1, FAMILY_QUESTIONS]
    for number in range(FAMILY_QUESTIONS + 1):
        vector = np.zeros(8, dtype=np.float32)
        vector[rare.index(number) if number in rare else 7] = 1
        memory.learn(Question(b"f", said(f"word{number}"), vector), b"key%d" % number)

    def found(number: int) -> bool:
        vector = np.zeros(8, dtype=np.float32)
        vector[rare.index(number)] = 1
        return bool(memory.find(Question(b"f", said(f"word{number}"), vector)))

    assert [found(number) for number in rare] == [False, True, True]


def test_a_question_is_learnt_once() -> None:
    memory = Likeness(Nobody(), SemanticCache(max_questions=2))
    for _ in range(5):
        memory.learn(question(b"one", 1), b"key")
    memory.learn(question(b"two", 1), b"other")
    assert memory.find(question(b"one", 1))


async def test_without_a_vector_nothing_is_compared() -> None:
    assert await Likeness(Nobody(), SemanticCache()).ask(b"f", "How?") is None
