"""Format rules over the answer to one request: what is asked, what is wrong, what is mended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import orjson

from gateway_extproc.config.guarding import GuardFormat
from gateway_extproc.core.chat import Document, Path
from gateway_extproc.guards.formats import Format, Formats, SchemaRefused, Shape, shape_asked
from gateway_extproc.guards.masking import CompiledRule, Span

CONTENT = ("content", "text")
"""Members that hold what an answer says to its reader (OpenAI, Anthropic)."""


class Judged(NamedTuple):
    """A span over the whole text for each rule that it breaks; the text after mending, and by
    which rules it was mended."""

    spans: list[Span]
    text: str
    mended_by: list[CompiledRule]


class Wanted:
    """The format rules for one answer."""

    def __init__(
        self, rules: Sequence[CompiledRule], asked: Document | None, formats: Formats
    ) -> None:
        self._rules = [(rule, _compiled(rule.rule.format, asked, formats)) for rule in rules]

    def judge(self, text: str, rules: Collection[int], *, mend: bool) -> Judged:
        """What is wrong with one whole text by the rules of these indexes.

        Mended is all of it or nothing: a text that stays wrong goes on as it came, and every rule
        that it breaks says so.
        """
        before = text
        spans: list[Span] = []
        mended_by: list[CompiledRule] = []
        chosen = frozenset(rules)
        for rule, formats in self._rules:
            for one in formats if rule.index in chosen else ():
                if not one.check(text):
                    continue
                mended = one.repair(text) if mend and rule.rule.format.repair else None
                if mended is not None:
                    text = mended
                    mended_by.append(rule)
                    continue
                spans.append(Span(0, len(text), rule, "format", "", len(text)))
                break
        if spans and mended_by:
            return self.judge(before, rules, mend=False)
        return Judged(spans, text, mended_by)


def is_content(path: Path) -> bool:
    """Whether a text of an answer is what it says, not how it thinks or calls tools."""
    return bool(path) and path[-1] in CONTENT


def _compiled(section: GuardFormat, asked: Document | None, formats: Formats) -> tuple[Format, ...]:
    """A schema of the client that cannot be checked in bounded time asks for JSON at least."""
    shapes = [shape_of(section)]
    if section.as_asked and asked is not None:
        shapes.append(shape_asked(asked) or Shape())
    found: list[Format] = []
    for shape in shapes:
        try:
            found.append(formats.get(shape))
        except SchemaRefused:
            found.append(formats.get(Shape(as_json=True)))
    return tuple(found)


def shape_of(section: GuardFormat) -> Shape:
    """The shape that a rule itself names."""
    schema = None if section.json_schema is None else orjson.dumps(section.json_schema)
    return Shape(section.as_json, schema, section.required, section.one_of, section.max_chars)
