"""The section ``routing``, and how a model or a rule chooses among its targets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gateway_extproc.config.base import EndpointName, Id, Mode, ModelName, Section
from gateway_extproc.core.planning import Sticky, StrategyName, Tier

RegionPattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]*\*?$", min_length=1)]
RoutingHeader = Annotated[str, StringConstraints(pattern=r"^([a-z0-9-]{1,64})?$")]
Factor = Annotated[float, Field(ge=0, le=1000)]
Portion = Annotated[float, Field(ge=0, le=1)]


class TargetRef(Section):
    """One way to serve a model."""

    provider: Id
    """A provider of this file."""
    model: ModelName
    """The model's name at that provider."""
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """Its part of the requests under ``weighted``; 0 is only tried when all others cannot be."""
    tier: Tier | None = None
    """For ``complexity``: whether it serves requests below the threshold, or those above."""
    drop_unsupported: bool | None = None
    """For this target instead of the model's or rule's own ``drop_unsupported``."""


class ShadowRef(Section):
    """A target that is sent a copy of requests; its answer is recorded and reaches nobody."""

    provider: Id
    """A provider of this file."""
    model: ModelName
    """The model's name at that provider."""
    share: Portion = 1.0
    """Share of the requests that are copied."""


class Weights(Section):
    """What ``score`` weighs; docs/routing.md has the formula."""

    quality: Factor = 1.0
    """The quality in the catalogue."""
    cost: Factor = 1.0
    """The expected cost beside the cheapest candidate's."""
    latency: Factor = 1.0
    """The measured latency beside the fastest candidate's."""


class Choosing(Section):
    """How one of several targets is chosen first, and the order of the others."""

    strategy: StrategyName = "priority"
    """``priority`` keeps the order of the file; ``weighted`` draws by ``weight``;
    ``quality_first`` the best of the catalogue; ``cost_optimized`` the cheapest for this request;
    ``latency`` the fastest as measured; ``score`` weighs all three; ``region`` the nearest;
    ``complexity`` by how hard the request is."""
    sticky: Sticky = "none"
    """For ``weighted``: whose requests stay with one target, a user's or a conversation's."""
    percentile: Literal["p50", "p95"] = "p50"
    """For ``latency`` and ``score``: which latency counts, to the first byte of the answer."""
    score: Weights = Weights()
    """For ``score``: what weighs how much."""
    threshold: Portion = 0.5
    """For ``complexity``: from here on requests go to targets with ``tier: above`` first."""
    target_saving: Portion | None = None
    """Instead of ``threshold``: the share of requests that targets with ``tier: below`` shall
    answer."""
    target_quality: Portion | None = None
    """Instead of ``threshold``: the share of the gap between both tiers' quality that shall be
    recovered. Both wishes are turned into a threshold by the shipped table; other traffic is
    another mixture (docs/complexity.md)."""
    regions: tuple[RegionPattern, ...] = ()
    """Only targets in these regions, or prefixes ending in ``*``; empty means all."""
    drop_unsupported: bool = False
    """Whether fields that a target's dialect cannot express are left out, where they may be
    (docs/interfaces.md lists them), instead of refusing the request with 400. Answers name them
    in ``x-gateway-dropped``, decision records with each attempt. A rule that names no targets can
    only switch it on."""
    shadow: tuple[ShadowRef, ...] = ()
    """Targets that are sent a copy, where they may see the request at all."""


class RouteRule(Choosing):
    """Requests that are served otherwise than the models they ask for say."""

    id: Id
    """Names the rule in records and in ``explain``."""
    mode: Mode = "enforce"
    """``shadow`` only records that it would have matched."""
    tenants: tuple[Id, ...] = ()
    """Only these tenants; empty means all."""
    endpoints: tuple[EndpointName, ...] = ()
    """Only these interfaces; empty means all."""
    models: tuple[ModelName, ...] = ()
    """Only these models as clients ask for them (an alias by the model that it stands for), or
    prefixes ending in ``*``; empty means all."""
    when: str = ""
    """A CEL condition over what conditions of roles may ask, and ``region``, ``prompt_tokens``
    (estimated), ``max_tokens``, ``stream``, ``tools``, ``vision``, ``language``, ``complexity``;
    what cannot be evaluated does not hold. docs/routing.md lists types and meanings."""
    targets: tuple[TargetRef, ...] = ()
    """Who may serve it; empty means the targets of the model that is asked for."""


class Routing(Section):
    """Rules for who answers, in order; the first that matches decides, and else the model's own
    entry."""

    region_header: RoutingHeader = "x-gateway-region"
    """Header by which a request asks for a region."""
    region_label: Id = "region"
    """Label of a credential that asks for one where the header does not."""
    home_region: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    """Where this gateway stands: the nearest region for requests that ask for none."""
    region_required: bool = False
    """Whether a region that a request asks for is a condition and not only a wish."""
    conversation_header: RoutingHeader = "x-conversation-id"
    """Header that names a conversation, for ``sticky: conversation``."""
    rules: tuple[RouteRule, ...] = ()
    """The rules."""
