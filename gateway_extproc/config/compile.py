"""From ``Config`` to the ``Snapshot`` that stages read while requests pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from urllib.parse import urlsplit

from gateway_extproc.config.model import ApiKey, Config, Limit, Provider
from gateway_extproc.core.identity import Principal, Tenant
from gateway_extproc.core.money import Price
from gateway_extproc.core.route import Target

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A known API key: its HMAC, its owner, what its roles allow together."""

    hmac: bytes
    principal: Principal
    endpoints: frozenset[str]
    may_use_model: Callable[[str], bool] = field(repr=False)
    expires_at: float
    """Unix seconds; infinity for a key without end."""


@dataclass(frozen=True, slots=True)
class Route:
    """A model that clients may ask for: its targets in order, its caps."""

    id: str
    targets: tuple[Target, ...]
    max_tokens: int
    cache_ttl_s: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One compiled configuration.  ``revision`` names it in every record."""

    config: Config
    revision: str
    keys: Mapping[str, KeyEntry]
    routes: Mapping[str, Route]
    providers: Mapping[str, Provider]
    targets_by_cluster: Mapping[str, Provider]
    """Fallback clusters, by the name that Envoy calls them."""

    def limits_for(self, tenant: str, endpoint: str) -> tuple[Limit, ...]:
        """The limits that a request of this tenant at this endpoint touches."""
        return tuple(
            limit
            for limit in self.config.limits
            if (not limit.tenants or tenant in limit.tenants)
            and (not limit.endpoints or endpoint in limit.endpoints)
        )


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
    return Snapshot(
        config=config,
        revision=hashlib.sha256(text.encode()).hexdigest()[:12],
        keys={key.id: _key_entry(key, config) for key in config.keys},
        routes={
            route.model: Route(
                id=route.model,
                targets=tuple(
                    _target(providers[ref.provider], ref.model, prices.get(ref.model))
                    for ref in route.targets
                ),
                max_tokens=route.max_tokens or config.caps.max_tokens,
                cache_ttl_s=route.cache_ttl_s,
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


def model_matcher(names: Iterable[str]) -> Callable[[str], bool]:
    """Matches exact model names, and prefixes written with a final ``*``."""
    names = tuple(names)
    exact = frozenset(name for name in names if not name.endswith("*"))
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    return lambda model: model in exact or model.startswith(prefixes)


def _key_entry(key: ApiKey, config: Config) -> KeyEntry:
    roles = [role for role in config.roles if role.id in key.roles]
    tenant = next(tenant for tenant in config.tenants if tenant.id == key.tenant)
    return KeyEntry(
        hmac=bytes.fromhex(key.hmac),
        principal=Principal(
            tenant=Tenant(tenant.id, tenant.data_class),
            user=key.user,
            application=key.application,
            roles=key.roles,
            method="api_key",
            credential_id=key.id,
        ),
        endpoints=frozenset(endpoint for role in roles for endpoint in role.endpoints),
        may_use_model=model_matcher({model for role in roles for model in role.models}),
        expires_at=_end_of_day(key),
    )


def _end_of_day(key: ApiKey) -> float:
    if key.expires is None:
        return float("inf")
    midnight = datetime.combine(key.expires, time(), tzinfo=UTC)
    return midnight.timestamp() + DAY_S


def _target(provider: Provider, model: str, price: Price | None) -> Target:
    return Target(
        provider=provider.id,
        dialect=provider.dialect,
        model=model,
        cluster=provider.id,
        fallback_cluster=fallback_cluster(provider.id),
        base_path=urlsplit(provider.base_url).path.rstrip("/"),
        region=provider.region,
        data_classes=frozenset(provider.data_classes),
        price=price,
    )
