"""Answers that tell a request's system prompt.

A copy is known by runs of six words that stand in the system prompt in the same order and
not in what the user said.  A word may be left out here and there: the runs of a prompt are
also kept with gaps of up to two words, three in short ones.  It takes several such
runs from different places of the prompt: one alone may be a common phrase.  What is
so short that it has hardly more than one run is a copy with that one.

Words are compared without case and without what stands between them; hidden
characters must be taken out before.  Only hashes are kept: nothing here can print a prompt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from heapq import merge
from itertools import combinations, islice, repeat
from typing import Any, Final, NamedTuple

import numpy as np

from gateway_extproc.core.recent import Recent
from gateway_extproc.guards.wordhash import (
    WORD,
    Hashes,
    fold,
    hashes_of,
    read_folded,
)

RUN: Final = 6
"""Words of a run; one less than all words of a prompt shorter than eight."""
NEED: Final = 6
"""Runs from different places that make a copy, a third of all in short prompts."""
WORDS_MIN: Final = 4
"""Of a shorter system prompt nothing is looked for."""
WORDS_MAX: Final = 4_000
"""Words of a request's system texts that are looked for: the first ones."""
TEXTS_MAX: Final = 32
"""System texts that are told apart; more of them are one."""
RUNS_MAX: Final = 16_000
"""Runs of a prompt, those with gaps included."""
WITHIN: Final = 400
"""Words of an answer in which the runs of one copy stand."""
HITS_MAX: Final = 5_000
"""Runs of the prompt in one answer, wherever: who says so many is telling it."""

_STEP: Final = 24
"""Characters of a stream that are looked at together."""

_FACTOR: Final = 0x9E3779B97F4A7C15
_64: Final = (1 << 64) - 1
_SIEVE_BITS: Final = 16
_SIEVE_SHIFT: Final = np.uint64(64 - _SIEVE_BITS)


class Passage(NamedTuple):
    """The place of a copy in a slot's text: its first run begins, its last run ends."""

    start: int
    end: int


class _Place(NamedTuple):
    """Where a run stands: in which of the system texts, from which word on."""

    text: int
    word: int


class _Run(NamedTuple):
    """Words of an answer in a row: the index of the last one, how many, their hash."""

    last: int
    length: int
    value: int


def _ways(run: int, gaps: int) -> list[tuple[int, ...]]:
    """The offsets of a run's words with up to so many words left out between them."""
    return [
        (0, *inner, last)
        for last in range(run - 1, run + gaps)
        for inner in combinations(range(1, last), run - 2)
    ]


_GAPS: Final = ((40, 3), (600, 2), (WORDS_MAX, 0))
"""Words of a text, and how many may be left out of a run; long copies have enough whole ones."""
_WAYS: Final = {
    (run, gaps): _ways(run, gaps) for run in range(WORDS_MIN, RUN + 1) for _, gaps in _GAPS
}


