"""Guard rules judged again by what was recorded of a request: findings and their scores.

A finding says what a detector saw, so another mode, action or threshold can be judged from it.
What a rule would see that never looked, or looks for something else, only the text could tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from zlib import crc32

from gateway_extproc.config.guardchecks import guard_rules
from gateway_extproc.config.guarding import GuardRule
from gateway_extproc.config.model import Config
from gateway_extproc.core.ports import Guarded
from gateway_extproc.guards.masking import CompiledRule, Consequences, Direction, consequences
from gateway_extproc.guards.policy import Policy, policy_of

DIRECTIONS: Final[tuple[Direction, ...]] = ("request", "response")

SAYS_WHAT_FOLLOWS: Final = frozenset(
    {
        "id", "action", "mode", "threshold", "sample", "message", "version", "tenants", "routes",
        "keys", "untrusted_tools", "data_class", "on_error", "deadline_ms", "direction",
    }
)  # fmt: skip
"""Fields of a rule that do not change what its detector finds in a text."""

Draw = float


class Changed(NamedTuple):
    """A finding about which the new policy does something else."""

    rule: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What follows now from a request's findings of one direction.

    ``unknown`` names the rules that could have seen more than was recorded.
    """

    follows: Consequences
    changed: frozenset[Changed]
    unknown: frozenset[str]


class GuardReplay:
    """Rules of a new configuration over findings that were made under an old one.

    Without ``old`` only the rules that found something can be judged.
    """

    def __init__(self, old: Config | None, new: Config) -> None:
        self._old = None if old is None else _policies(old)
        self._new = _policies(new)
        self._detectors = {} if old is None else {r.id: _detector(r) for r in guard_rules(old)}
        self._blind: dict[tuple[Any, ...], dict[str, float]] = {}

    def judge(
        self, direction: Direction, who: Guarded, findings: list[Mapping[str, Any]], *, looked: bool
    ) -> Rejudged:
        """``looked``: whether this direction's texts were looked at when the record was made."""
        rules: dict[str, list[CompiledRule]] = {}
        for rule in self._new[direction].of(who).all.values():
            rules.setdefault(rule.rule.id, []).append(rule)
        unknown = (
            {name for name, share in self._blind_rules(direction, who).items() if who.draw >= share}
            if looked
            else set(rules)
        )
        acting: dict[int, CompiledRule] = {}
        changed: set[Changed] = set()
        for found in findings:
            name = found["rule"]
            if found["action"] == "allow" or name in unknown:
                continue  # approved by a review, which no policy takes back
            mine = rules.get(name)
            if mine is None:
                changed.add(Changed(name, _effect(found), "no such rule"))
                continue
            for rule in mine:
                changed |= set(_judge(found, rule, acting))
        return Rejudged(consequences(acting.values()), frozenset(changed), frozenset(unknown))

    def _blind_rules(self, direction: Direction, who: Guarded) -> dict[str, float]:
        """Rules that may find what was not recorded, for the draws from that share on."""
        new = self._new[direction]
        if self._old is None:
            return {}
        old = self._old[direction]
        key = (direction, new.scope(who), old.scope(who))
        known = self._blind.get(key)
        if known is None:
            before = {rule.rule.id: rule.rule for rule in old.of(who).all.values()}
            known = self._blind[key] = {
                rule.rule.id: self._looked_at(rule.rule, before.get(rule.rule.id))
                for rule in new.of(who).all.values()
            }
        return known

    def _looked_at(self, rule: GuardRule, before: GuardRule | None) -> float:
        """The share of requests of which the records hold all that the rule would find."""
        if before is None or self._detectors.get(rule.id) != _detector(rule):
            return 0.0
        if rule.kind == "injection" and rule.threshold < before.threshold:
            return 0.0
        return before.sample


def draw_of(decision_id: str) -> Draw:
    """The lot that a request drew for rules that look at a share of the requests."""
    return crc32(decision_id.encode()) / (1 << 32)


def _judge(
    found: Mapping[str, Any], rule: CompiledRule, acting: dict[int, CompiledRule]
) -> Iterator[Changed]:
    before, after = _effect(found), f"{rule.rule.action}, {rule.rule.mode}"
    if rule.rule.kind == "injection" and not rule.reached_by(found["score"]):
        yield Changed(rule.rule.id, before, f"below its threshold of {rule.rule.threshold:g}")
        return
    if rule.acts:
        acting[rule.index] = rule
    if before != after:
        yield Changed(rule.rule.id, before, after)


def _effect(found: Mapping[str, Any]) -> str:
    return f"{found['action']}, {found['mode']}"


def _policies(config: Config) -> dict[Direction, Policy]:
    rules = guard_rules(config)
    return {name: policy_of(name, rules, config.guard_levels) for name in DIRECTIONS}


def _detector(rule: GuardRule) -> tuple[str, dict[str, Any]]:
    return rule.direction, rule.model_dump(exclude=set(SAYS_WHAT_FOLLOWS))
