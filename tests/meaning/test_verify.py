"""Two questions that differ in what matters are never the same, whatever a model says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.meaning.lexicon import EMPTY, MODALS, NEGATIONS
from gateway_extproc.meaning.verify import differ, said, stem
from meaning.pairs import ROWS

QUESTIONS = sorted({text for row in ROWS for text in (row.question, *row.same)})
NEAR = [(row.question, kind, text) for row in ROWS for kind, text in row.other]


def same(one: str, two: str) -> bool:
    return not differ(said(one), said(two))


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_the_same_as_itself(question: str) -> None:
    assert same(question, question)
    assert same(question, f"  Please {question[0].lower()}{question[1:]} ")


@pytest.mark.parametrize(("question", "kind", "other"), NEAR)
def test_a_near_miss_is_another_question(question: str, kind: str, other: str) -> None:
    assert not same(question, other)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Do I owe you money?", "Do you owe me money?"),
        ("Replace 'a' with 'b'", "Replace 'b' with 'a'"),
        ("Simplify a+b-c", "Simplify a-b+c"),
        ("What is Python?", "What does Python do?"),
        ("What is IT support?", "What is support?"),
        ("Book at 7 am", "Book at 7"),
        ("Is 👍 good?", "Is 👎 good?"),
        ("Send an email to Bob", "Find an email to Bob"),
        ("How do you work?", "How do I work?"),
        ("How do I move to the US?", "How do I move to us?"),
        ("Is the file too big?", "Is the file big?"),
        ("Was ist die Hauptstadt?", "Was ist nicht die Hauptstadt?"),
        ("巴黎在哪里", "东京在哪里"),
        ("Increase x by 5", "Increase x by -5"),
        ("What is 2^3?", "What is 3^2?"),
        ("Delete all files", "Delete files"),
        ("Who does John love?", "Who loves John?"),
        ("What can be eaten?", "What cannot be eaten?"),
        ("What happened on 2020-01-02?", "What happened on 2020-02-01?"),
        ("Convert 5 km to miles", "Convert 5 miles to km"),
        ("Who will win?", "Who won?"),
        ("Is Ann Bob's mother?", "Is Bob Ann's mother?"),
        ("Should I sell?", "Should I not sell?"),
        ("The server is down", "Is the server down?"),
    ],
)
def test_who_what_and_which_way_round_tell_questions_apart(one: str, two: str) -> None:
    assert not same(one, two)


def with_another_number(text: str) -> Iterator[str]:
    for match in re.finditer(r"\d+", text):
        for number in (int(match[0]) + 1, int(match[0]) * 10, 7):
            if str(number) != match[0]:
                yield f"{text[: match.start()]}{number}{text[match.end() :]}"


def test_another_number_is_never_the_same() -> None:
    changed = [(q, other) for q in QUESTIONS for other in with_another_number(q)]
    assert len(changed) > 50
    assert [pair for pair in changed if same(*pair)] == []


def test_a_negation_anywhere_is_never_the_same() -> None:
    changed = []
    for question in QUESTIONS:
        words = question.split()
        for at in range(1, len(words) + 1):
            for word in sorted(NEGATIONS):
                changed.append((question, " ".join([*words[:at], word, *words[at:]])))
    assert len(changed) > 30_000
    assert [pair for pair in changed if same(*pair)] == []


def content(question: str) -> list[str]:
    return [w for w in re.findall(r"[A-Za-z]+", question) if len(w) > 3 and w.lower() not in EMPTY]


def test_another_word_is_another_question() -> None:
    strangers = sorted({word for question in QUESTIONS for word in content(question)})
    tried = 0
    for question in QUESTIONS:
        for word in content(question):
            for stranger in strangers[::7]:
                if stem(stranger.lower()) == stem(word.lower()) or MODALS.keys() >= {
                    word.lower(),
                    stranger.lower(),
                }:
                    continue
                tried += 1
                other = re.sub(rf"\b{word}\b", stranger, question, count=1)
                assert not same(question, other), (question, other)
    assert tried > 10_000


def test_words_that_changed_places_make_another_question() -> None:
    tried = 0
    for question in QUESTIONS:
        read = said(question)
        nouns = [
            w for w in content(question) if stem(w.lower()) in {*read.core, *sum(read.bound, ())}
        ]
        for one, two in combinations(dict.fromkeys(nouns), 2):
            if stem(one.lower()) == stem(two.lower()):
                continue
            tried += 1
            places = {one: two, two: one}
            words = re.split(r"\b", question)
            other = "".join(places.get(word, word) for word in words)
            assert not same(question, other), (question, other)
    assert tried > 300


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert same(text, text)


@given(st.text(min_size=1), st.text(min_size=1))
def test_it_makes_no_difference_who_comes_first(one: str, two: str) -> None:
    assert same(one, two) == same(two, one)