class Prompt:
    """The runs of a request's system texts.

    The same for all requests with these texts, and worth keeping: see ``without``.
    """

    __slots__ = ("lengths", "needs", "places", "sieve")

    def __init__(self, system: Iterable[str]) -> None:
        self.places: dict[int, _Place] = {}
        self.needs: list[int] = []
        lengths: set[int] = set()
        room = WORDS_MAX
        texts = list(system)
        if len(texts) > TEXTS_MAX:
            texts = ["\n".join(texts)]
        for number, text in enumerate(texts):
            words = hashes_of(text)[:room]
            room -= len(words)
            run = min(RUN, max(WORDS_MIN, len(words) - 1))
            self.needs.append(min(NEED, max(1, (len(words) - run + 1) // 3)))
            if len(words) >= WORDS_MIN:
                lengths.add(run)
                self._add(number, words, run)
        self.lengths = tuple(sorted(lengths))
        self.sieve = _sieve(self.places)

    def __repr__(self) -> str:
        return f"Prompt({len(self.places)} runs)"

    def _add(self, number: int, words: Hashes, run: int) -> None:
        places = [_Place(number, word) for word in range(len(words))]
        gaps = next(gaps for most, gaps in _GAPS if len(words) <= most)
        if len(self.places) + len(words) * len(_WAYS[run, gaps]) > RUNS_MAX:
            gaps = 0
        for offsets in _WAYS[run, gaps]:
            count = len(words) - offsets[-1]
            if count > 0:
                parts = [words[offset : offset + count] for offset in offsets]
                for value, place in zip(_combine(parts).tolist(), places, strict=False):
                    self.places.setdefault(value, place)

    def without(self, texts: Iterable[str]) -> Prompt:
        """The prompt without what stands in these texts: who said it may hear it again."""
        runs = self.known_runs(hashes_of("\n".join(texts)))
        spoken = {self.places[run.value] for run in runs if run.value in self.places}
        if not spoken:
            return self
        rest = object.__new__(Prompt)
        rest.places = {run: place for run, place in self.places.items() if place not in spoken}
        rest.lengths, rest.needs, rest.sieve = self.lengths, self.needs, _sieve(rest.places)
        return rest

    def known_runs(self, words: Hashes) -> Iterable[_Run]:
        """The runs that may be of this prompt, in the order of their ends."""
        found: list[Iterator[_Run]] = []
        for run in self.lengths:
            count = len(words) - run + 1
            if count > 0:
                values = _combine([words[offset : offset + count] for offset in range(run)])
                at = np.nonzero(self.sieve[values >> _SIEVE_SHIFT])[0]
                ends: list[int] = (at + (run - 1)).tolist()
                found.append(map(_Run, ends, repeat(run), values[at].tolist()))
        return found[0] if len(found) == 1 else merge(*found)


def _combine(parts: Sequence[Hashes]) -> Hashes:
    """One hash of the words at the same index of the parts; a polynomial modulo 2**64."""
    value = parts[0]
    for part in parts[1:]:
        value = value * np.uint64(_FACTOR) + part
    return value


def _sieve(runs: Iterable[int]) -> Any:
    """A bit for the leading bits of each hash: nearly all runs of other texts fall through."""
    sieve: Any = np.zeros(1 << _SIEVE_BITS, dtype=bool)
    values = np.fromiter(runs, dtype=np.uint64)
    sieve[values >> _SIEVE_SHIFT] = True
    return sieve


class _Piece(NamedTuple):
    """Words in a row, kept to tell later where they stand."""

    number: int
    offset: int
    text: str

    def span(self, word: int) -> tuple[int, int]:
        """Start and end of a word in the slot's text."""
        found = next(islice(WORD.finditer(self.text), word - self.number, None))
        return self.offset + found.start(), self.offset + found.end()


class Leak:
    """Looks for a copy of a prompt in one text that comes piece by piece."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._reach = max(prompt.lengths, default=1) - 1
        self._done = not prompt.places
        self._length = 0
        self._number = 0
        self._hits = 0
        self._fresh = ""  # what was not looked at yet
        self._tail = ""  # the word before it that is not over, folded
        self._last: list[int] = []  # hashes of the words before it
        self._pieces: deque[_Piece] = deque()
        self._found: list[dict[int, int]] = [{} for _ in prompt.needs]

    def push(self, text: str, *, final: bool = False) -> Passage | None:
        """The copy, once; it may be told some characters after it became one.

        ``final`` tells that the text ends here.
        """
        if self._done:
            return None
        self._length += len(text)
        self._fresh += text
        if len(self._fresh) < _STEP and not final:
            return None
        data = self._tail + fold(self._fresh)
        hashes, rest = read_folded(data, final=final)
        self._tail, self._fresh = data[rest:], ""
        if not len(hashes):
            return None
        self._pieces.append(_Piece(self._number, self._length - len(data), data))
        found = self._look(hashes)
        self._done = found is not None
        return found

    def _look(self, new: list[int] | Hashes) -> Passage | None:
        """Takes the words of the newest piece."""
        before = len(self._last)
        first = self._number - before
        self._number += len(new)
        for at, length, value in self._runs(new):
            place = self._prompt.places.get(value)
            if place is not None and at >= before:
                passage = self._note(place, first + at - length + 1, first + at)
                if passage is not None:
                    return passage
        while len(self._pieces) > 1 and self._pieces[1].number < self._number - WITHIN:
            self._pieces.popleft()
        return None

    def _runs(self, new: list[int] | Hashes) -> Iterable[_Run]:
        """The runs in these words and the ones before them, and remembers the last ones."""
        if isinstance(new, list):
            few = self._last + new
            self._last = few[-self._reach :]
            return self._few_runs(few)
        many = np.concatenate((np.array(self._last, dtype=np.uint64), new))
        self._last = many[-self._reach :].tolist()
        return self._prompt.known_runs(many)

    def _few_runs(self, words: Sequence[int]) -> Iterator[_Run]:
        """What ``known_runs`` finds, faster for a few words."""
        places = self._prompt.places
        for at in range(len(words)):
            for length in self._prompt.lengths:
                if at + 1 >= length:
                    value = 0
                    for word in words[at + 1 - length : at + 1]:
                        value = (value * _FACTOR + word) & _64
                    if value in places:
                        yield _Run(at, length, value)

    def _note(self, place: _Place, start: int, end: int) -> Passage | None:
        """Counts a run of the prompt; the passage when there are enough of them."""
        found = self._found[place.text]
        found[place.word] = start
        self._hits += 1
        need = self._prompt.needs[place.text]
        if len(found) >= need:
            found = {word: at for word, at in found.items() if at > end - WITHIN}
            self._found[place.text] = found
        if len(found) < need and self._hits < HITS_MAX:
            return None
        return Passage(self._span(max(min(found.values()), end - WITHIN))[0], self._span(end)[1])

    def _span(self, word: int) -> tuple[int, int]:
        piece = next(piece for piece in reversed(self._pieces) if piece.number <= word)
        return piece.span(word)


class Prompts:
    """The prompts of the most recently seen system texts; kept by their digest."""

    def __init__(self, size: int = 64) -> None:
        self._known: Recent[bytes, Prompt] = Recent(size)

    def get(self, system: Sequence[str]) -> Prompt:
        """The prompt of a request's system texts."""
        digest = sha256()
        for text in system:
            data = text.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8) + data)
        key = digest.digest()
        return self._known.found(key) or self._known.keep(key, Prompt(system))


def find_copy(text: str, prompt: Prompt) -> Passage | None:
    """The first copy of the prompt in a whole text."""
    return Leak(prompt).push(text, final=True)
