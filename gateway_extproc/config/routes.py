"""Models and route rules, compiled: targets with what the catalogue knows of them, and policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from gateway_extproc.config.catalogue import Layers
from gateway_extproc.config.condition import compile_route_condition
from gateway_extproc.config.families import Family, family_of
from gateway_extproc.config.model import Config, ModelRoute, Provider
from gateway_extproc.config.model import Price as PriceSection
from gateway_extproc.config.routing import Choosing, RouteRule, ShadowRef, TargetRef
from gateway_extproc.core.access import name_matcher
from gateway_extproc.core.money import Price
from gateway_extproc.core.planning import Choice, Policy, ScoreWeights, Shadow
from gateway_extproc.core.planning import RouteRule as Rule
from gateway_extproc.core.route import Target


@dataclass(frozen=True, slots=True)
class Route:
    """A model that clients may ask for: its targets in the file's order, its caps.

    ``policy`` chooses among the targets; None keeps their order.  ``unread_tokens`` allows prompts
    that no guard can read, ``leaves_mistakes`` leaves it to providers to tell of wrong values.
    """

    id: str
    targets: tuple[Target, ...]
    max_tokens: int
    cache_ttl_s: float
    prompt_tokens: int | None = None
    too_long: str = "refuse"
    policy: Policy | None = None
    unread_tokens: bool = False
    leaves_mistakes: bool = False

    @property
    def own_policy(self) -> Policy:
        """The policy that holds where no rule matches."""
        return self.policy or order_of(self.id, self.targets)


def order_of(key: str, targets: tuple[Target, ...]) -> Policy:
    """The policy of plain targets: one after the other."""
    choices = tuple(Choice(target) for target in targets)
    return Policy(key, choices, least_context=_least_context(choices))


def fallback_cluster(provider_id: str) -> str:
    """The cluster through which a provider serves second and later attempts.

    No provider id holds a colon, so the name belongs to no provider.
    """
    return f"{provider_id}:fallback"


def websocket_cluster(provider_id: str) -> str:
    """The cluster through which websockets reach a provider: no filter waits for a body there."""
    return f"{provider_id}:websocket"


def families_of(config: Config) -> dict[str, Family]:
    """What is known of servers of OpenAI's dialect, by the provider's id."""
    return {
        provider.id: family_of(provider.base_url, provider.family, provider.differences)
        for provider in config.providers
        if provider.dialect == "openai"
    }


class TargetTable:
    """Targets of a configuration, each made once."""

    def __init__(self, config: Config, approved: Mapping[str, frozenset[str]]) -> None:
        self._config, self._approved = config, approved
        self._providers = {provider.id: provider for provider in config.providers}
        self._prices = {price.model: price for price in config.prices.models}
        self._layers = Layers(config.catalogue)
        self._families = families_of(config)
        self._targets: dict[tuple[str, str, bool], Target] = {}

    def all(self) -> tuple[Target, ...]:
        """Every target that was asked for until now, each name once."""
        return tuple({target.name: target for target in self._targets.values()}.values())

    def of(self, ref: TargetRef | ShadowRef, *, drops: bool = False) -> Target:
        """The target; ``drops`` is the policy of whoever names it, the reference's own is above."""
        own = ref.drop_unsupported if isinstance(ref, TargetRef) else None
        key = (ref.provider, ref.model, drops if own is None else own)
        if key not in self._targets:
            made = self._make(self._providers[ref.provider], ref.model)
            self._targets[key] = replace(made, drops=key[2])
        return self._targets[key]

    def provider_only(self, provider_id: str) -> Target:
        """A provider as a target of what names no model."""
        return self._make(self._providers[provider_id], "")

    def _make(self, provider: Provider, model: str) -> Target:
        known = self._layers.of(provider.id, model)
        family = self._families.get(provider.id)
        classes = self._approved[provider.id]
        if known.data_classes is not None:
            classes &= known.data_classes
        return Target(
            provider=provider.id,
            dialect=provider.dialect,
            model=model,
            cluster=provider.id,
            fallback_cluster=fallback_cluster(provider.id),
            base_path=urlsplit(provider.base_url).path.rstrip("/"),
            host=urlsplit(provider.base_url).netloc,
            region=provider.region,
            data_classes=classes - self._elsewhere(known.facts.regions),
            price=self._price(self._prices.get(model)) or known.price,
            facts=known.facts,
            lacks=family.lacks if family is not None else frozenset(),
        )

    def _price(self, price: PriceSection | None) -> Price | None:
        if price is None:
            return None
        version = self._config.prices.version
        return Price(
            price.prompt_nanos, price.completion_nanos, price.cached_nanos, version,
            second_nanos=price.second_nanos, character_nanos=price.character_nanos,
            audio_prompt_nanos=price.audio_prompt_nanos,
            audio_completion_nanos=price.audio_completion_nanos,
            image_prompt_nanos=price.image_prompt_nanos,
            image_completion_nanos=price.image_completion_nanos,
        )  # fmt: skip

    def _elsewhere(self, regions: frozenset[str]) -> frozenset[str]:
        """The classes that may not go to all of these regions."""
        return frozenset(
            data_class.id
            for data_class in self._config.data_classes
            if not all(map(name_matcher(data_class.regions), regions))
        )


