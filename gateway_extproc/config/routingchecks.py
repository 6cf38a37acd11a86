"""What can be wrong with models, route rules and the catalogue, between their parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway_extproc.config.catalogue import catalogue_mistakes
from gateway_extproc.config.condition import ConditionError, compile_route_condition
from gateway_extproc.config.mistakes import Mistake, twice, unknown
from gateway_extproc.config.model import Config, ModelRoute
from gateway_extproc.config.routing import Choosing, RouteRule, TargetRef

ALIAS_FIELDS: Final = frozenset({"model", "alias_of"})
WISHES: Final = ("threshold", "target_saving", "target_quality")
PROVIDERS: Final = "providers of this file"


def routing_mistakes(config: Config, tenants: set[str] | None) -> Iterator[Mistake]:
    """All of them; ``tenants`` is None where another file may name more."""
    providers = {provider.id for provider in config.providers}
    for i, entry in enumerate(config.models):
        yield from _bad_model(f"models[{i}]", entry, config)
        yield from _bad_choosing(f"models[{i}]", entry, entry.targets, providers)
        yield from _unsent(f"models[{i}].shadow", entry, config)
    rules = config.routing.rules
    yield from twice("routing.rules", [rule.id for rule in rules])
    for i, rule in enumerate(rules):
        path = f"routing.rules[{i}]"
        yield from unknown(f"{path}.tenants", rule.tenants, tenants, "tenants of this file")
        yield from _bad_rule(path, rule, config)
        yield from _bad_choosing(path, rule, rule.targets, providers)
        yield from _unsent(f"{path}.shadow", rule, config)
    yield from catalogue_mistakes("catalogue.", config.catalogue.models)
    for i, known in enumerate(config.catalogue.models):
        named = [known.provider] if known.provider else []
        yield from unknown(f"catalogue.models[{i}].provider", named, providers, PROVIDERS)


def _bad_model(path: str, entry: ModelRoute, config: Config) -> Iterator[Mistake]:
    if entry.alias_of is None:
        if not entry.targets:
            yield Mistake(f"{path}.targets", "nothing", "at least one target, or alias_of")
        return
    own = {model.model for model in config.models if model.alias_of is None}
    expected = "a model of this file that is no alias"
    yield from unknown(f"{path}.alias_of", [entry.alias_of], own, expected)
    for name in sorted(entry.model_fields_set - ALIAS_FIELDS):
        yield Mistake(f"{path}.{name}", "a value", "nothing: an alias has no fields of its own")


def _bad_rule(path: str, rule: RouteRule, config: Config) -> Iterator[Mistake]:
    own = {model.model for model in config.models if model.alias_of is None}
    exact = [name for name in rule.models if not name.endswith("*")]
    yield from unknown(f"{path}.models", exact, own, "models of this file that are no aliases")
    if "models" in rule.endpoints:
        yield Mistake(f"{path}.endpoints", "'models'", "endpoints that somebody else answers")
    if rule.strategy == "complexity" and not rule.targets:
        yield Mistake(f"{path}.targets", "nothing", "targets with a tier each")
    if rule.when:
        try:
            compile_route_condition(rule.when)
        except ConditionError as error:
            yield Mistake(f"{path}.when", repr(rule.when[:80]), f"a CEL condition ({error})")


def _bad_choosing(
    path: str, how: Choosing, targets: tuple[TargetRef, ...], providers: set[str]
) -> Iterator[Mistake]:
    named = [target.provider for target in targets]
    yield from unknown(f"{path}.targets", named, providers, PROVIDERS)
    copied = [target.provider for target in how.shadow]
    yield from unknown(f"{path}.shadow", copied, providers, PROVIDERS)
    for section, refs in (("targets", targets), ("shadow", how.shadow)):
        names = [f"{ref.provider}/{ref.model}" for ref in refs]
        yield from twice(f"{path}.{section}", names, field="model")
    if how.sticky != "none" and how.strategy != "weighted":
        yield Mistake(f"{path}.sticky", repr(how.sticky), "'none', but for strategy 'weighted'")
    if how.strategy == "weighted" and targets and not any(target.weight for target in targets):
        yield Mistake(f"{path}.targets", "weights of 0", "at least one weight above 0")
    if not any((how.score.quality, how.score.cost, how.score.latency)):
        yield Mistake(f"{path}.score", "weights of 0", "at least one weight above 0")
    yield from _bad_wishes(path, how)
    yield from _bad_tiers(path, how, targets)


def _unsent(path: str, how: Choosing, config: Config) -> Iterator[Mistake]:
    """Shadow targets that nothing would be sent to."""
    if how.shadow and config.shadow is None:
        yield Mistake(path, "targets", "none without a section 'shadow', which says how to send")
    elif how.shadow and config.server.tcp is not None:
        yield Mistake(path, "targets", "none with 'server.tcp': copies need Envoy on this host")


def _bad_wishes(path: str, how: Choosing) -> Iterator[Mistake]:
    """A threshold follows from one wish, or is given itself."""
    named = [name for name in WISHES if name in how.model_fields_set]
    if len(named) > 1:
        yield Mistake(f"{path}.{named[1]}", "a second wish", f"nothing beside '{named[0]}'")
    for name in named:
        if how.strategy != "complexity":
            expected = "nothing, but for strategy 'complexity'"
            yield Mistake(f"{path}.{name}", repr(getattr(how, name)), expected)


def _bad_tiers(path: str, how: Choosing, targets: tuple[TargetRef, ...]) -> Iterator[Mistake]:
    tiers = [target.tier for target in targets]
    if how.strategy != "complexity":
        for j, tier in enumerate(tiers):
            if tier is not None:
                expected = "nothing, but for strategy 'complexity'"
                yield Mistake(f"{path}.targets[{j}].tier", repr(tier), expected)
    elif targets and (None in tiers or len(set(tiers)) < 2):
        expected = "a tier for each target, 'below' and 'above' at least once"
        yield Mistake(f"{path}.targets", "other tiers", expected)
