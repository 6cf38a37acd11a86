"""What Hyperscan locates in long texts is what Python's ``re`` finds at every character."""

from __future__ import annotations

import random
import re

import pytest

from gateway_extproc.guards import births, links, network, numbers, phones
from gateway_extproc.guards.context import ContextWords
from gateway_extproc.guards.keyforms import HEX_KEYS
from gateway_extproc.guards.located import LONG_TEXT, Located
from gateway_extproc.guards.nationalids import NATIONAL_IDS
from gateway_extproc.guards.shapes import Shape

PIECES = (
    *"0123456789 .-()/+x,:é漢Az_\n", "+1 212", "00 49", "(0", "(212)", "555-0147", "0471 ", "001 ",
    "1.2.3.4", "255.", "v", "::", "fe80", "ab:", "ab:cd:", "DE89", "gb82 1234 ", "123-45-6789",
    "4111", "4111 ", "5555", "1800", "12345678Z", "AB123456C", "255081416802538", "86 095 742 719",
    "RSSMRA85T10A562S", "529.982.247-25", "2341 2341 2346", "130 692 544", "deadbeef" * 4, "-us2",
    "tel", "call", "phone number", "tax id ", "born ", "geboren am ", "電話", "Aadhaar ",
)  # fmt: skip
LOCATED = {
    "telephones": (phones._STRONG_NUMBER, phones._STRONG_NUMBERS),
    "version 4": (network._V4, network._V4S),
    "version 6": (network._V6, network._V6S),
    "social security numbers": (numbers._SSN, numbers._SSNS),
    "cards": (numbers._CARD_START, numbers._CARD_STARTS),
    "ibans": (numbers._IBAN_START, numbers._IBAN_STARTS),
}
SHAPES = [*(national.shape for national in NATIONAL_IDS), *HEX_KEYS.values()]
WORDS = [phones._WORDS, births._WORDS, *(each.words for each in NATIONAL_IDS if each.words)]


def long_text(seed: int, pieces: tuple[str, ...] = PIECES) -> str:
    rng = random.Random(seed)
    text = ""
    while len(text) < LONG_TEXT:
        text += "".join(rng.choices(pieces, k=400))
    return text


@pytest.mark.parametrize("name", LOCATED)
def test_the_same_matches_are_found(name: str) -> None:
    pattern, located = LOCATED[name]
    found = 0
    for seed in range(25):
        text = long_text(seed)
        expected = [(match.span(), match.groups()) for match in pattern.finditer(text)]
        assert [(match.span(), match.groups()) for match in located.finditer(text)] == expected
        found += len(expected)
    assert found >= 10


def test_more_places_than_are_listed_are_walked() -> None:
    pattern = re.compile("(?<![a-z])a(?=b)")
    text = "ab " * 30_000
    found = list(Located(pattern, {"[^a-z]ab": 2}).finditer(text))
    assert [match.start() for match in found] == list(range(0, len(text), 3))


@pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
def test_a_shape_is_found_at_the_same_places(shape: Shape) -> None:
    for seed in range(15):
        text = long_text(seed)
        # What follows the text's piece decides nothing in it, so that short pieces can be asked.
        pieces = [text[start : start + 2_000] for start in range(0, len(text), 2_000)]
        for piece in pieces:
            padded = piece + " " * LONG_TEXT
            assert shape.find(padded) == shape.find(piece)


@pytest.mark.parametrize("words", WORDS, ids=range(len(WORDS)))
def test_words_end_at_the_same_places(words: ContextWords) -> None:
    for seed in range(15):
        text = long_text(seed)
        for start in range(0, len(text), 2_000):
            piece = text[start : start + 2_000]
            assert set(words.ends(piece + " " * LONG_TEXT)) == set(words.ends(piece))


def test_addresses_are_located_by_what_stands_before_them() -> None:
    pieces = (
        "](", "](https://", "](//", "![a](", "https://", "//", "src=", 'src = "', "HREF='", "url(",
        "url('//", "xsrc=", "data=", "a.example/", "xxxx", " ", "\n", '"', ")", ">", "?q=abc", "é",
        "\u2003", "]:", "]: <", "background=  ",
    )  # fmt: skip
    for seed in range(40):
        text = long_text(seed, pieces)
        expected = [match.span() for match in links._FETCHED.finditer(text)]
        assert [
            match.span() for match in links._fetched(text, links._SCANNER.hits(text))
        ] == expected