def compile_routes(config: Config, table: TargetTable) -> dict[str, Route]:
    """Routes by every name that clients may ask for; an alias leads to the other's route."""
    routes = {
        section.model: _route(section, config, table)
        for section in config.models
        if section.alias_of is None
    }
    aliases = {s.model: routes[s.alias_of] for s in config.models if s.alias_of is not None}
    return {section.model: {**routes, **aliases}[section.model] for section in config.models}


def compile_rules(
    config: Config, routes: Mapping[str, Route], table: TargetTable
) -> tuple[Rule, ...]:
    """The route rules in order."""
    return tuple(_rule(section, routes, table) for section in config.routing.rules)


def _route(section: ModelRoute, config: Config, table: TargetTable) -> Route:
    policy = _policy(f"model:{section.model}", section, section.targets, table)
    return Route(
        id=section.model,
        targets=tuple(choice.target for choice in policy.choices),
        max_tokens=section.max_tokens or config.caps.max_tokens,
        cache_ttl_s=section.cache_ttl_s,
        prompt_tokens=section.prompt_tokens or config.caps.prompt_tokens,
        too_long=section.too_long or config.caps.too_long,
        policy=policy,
        unread_tokens=section.unread_tokens == "allow",
        leaves_mistakes=section.mistakes == "provider",
    )


def _rule(section: RouteRule, routes: Mapping[str, Route], table: TargetTable) -> Rule:
    condition, uses = compile_route_condition(section.when) if section.when else (None, frozenset())
    return Rule(
        id=section.id,
        mode=section.mode,
        policies=_policies(section, routes, table),
        tenants=frozenset(section.tenants),
        endpoints=frozenset(section.endpoints),
        models=section.models,
        condition=condition,
        uses=frozenset(uses),
    )


def _policies(
    section: RouteRule, routes: Mapping[str, Route], table: TargetTable
) -> dict[str, Policy]:
    key = f"rule:{section.id}"
    policy = _policy(key, section, section.targets, table)
    own = {route.id: route.own_policy.choices for route in routes.values()}
    if section.targets:
        return dict.fromkeys(own, policy)
    return {
        model: replace(
            policy,
            key=f"{key}:{model}",
            choices=tuple(map(_dropping, choices)) if section.drop_unsupported else choices,
            least_context=_least_context(choices, policy.shadows),
        )
        for model, choices in own.items()
    }


def _dropping(choice: Choice) -> Choice:
    return choice._replace(target=replace(choice.target, drops=True))


def _policy(key: str, how: Choosing, refs: tuple[TargetRef, ...], table: TargetTable) -> Policy:
    drops = how.drop_unsupported
    choices = tuple(Choice(table.of(ref, drops=drops), ref.weight, ref.tier) for ref in refs)
    shadows = tuple(Shadow(table.of(ref, drops=drops), ref.share) for ref in how.shadow)
    return Policy(
        key=key,
        choices=choices,
        strategy=how.strategy,
        sticky=how.sticky,
        percentile=how.percentile,
        score=ScoreWeights(how.score.quality, how.score.cost, how.score.latency),
        threshold=how.threshold,
        target_saving=how.target_saving,
        target_quality=how.target_quality,
        regions=name_matcher(how.regions) if how.regions else None,
        shadows=shadows,
        least_context=_least_context(choices, shadows),
    )


def _least_context(choices: tuple[Choice, ...], shadows: tuple[Shadow, ...] = ()) -> int | None:
    targets = [choice.target for choice in choices] + [shadow.target for shadow in shadows]
    known = [target.facts.context_tokens for target in targets]
    return min((tokens for tokens in known if tokens is not None), default=None)
