"""All rules of one direction in one Hyperscan database: one pass over a text.

Patterns of rules are reported by Hyperscan with their exact span.  Entities have a gate
in the same database; only a text that passes a gate is looked at by the entity's finder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import hyperscan

from gateway_extproc.guards.entities import ENTITIES, Entity, prepare
from gateway_extproc.guards.errors import GuardCompileError
from gateway_extproc.guards.links import LinkGuard
from gateway_extproc.guards.masking import CompiledRule, Span
from gateway_extproc.guards.patterns import FLAGS, check_pattern
from gateway_extproc.guards.shell import find_dangerous_shell, live_dangerous_shell
from gateway_extproc.guards.tenantpatterns import TenantPatterns
from gateway_extproc.guards.terms import TermList

_GATE_FLAGS = hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL
PATTERN_PLACEHOLDER = "[REDACTED]"

OTHER_KINDS = frozenset(("injection", "leak", "format"))
"""Kinds that look at more than the characters of one place."""

RawHit = tuple[int, int, int]
Stretch = tuple[int, int, int]
"""Start, end, and the end of the shortest match in it."""
Wanted = Mapping[int, CompiledRule]
"""The rules that count now, by their place in the policy; each as this caller's level has it."""


def entities_of(rule: CompiledRule) -> tuple[str, ...]:
    """The entities that a rule looks for; none for a rule of patterns."""
    kind = rule.rule.kind
    if kind == "hidden":
        return ("hidden",)
    if kind in OWN_FINDERS:
        return (own_name(rule),)
    return tuple(rule.rule.entities) if kind in ("pii", "secret") else ()


OWN_FINDERS: Final = ("terms", "links", "shell", "regex")
"""Kinds of which each rule has a finder of its own."""


def own_name(rule: CompiledRule) -> str:
    """Tells the finder of one rule from those of others; a finding shows what is before ``#``."""
    return f"{rule.rule.kind}#{rule.index}"


def own_finder(rule: CompiledRule) -> Entity:
    """Raises ``GuardCompileError`` and ``TermListError``."""
    said, name = rule.rule, own_name(rule)
    if said.kind == "terms":
        terms = TermList(said.terms, whole_words=said.whole_words)
        return Entity(name, "[TERM]", (), terms.find, terms.live)
    if said.kind == "links":
        links = LinkGuard(said.allowed_hosts)
        return Entity(name, "[LINK]", (), links.find, links.live)
    if said.kind == "shell":
        return Entity(name, "[COMMAND]", (), find_dangerous_shell, live_dangerous_shell)
    patterns = TenantPatterns(said.id, said.patterns)
    return Entity(name, PATTERN_PLACEHOLDER, (), patterns.find, len)


class Detector:
    """Finds what the rules look for.  Holds one scratch: not for several threads at once."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._owner: list[int] = []
        self._entities: list[tuple[Entity, list[int]]] = []
        self._entity_of: list[int] = []
        expressions: list[bytes] = []
        for rule in rules:
            for pattern in _patterns_of(rule):
                check_pattern(rule.rule.id, pattern)
                expressions.append(pattern.encode())
                self._owner.append(rule.index)
        self._own = {
            rule.index: own_finder(rule) for rule in rules if rule.rule.kind in OWN_FINDERS
        }
        flags = [FLAGS] * len(expressions)
        for entity in ENTITIES.values():
            owners = [rule.index for rule in rules if entity.name in entities_of(rule)]
            if owners:
                prepare(entity)
                self._entity_of += [len(self._entities)] * len(entity.gates)
                self._entities.append((entity, owners))
                expressions += [gate.encode() for gate in entity.gates]
                flags += [_GATE_FLAGS] * len(entity.gates)
        self._scan: Any = None
        if expressions:
            self._scan, self._scratch = _compile(expressions, flags)

    def find(self, text: str, wanted: Wanted) -> list[Span]:
        """The spans of these rules in ``text``, in no particular order."""
        spans = self._find_own(text, wanted) if self._own else []
        if self._scan is None:
            return spans
        data = text.encode("utf-8", "replace")
        hits: list[RawHit] = []
        self._scan(data, _collect, context=hits, scratch=self._scratch)
        return spans + self._spans(text, data, hits, wanted) if hits else spans

    def entities(self, names: Iterable[str]) -> list[Entity]:
        """The finders of these names, as ``entities_of`` gives them."""
        own = {finder.name: finder for finder in self._own.values()}
        return [own[name] if name in own else ENTITIES[name] for name in sorted(names)]

    def _find_own(self, text: str, wanted: Wanted) -> list[Span]:
        return [
            Span(start, end, wanted[index], finder.name, finder.placeholder, end)
            for index, finder in self._own.items()
            if index in wanted
            for start, end in finder.find(text)
        ]

    def _spans(self, text: str, data: bytes, hits: list[RawHit], wanted: Wanted) -> list[Span]:
        patterns: dict[CompiledRule, list[tuple[int, int]]] = {}
        spans: list[Span] = []
        gates = len(self._owner)
        for entity in {self._entity_of[hit[0] - gates] for hit in hits if hit[0] >= gates}:
            spans += _entity_spans(text, *self._entities[entity], wanted)
        for ident, start, end in hits:
            if ident < gates:
                rule = wanted.get(self._owner[ident])
                if rule is not None:
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
    if rule.rule.kind in OTHER_KINDS or rule.rule.kind in OWN_FINDERS:
        return ()
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


def _entity_spans(text: str, entity: Entity, owners: list[int], wanted: Wanted) -> list[Span]:
    rules = [wanted[index] for index in owners if index in wanted]
    found = entity.find(text) if rules else []
    return [
        Span(start, end, rule, entity.name, entity.placeholder, end)
        for start, end in found
        for rule in rules
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
