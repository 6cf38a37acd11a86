"""All rules of one direction in one Hyperscan database: one pass over a text.

Patterns of rules are reported by Hyperscan with their exact span.  Entities have a gate
in the same database; only a text that passes a gate is looked at by the entity's finder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import hyperscan

from gateway_extproc.guards.entities import ENTITIES, Entity
from gateway_extproc.guards.errors import GuardCompileError
from gateway_extproc.guards.masking import CompiledRule, Span
from gateway_extproc.guards.patterns import FLAGS, check_pattern

_GATE_FLAGS = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_SINGLEMATCH
PATTERN_PLACEHOLDER = "[REDACTED]"

RawHit = tuple[int, int, int]
Stretch = tuple[int, int, int]
"""Start, end, and the end of the shortest match in it."""
Accept = Callable[[CompiledRule], bool]


def entities_of(rule: CompiledRule) -> tuple[str, ...]:
    """The entities that a rule looks for; none for a rule of patterns."""
    kind = rule.rule.kind
    if kind == "hidden":
        return ("hidden",)
    return tuple(rule.rule.entities) if kind != "pattern" else ()


class Detector:
    """Finds what the rules look for.  Holds one scratch: not for several threads at once."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._owner: list[CompiledRule | None] = []
        self._entities: list[tuple[Entity, list[CompiledRule]]] = []
        expressions: list[bytes] = []
        for rule in rules:
            for pattern in _patterns_of(rule):
                check_pattern(rule.rule.id, pattern)
                expressions.append(pattern.encode())
                self._owner.append(rule)
        flags = [FLAGS] * len(expressions)
        for entity in ENTITIES.values():
            owners = [rule for rule in rules if entity.name in entities_of(rule)]
            if owners:
                self._entities.append((entity, owners))
                expressions.append(entity.gate.encode())
                flags.append(_GATE_FLAGS)
        self._scan, self._scratch = _compile(expressions, flags)

    def find(self, text: str, accept: Accept) -> list[Span]:
        """The spans of accepted rules in ``text``, in no particular order."""
        data = text.encode("utf-8", "replace")
        hits: list[RawHit] = []
        self._scan(data, _collect, context=hits, scratch=self._scratch)
        return self._spans(text, data, hits, accept) if hits else []

    def _spans(self, text: str, data: bytes, hits: list[RawHit], accept: Accept) -> list[Span]:
        patterns: dict[CompiledRule, list[tuple[int, int]]] = {}
        spans: list[Span] = []
        gates = len(self._owner)
        for ident, start, end in hits:
            if ident >= gates:
                spans += _entity_spans(text, *self._entities[ident - gates], accept)
            else:
                rule = self._owner[ident]
                if rule is not None and accept(rule):
                    patterns.setdefault(rule, []).append((start, end))
        for rule, found in patterns.items():
            merged = _merge(found)
            if len(data) != len(text):
                merged = _characters(data, merged)
            spans += [
                Span(start, end, rule, "", PATTERN_PLACEHOLDER, sure) for start, end, sure in merged
            ]
        return spans


def _patterns_of(rule: CompiledRule) -> tuple[str, ...]:
    if rule.rule.kind != "pattern":
        if not entities_of(rule):
            raise GuardCompileError(rule.rule.id, "", f"kind {rule.rule.kind} needs entities")
        return ()
    if not rule.rule.patterns:
        raise GuardCompileError(rule.rule.id, "", "kind pattern needs patterns")
    return rule.rule.patterns


def _compile(expressions: list[bytes], flags: list[int]) -> tuple[Any, Any]:
    database = hyperscan.Database()
    database.compile(
        expressions=expressions,
        ids=list(range(len(expressions))),
        elements=len(expressions),
        flags=flags,
    )
    return database.scan, hyperscan.Scratch(database)


def _collect(ident: int, start: int, end: int, _flags: int, hits: list[RawHit]) -> None:
    hits.append((ident, start, end))


def _entity_spans(
    text: str, entity: Entity, owners: list[CompiledRule], accept: Accept
) -> list[Span]:
    wanted = [rule for rule in owners if accept(rule)]
    found = entity.find(text) if wanted else []
    return [
        Span(start, end, rule, entity.name, entity.placeholder, end)
        for start, end in found
        for rule in wanted
    ]


def _merge(found: list[tuple[int, int]]) -> list[Stretch]:
    """Hyperscan reports every end of a match; overlapping reports are one stretch."""
    found.sort()
    merged: list[Stretch] = []
    for start, end in found:
        if merged and start < merged[-1][1]:
            first, last, sure = merged[-1]
            merged[-1] = (first, max(last, end), min(sure, end))
        else:
            merged.append((start, end, end))
    return merged


def _characters(data: bytes, stretches: list[Stretch]) -> list[Stretch]:
    """Byte offsets, sorted and disjoint, as character offsets; reads the data once."""
    at_byte = at_char = 0
    converted: list[Stretch] = []
    for start, end, sure in stretches:
        at_char += len(data[at_byte:start].decode())
        to_sure = len(data[start:sure].decode())
        width = to_sure + len(data[sure:end].decode())
        converted.append((at_char, at_char + width, at_char + to_sure))
        at_byte, at_char = end, at_char + width
    return converted
