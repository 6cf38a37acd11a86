"""Which guard rules stand after packs are switched on, and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Final

import yaml

from gateway_extproc.config.guarding import GuardFormat, GuardLevel, GuardPack, GuardRule
from gateway_extproc.config.mistakes import Mistake
from gateway_extproc.config.model import Config
from gateway_extproc.core.guarding import SEVERITY

MUST_HAVE: Final[Mapping[str, str]] = {
    "pattern": "patterns",
    "regex": "patterns",
    "pii": "entities",
    "secret": "entities",
}
"""What a rule of a kind says nothing without."""

ONE_WAY: Final[Mapping[str, str]] = {
    "injection": "request",
    "leak": "response",
    "format": "response",
    "regex": "request",
}
"""The direction that a kind looks in, where it is only one."""
FORMAT_ACTIONS: Final = ("allow", "log", "block")
LANGUAGE_ACTIONS: Final = ("allow", "log", "annotate", "route", "block")
LEAK_ACTIONS: Final = ("allow", "log", "truncate", "block")


@cache
def packs() -> Mapping[str, tuple[GuardRule, ...]]:
    """The shipped packs: rules by the pack's name."""
    text = resources.files("gateway_extproc.config").joinpath("guardpacks.yaml").read_text()
    return {
        name: tuple(GuardRule.model_validate(rule, strict=False) for rule in rules)
        for name, rules in yaml.safe_load(text).items()
    }


def guard_rules(config: Config) -> tuple[GuardRule, ...]:
    """All rules in force, the file's own first; one that is allowed does nothing and is gone."""
    own = {rule.id for rule in config.guards}
    from_packs = [
        _scoped(rule, pack)
        for pack in config.guard_packs
        for rule in packs()[pack.pack]
        if rule.id not in own
    ]
    return tuple(rule for rule in (*config.guards, *from_packs) if rule.action != "allow")


def _scoped(rule: GuardRule, pack: GuardPack) -> GuardRule:
    mode = "shadow" if pack.mode == "shadow" else rule.mode
    scope = {"tenants": pack.tenants, "routes": pack.routes, "keys": pack.keys}
    return rule.model_copy(update={"mode": mode, **scope})


def guard_mistakes(config: Config) -> Iterator[Mistake]:
    """Rules without substance, levels that loosen, packs that stand twice."""
    for i, rule in enumerate(config.guards):
        needed = MUST_HAVE.get(rule.kind)
        if needed and not getattr(rule, needed):
            what = "pattern" if needed == "patterns" else "entity"
            yield Mistake(f"guards[{i}].{needed}", "nothing", f"at least one {what}")
        yield from _out_of_place(f"guards[{i}]", rule)
        if rule.sample < 1 and rule.mode == "enforce":
            yield Mistake(f"guards[{i}].sample", repr(rule.sample), "1 for a rule that acts")
    seen: set[GuardPack] = set()
    for i, pack in enumerate(config.guard_packs):
        if pack in seen:
            yield Mistake(f"guard_packs[{i}]", pack.pack, "a pack that stands only once")
        seen.add(pack)
    by_id: dict[str, list[GuardRule]] = {}
    for rule in guard_rules(config):
        by_id.setdefault(rule.id, []).append(rule)
    for i, level in enumerate(config.guard_levels):
        rules = by_id.get(level.rule)
        if rules is None:
            known = ", ".join(sorted(by_id)) or "none"
            yield Mistake(
                f"guard_levels[{i}].rule", repr(level.rule), f"a rule that is in force ({known})"
            )
            continue
        yield from _loosens(f"guard_levels[{i}]", level, rules)


def _out_of_place(path: str, rule: GuardRule) -> Iterator[Mistake]:
    """Kinds that only look one way, and what cannot be done about a finding of theirs."""
    way = ONE_WAY.get(rule.kind)
    if way is not None and rule.direction != way:
        yield Mistake(f"{path}.direction", repr(rule.direction), f"{way} for kind {rule.kind}")
    if rule.action == "route":
        if rule.direction != "request":
            yield Mistake(f"{path}.direction", repr(rule.direction), "request for route")
        if not rule.data_class:
            yield Mistake(f"{path}.data_class", "nothing", "the class that providers must be for")
    if rule.kind == "terms" and not (rule.terms or rule.terms_file):
        yield Mistake(f"{path}.terms", "nothing", "at least one term, or terms_file")
    if rule.kind == "format":
        if rule.format == GuardFormat():
            yield Mistake(f"{path}.format", "nothing", "what an answer has to look like")
        if rule.action not in FORMAT_ACTIONS:
            expected = f"one of {', '.join(FORMAT_ACTIONS)}"
            yield Mistake(f"{path}.action", repr(rule.action), expected)
        if rule.format.retry and rule.action != "block":
            yield Mistake(f"{path}.format.retry", "True", "false, or the action block")
    if rule.kind == "language":
        if bool(rule.allowed) == bool(rule.denied):
            yield Mistake(path, "both" if rule.allowed else "neither", "either allowed or denied")
        if rule.action not in LANGUAGE_ACTIONS:
            expected = f"one of {', '.join(LANGUAGE_ACTIONS)}: it is the text as a whole"
            yield Mistake(f"{path}.action", repr(rule.action), expected)
    if rule.kind == "leak" and rule.action not in LEAK_ACTIONS:
        expected = f"one of {', '.join(LEAK_ACTIONS)}: most of it has left when it is known"
        yield Mistake(f"{path}.action", repr(rule.action), expected)


def _loosens(path: str, level: GuardLevel, rules: list[GuardRule]) -> Iterator[Mistake]:
    if not (level.tenants or level.routes or level.keys):
        yield Mistake(path, "nobody", "tenants, routes or keys; for all, change the rule itself")
    if level.action is None and level.mode is None and level.threshold is None:
        yield Mistake(path, "nothing", "an action, a mode or a threshold that is tighter")
    lowest = min(rule.threshold for rule in rules)
    if level.threshold is not None and level.threshold > lowest:
        yield Mistake(f"{path}.threshold", repr(level.threshold), f"at most {lowest}")
    strictest = max((rule.action for rule in rules), key=SEVERITY.__getitem__)
    if level.action is not None and SEVERITY[level.action] < SEVERITY[strictest]:
        yield Mistake(
            f"{path}.action", repr(level.action), f"an action at least as severe as {strictest}"
        )
    if level.mode == "shadow":
        yield Mistake(f"{path}.mode", "'shadow'", "enforce: a level may tighten, never loosen")
