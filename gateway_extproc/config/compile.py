"""From ``Config`` to the ``Snapshot`` that stages read while requests pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from urllib.parse import urlsplit

from gateway_extproc.config.condition import compile_condition
from gateway_extproc.config.model import ApiKey, Config, Provider, Role, RoleRule
from gateway_extproc.config.model import Tenant as TenantSection
from gateway_extproc.config.roles import all_roles
from gateway_extproc.core.access import ANY_CLASS, Grant, name_matcher
from gateway_extproc.core.identity import Tenant
from gateway_extproc.core.keys import KeyRecord
from gateway_extproc.core.money import Price
from gateway_extproc.core.route import Target

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Route:
    """A model that clients may ask for: its targets in order, its caps."""

    id: str
    targets: tuple[Target, ...]
    max_tokens: int
    cache_ttl_s: float
    prompt_tokens: int | None = None
    too_long: str = "refuse"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One compiled configuration.  ``revision`` names it in every record."""

    config: Config
    revision: str
    keys: Mapping[str, KeyRecord]
    """The keys of the configuration itself; others are in the key store."""
    roles: Mapping[str, tuple[Grant, ...]]
    tenants: Mapping[str, Tenant]
    routes: Mapping[str, Route]
    providers: Mapping[str, Provider]
    targets_by_cluster: Mapping[str, Provider]
    """Fallback clusters, by the name that Envoy calls them."""


def compile_config(config: Config) -> Snapshot:
    """Indexes everything that a request looks up by name."""
    text = config.model_dump_json()
    providers = {provider.id: provider for provider in config.providers}
    prices = {
        price.model: Price(
            price.prompt_nanos, price.completion_nanos, price.cached_nanos, config.prices.version
        )
        for price in config.prices.models
    }
    approved = {id_: _approved(provider, config) for id_, provider in providers.items()}
    return Snapshot(
        config=config,
        revision=hashlib.sha256(text.encode()).hexdigest()[:12],
        keys={key.id: key_record(key) for key in config.keys},
        roles={role.id: tuple(_grants(role)) for role in all_roles(config.roles).values()},
        tenants=tenant_table(config.tenants),
        routes={
            route.model: Route(
                id=route.model,
                targets=tuple(
                    _target(
                        providers[ref.provider],
                        ref.model,
                        prices.get(ref.model),
                        approved[ref.provider],
                    )
                    for ref in route.targets
                ),
                max_tokens=route.max_tokens or config.caps.max_tokens,
                cache_ttl_s=route.cache_ttl_s,
                prompt_tokens=route.prompt_tokens or config.caps.prompt_tokens,
                too_long=route.too_long or config.caps.too_long,
            )
            for route in config.models
        },
        providers=providers,
        targets_by_cluster={fallback_cluster(p.id): p for p in config.providers},
    )


def fallback_cluster(provider_id: str) -> str:
    """The cluster through which a provider serves second and later attempts.

    No provider id holds a colon, so the name belongs to no provider.
    """
    return f"{provider_id}:fallback"


def key_record(key: ApiKey) -> KeyRecord:
    """What a key of a file is to the gateway."""
    return KeyRecord(
        id=key.id,
        hmac=bytes.fromhex(key.hmac),
        tenant=key.tenant,
        user=key.user,
        application=key.application,
        roles=key.roles,
        endpoints=key.endpoints,
        models=key.models,
        networks=key.networks,
        labels=tuple(sorted(key.labels.items())),
        expires_at_s=_end_of_day(key),
    )


def tenant_table(tenants: Iterable[TenantSection]) -> dict[str, Tenant]:
    """Tenants of a file, by id."""
    return {
        tenant.id: Tenant(
            tenant.id,
            tenant.data_class,
            {application.id: application.data_class for application in tenant.applications},
            tenant.suspended,
        )
        for tenant in tenants
    }


def _grants(role: Role) -> Iterator[Grant]:
    yield _grant(role.id, "base", role)
    for rule in role.rules:
        yield _grant(role.id, rule.id, rule)


def _grant(role: str, rule: str, allows: Role | RoleRule) -> Grant:
    return Grant(
        role=role,
        rule=rule,
        endpoints=frozenset(allows.endpoints),
        may_use_model=name_matcher(allows.models),
        may_use_route=name_matcher(allows.routes),
        data_classes=ANY_CLASS if "*" in allows.data_classes else frozenset(allows.data_classes),
        admin=frozenset(allows.admin),
        condition=compile_condition(allows.when) if allows.when else None,
    )


def _approved(provider: Provider, config: Config) -> frozenset[str]:
    """The classes that a provider may see: approved for, and allowed in its region."""
    elsewhere = {
        data_class.id
        for data_class in config.data_classes
        if not name_matcher(data_class.regions)(provider.region)
    }
    return frozenset(provider.data_classes) - elsewhere


def _end_of_day(key: ApiKey) -> float:
    if key.expires is None:
        return float("inf")
    midnight = datetime.combine(key.expires, time(), tzinfo=UTC)
    return midnight.timestamp() + DAY_S


def _target(
    provider: Provider, model: str, price: Price | None, approved: frozenset[str]
) -> Target:
    return Target(
        provider=provider.id,
        dialect=provider.dialect,
        model=model,
        cluster=provider.id,
        fallback_cluster=fallback_cluster(provider.id),
        base_path=urlsplit(provider.base_url).path.rstrip("/"),
        host=urlsplit(provider.base_url).netloc,
        region=provider.region,
        data_classes=approved,
        price=price,
    )
