"""From ``Config`` to the ``Snapshot`` that stages read while requests pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time

from gateway_extproc.config.catalogue import ReadCatalogue
from gateway_extproc.config.condition import compile_condition
from gateway_extproc.config.model import ApiKey, Config, Provider, Role, RoleRule
from gateway_extproc.config.model import Tenant as TenantSection
from gateway_extproc.config.roles import all_roles
from gateway_extproc.config.routes import Route as Route
from gateway_extproc.config.routes import (
    TargetTable,
    compile_routes,
    compile_rules,
)
from gateway_extproc.config.routes import fallback_cluster as fallback_cluster
from gateway_extproc.core.access import ANY_CLASS, Grant, name_matcher
from gateway_extproc.core.identity import Tenant
from gateway_extproc.core.keys import KeyRecord
from gateway_extproc.core.planning import RouteRule
from gateway_extproc.core.route import Target

DAY_S = 86_400


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
    rules: tuple[RouteRule, ...] = ()
    """The route rules, in order."""
    targets: tuple[Target, ...] = ()
    """Every target of models, rules and shadows."""
    passed: Mapping[str, Target] = field(default_factory=dict)
    """Who gets what is passed through, by the id of its section."""


def compile_config(config: Config) -> Snapshot:
    """Indexes everything that a request looks up by name."""
    text = config.model_dump_json()
    if isinstance(config.catalogue, ReadCatalogue):
        text += config.catalogue.read.model_dump_json()
    providers = {provider.id: provider for provider in config.providers}
    table = TargetTable(config, {id_: _approved(p, config) for id_, p in providers.items()})
    routes = compile_routes(config, table)
    rules = compile_rules(config, routes, table)
    return Snapshot(
        config=config,
        revision=hashlib.sha256(text.encode()).hexdigest()[:12],
        keys={key.id: key_record(key) for key in config.keys},
        roles={role.id: tuple(_grants(role)) for role in all_roles(config.roles).values()},
        tenants=tenant_table(config.tenants),
        routes=routes,
        providers=providers,
        targets_by_cluster={fallback_cluster(p.id): p for p in config.providers},
        rules=rules,
        targets=table.all(),
        passed={item.id: table.provider_only(item.provider) for item in config.passthrough},
    )


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
        may_use_target=name_matcher(allows.targets),
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
