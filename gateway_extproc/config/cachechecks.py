"""What can be wrong with the cache beyond the form of its fields."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gateway_extproc.config.mistakes import Mistake
from gateway_extproc.config.model import Config


def cache_mistakes(config: Config, tenants: Collection[str] | None) -> Iterator[Mistake]:
    """Unknown tenants, one in two shares, an answer larger than the cache, no Redis."""
    cache = config.cache
    names: set[str] = set()
    members: set[str] = set()
    for i, share in enumerate(cache.shared):
        if share.id in names:
            yield Mistake(f"cache.shared[{i}].id", repr(share.id), "a name that no other has")
        names.add(share.id)
        for j, tenant in enumerate(share.tenants):
            path = f"cache.shared[{i}].tenants[{j}]"
            if tenant in members:
                yield Mistake(path, repr(tenant), "a tenant that is in no share yet")
            members.add(tenant)
            if tenants is not None and tenant not in tenants:
                yield Mistake(path, repr(tenant), "a tenant of this file")
    if cache.entry_bytes > cache.max_bytes:
        yield Mistake("cache.entry_bytes", str(cache.entry_bytes), "at most cache.max_bytes")
    if cache.store == "redis" and config.redis is None and config.store.redis is None:
        yield Mistake("cache.store", "'redis'", "'host', or a section redis")
