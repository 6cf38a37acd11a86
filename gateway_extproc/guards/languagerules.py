"""Rules of kind ``language`` over whole texts, and over texts that come piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway_extproc.guards.languages import READ_MAX, Languages, unwanted_share
from gateway_extproc.guards.masking import CompiledRule, Span

FIRST_LOOK: Final = 400
"""Characters of a streamed text after which its language is asked for; then at twice as many, and
so on, and at its end."""


def language_spans(languages: Languages, text: str, rules: Iterable[CompiledRule]) -> list[Span]:
    """A span over all of the text for each rule of this kind whose language it is not in."""
    spans: list[Span] = []
    for rule in rules:
        said = rule.rule
        if said.kind != "language":
            continue
        letters, shares = languages.of(text)
        score = unwanted_share(shares, frozenset(said.allowed), frozenset(said.denied))
        if letters >= said.min_letters and score >= said.threshold:
            spans.append(Span(0, len(text), rule, "language", "", len(text), min(1.0, score)))
    return spans


class LanguageWatch:
    """Looks at one text of a stream; each rule tells what it finds once."""

    def __init__(self, languages: Languages, rules: Iterable[CompiledRule]) -> None:
        self._languages = languages
        self._open = [rule for rule in rules if rule.rule.kind == "language"]
        self._pieces: list[str] = []
        self._length = 0
        self._next_look = FIRST_LOOK

    def push(self, text: str, *, final: bool) -> list[Span]:
        """The spans over the text so far, as soon as it is long enough or ends."""
        if self._length < READ_MAX:
            self._pieces.append(text)
            self._length += len(text)
        if not self._open or (self._length < self._next_look and not final):
            return []
        self._next_look = 2 * self._length if self._length < READ_MAX else READ_MAX * 2
        spans = language_spans(self._languages, "".join(self._pieces), self._open)
        told = {span.rule.index for span in spans}
        self._open = [rule for rule in self._open if rule.index not in told]
        return spans
