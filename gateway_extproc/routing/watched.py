"""Which targets a configuration has to watch, and who could serve instead of each.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway_extproc.config.compile import Snapshot
from gateway_extproc.config.model import Provider
from gateway_extproc.core.route import Target

TargetKey = tuple[str, str, str]
"""Provider, model and region: what is watched by itself."""


def key_of(target: Target) -> TargetKey:
    """The target as it is watched."""
    return target.provider, target.model, target.region


def name_of(key: TargetKey) -> str:
    """The target for people and for other hosts; a region where it has one."""
    provider, model, region = key
    return f"{provider}/{model}@{region}" if region else f"{provider}/{model}"


@dataclass(frozen=True, slots=True)
class Watched:
    """One target; ``others`` share a route with it, ``keys`` are its provider's credentials."""

    key: TargetKey
    keys: int
    others: tuple[TargetKey, ...]

    @property
    def name(self) -> str:
        return name_of(self.key)


def watched_targets(snapshot: Snapshot) -> tuple[Watched, ...]:
    """Every target of every route and rule, once; those of one policy stand in for each other."""
    others: dict[TargetKey, dict[TargetKey, None]] = {}
    for targets in _groups(snapshot):
        keys = [key_of(target) for target in targets]
        for key in keys:
            others.setdefault(key, {}).update((other, None) for other in keys if other != key)
    return tuple(
        Watched(key, pool_size(snapshot.providers[key[0]]), tuple(found))
        for key, found in others.items()
    )


def _groups(snapshot: Snapshot) -> Iterator[list[Target]]:
    for route in snapshot.routes.values():
        yield list(route.targets)
    for rule in snapshot.rules:
        for policy in rule.policies.values():
            yield [choice.target for choice in policy.choices]
            for target, _ in policy.shadows:
                yield [target]


def pool_size(provider: Provider) -> int:
    """How many credentials a provider has."""
    return 1 + len(provider.credential_files)


def credential_name(provider: str, position: int) -> str:
    """The credential at a position of a provider's pool; no provider's id holds the mark."""
    return f"{provider}#{position}" if position else provider
