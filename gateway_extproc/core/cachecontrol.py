"""What a client says of caching: ``cache-control`` of requests, RFC 9111 section 5.2.1."""

from __future__ import annotations

from typing import Final, NamedTuple


class CacheControl(NamedTuple):
    """``max_age_s`` is None where any age will do; ``must_hit`` is ``only-if-cached``."""

    read: bool = True
    store: bool = True
    max_age_s: int | None = None
    must_hit: bool = False


PLAIN: Final = CacheControl()


def read_cache_control(value: str) -> CacheControl:
    """The directives that bind a cache; unknown ones say nothing (section 5.2.3).

    A ``max-age`` that is no number asks for a fresh answer: the client wanted some bound.
    """
    if not value:
        return PLAIN
    given = [part.partition("=") for part in value.lower().split(",")]
    named = {name.strip(): argument.strip().strip('"') for name, _, argument in given}
    max_age_s = None
    if "max-age" in named:
        age = named["max-age"]
        max_age_s = int(age) if age.isascii() and age.isdecimal() and len(age) <= 10 else 0
    return CacheControl(
        read="no-cache" not in named and max_age_s != 0,
        store="no-store" not in named,
        max_age_s=max_age_s,
        must_hit="only-if-cached" in named,
    )
