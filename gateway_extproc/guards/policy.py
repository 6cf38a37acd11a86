"""Which rules are whose: packs, tenants, routes and keys, each level only ever tighter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway_extproc.config.guarding import GuardLevel, GuardRule, GuardScope
from gateway_extproc.core.chat import ROLES
from gateway_extproc.core.guarding import SEVERITY
from gateway_extproc.core.ports import Guarded
from gateway_extproc.guards.masking import CompiledRule, Direction


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one caller by their index, and those of each role of a request."""

    all: dict[int, CompiledRule]
    by_role: dict[str, dict[int, CompiledRule]]
    sampled: bool
    scored: bool
    leaks: bool
    languages: bool
    canary: bool
    formats: tuple[CompiledRule, ...]

    @classmethod
    def of(cls, rules: Sequence[CompiledRule]) -> RuleSet:
        return cls(
            {rule.index: rule for rule in rules},
            {
                role: {rule.index: rule for rule in rules if role in rule.rule.scanned_roles}
                for role in ROLES
            },
            any(rule.rule.sample < 1 for rule in rules),
            any(rule.rule.kind == "injection" for rule in rules),
            any(rule.rule.kind == "leak" for rule in rules),
            any(rule.rule.kind == "language" for rule in rules),
            any(rule.rule.kind == "leak" and rule.rule.canary for rule in rules),
            tuple(rule for rule in rules if rule.rule.kind == "format"),
        )


class Policy:
    """Rules, and the levels that make them tighter for some; answers from memory.

    There are as many rule sets as combinations of names that the policy mentions; whom no rule
    names is everybody else.
    """

    def __init__(self, rules: Sequence[CompiledRule], levels: Sequence[GuardLevel]) -> None:
        self.rules = tuple(rules)
        self._levels = tuple(levels)
        scopes: list[GuardScope] = [*(rule.rule for rule in rules), *levels]
        self._tenants = frozenset(name for scope in scopes for name in scope.tenants)
        self._routes = frozenset(name for scope in scopes for name in scope.routes)
        self._keys = frozenset(name for scope in scopes for name in scope.keys)
        self._known: dict[tuple[str, str, str], RuleSet] = {}

    def scope(self, who: Guarded) -> tuple[str, str, str]:
        """The caller's names, without those that no rule mentions: the same rules for all of it."""
        return (
            who.tenant if who.tenant in self._tenants else "",
            who.route if who.route in self._routes else "",
            who.key if who.key in self._keys else "",
        )

    def of(self, who: Guarded) -> RuleSet:
        """The rules for this caller."""
        key = self.scope(who)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._resolve(Guarded(*key))
        return known

    def _resolve(self, who: Guarded) -> RuleSet:
        levels = [level for level in self._levels if concerns(level, who)]
        rules = [self._tightened(rule, levels) for rule in self.rules if concerns(rule.rule, who)]
        return RuleSet.of(rules)

    @staticmethod
    def _tightened(rule: CompiledRule, levels: Sequence[GuardLevel]) -> CompiledRule:
        mine = [level for level in levels if level.rule == rule.rule.id]
        if not mine:
            return rule
        return CompiledRule.of(rule.index, tighter(rule.rule, mine))


def policy_of(
    direction: Direction, rules: Sequence[GuardRule], levels: Sequence[GuardLevel]
) -> Policy:
    """The rules of one direction, each with its place in the whole policy."""
    mine = [
        CompiledRule.of(index, rule)
        for index, rule in enumerate(rules)
        if rule.direction in (direction, "both")
    ]
    return Policy(mine, levels)


def concerns(scope: GuardScope, who: Guarded) -> bool:
    """Whether all lists that stand there name the caller."""
    return (
        (not scope.tenants or who.tenant in scope.tenants)
        and (not scope.routes or who.route in scope.routes)
        and (not scope.keys or who.key in scope.keys)
    )


def tighter(rule: GuardRule, levels: Sequence[GuardLevel]) -> GuardRule:
    """The rule with the most severe of all that is said of it; never a milder one."""
    actions = [rule.action, *(level.action for level in levels if level.action)]
    enforced = any(level.mode == "enforce" for level in levels)
    return rule.model_copy(
        update={
            "action": max(actions, key=SEVERITY.__getitem__),
            "mode": "enforce" if enforced else rule.mode,
            "sample": 1.0 if enforced else rule.sample,
            "threshold": min(
                [rule.threshold, *(level.threshold for level in levels if level.threshold)]
            ),
        }
    )
