"""All rules of one direction over one text: a pass for entities, one for patterns.

Each entity has a gate; only a text that passes it is looked at by the entity's finder.  Patterns of
rules have a database of their own, which stops where a text holds too many matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import hyperscan

from gateway_extproc.guards.entities import ENTITIES, Entity, find_each, prepare
from gateway_extproc.guards.errors import GuardCompileError
from gateway_extproc.guards.links import LinkGuard
from gateway_extproc.guards.masking import CompiledRule, Span
from gateway_extproc.guards.operatorpatterns import PatternScan, Stretch
from gateway_extproc.guards.patterns import check_pattern
from gateway_extproc.guards.shell import find_dangerous_shell, live_dangerous_shell
from gateway_extproc.guards.tenantpatterns import TenantPatterns
from gateway_extproc.guards.terms import TermList

_GATE_FLAGS = hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL
PATTERN_PLACEHOLDER = "[REDACTED]"

OTHER_KINDS = frozenset(("injection", "language", "leak", "format"))
"""Kinds that look at more than the characters of one place."""

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
        self._entities: list[tuple[Entity, list[int]]] = []
        self._entity_of: list[int] = []
        self._owner: list[int] = []
        patterns: list[str] = []
        for rule in rules:
            for pattern in _patterns_of(rule):
                check_pattern(rule.rule.id, pattern)
                patterns.append(pattern)
                self._owner.append(rule.index)
        self._patterns = PatternScan(patterns) if patterns else None
        self._own = {
            rule.index: own_finder(rule) for rule in rules if rule.rule.kind in OWN_FINDERS
        }
        gates: list[bytes] = []
        for entity in ENTITIES.values():
            owners = [rule.index for rule in rules if entity.name in entities_of(rule)]
            if owners:
                prepare(entity)
                self._entity_of += [len(self._entities)] * len(entity.gates)
                self._entities.append((entity, owners))
                gates += [gate.encode() for gate in entity.gates]
        self._scan: Any = None
        if gates:
            self._scan, self._scratch = _compile(gates)

    def find(self, text: str, wanted: Wanted) -> list[Span]:
        """The spans of these rules in ``text``, in no particular order."""
        spans = self._find_own(text, wanted) if self._own else []
        if self._scan is None and self._patterns is None:
            return spans
        data = text.encode("utf-8", "replace")
        if self._scan is not None:
            passed: set[int] = set()
            self._scan(data, _collect, context=passed, scratch=self._scratch)
            if passed:
                places = {self._entity_of[ident] for ident in passed}
                spans += _entity_spans(text, [self._entities[place] for place in places], wanted)
        if self._patterns is not None:
            spans += self._find_patterns(text, data, wanted)
        return spans

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

    def _find_patterns(self, text: str, data: bytes, wanted: Wanted) -> list[Span]:
        assert self._patterns is not None
        by_rule: dict[CompiledRule, list[Stretch]] = {}
        for place, stretches in self._patterns.find(data).items():
            rule = wanted.get(self._owner[place])
            if rule is not None:
                by_rule.setdefault(rule, []).extend(stretches)
        spans: list[Span] = []
        for rule, found in by_rule.items():
            joined = _joined(found)
            if len(data) != len(text):
                joined = _characters(data, joined)
            spans += [
                Span(start, end, rule, "", PATTERN_PLACEHOLDER, sure) for start, end, sure in joined
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


def _compile(gates: list[bytes]) -> tuple[Any, Any]:
    database = hyperscan.Database()
    database.compile(
        expressions=gates,
        ids=list(range(len(gates))),
        elements=len(gates),
        flags=[_GATE_FLAGS] * len(gates),
    )
    return database.scan, hyperscan.Scratch(database)


def _collect(ident: int, _start: int, _end: int, _flags: int, passed: set[int]) -> None:
    passed.add(ident)


def _entity_spans(
    text: str, passed: Sequence[tuple[Entity, list[int]]], wanted: Wanted
) -> list[Span]:
    """What the finders of these entities find, for each rule that counts now."""
    rules = {
        entity.name: [wanted[index] for index in owners if index in wanted]
        for entity, owners in passed
    }
    found = find_each(text, [name for name, counting in rules.items() if counting])
    return [
        Span(start, end, rule, name, ENTITIES[name].placeholder, end)
        for name, spans in found.items()
        for start, end in spans
        for rule in rules[name]
    ]


def _joined(found: list[Stretch]) -> list[Stretch]:
    """Stretches of several patterns of one rule; overlapping ones are one."""
    found.sort()
    joined: list[Stretch] = []
    for start, end, sure in found:
        if joined and start < joined[-1][1]:
            first, last, known = joined[-1]
            joined[-1] = (first, max(last, end), min(known, sure))
        else:
            joined.append((start, end, sure))
    return joined


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
