"""Strategies: in which order the targets that may serve a request are tried.

Each takes what the filters left and gives the same targets in another order, so that none can
bring a dropped one back.  docs/routing.md states the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Final

from gateway_extproc.core.money import Price
from gateway_extproc.core.planning import Choice, Policy, Query, StrategyName
from gateway_extproc.core.standing import Standings
from gateway_extproc.core.usage import Usage
from gateway_extproc.routing.complexity import threshold_for

Choices = Sequence[Choice]
Strategy = Callable[[Choices, Policy, Query, Standings], Choices]

EXPLORED: Final = 0.05
"""Share of the requests for which ``latency`` tries what nobody has measured yet first."""
UNKNOWN_QUALITY: Final = 0.5
NOWHERE: Final = math.inf

_MASK: Final = (1 << 64) - 1
_HASHES: Final = float(1 << 64)


def order(choices: Choices, policy: Policy, query: Query, standings: Standings) -> Choices:
    """The choices in the order of the policy's strategy."""
    if len(choices) < 2:
        return choices
    return _STRATEGIES[policy.strategy](choices, policy, query, standings)


# ------------------------------------------------------------------------- what is compared


def expected_nanos(price: Price | None, query: Query) -> float:
    """What a request will probably cost; infinity where no price is known."""
    if price is None:
        return NOWHERE
    above = price.long_above_tokens
    if above is None or query.prompt_tokens <= above:
        return (
            query.prompt_tokens * price.prompt_nanos
            + query.expected_tokens * price.completion_nanos
        )
    usage = Usage(query.prompt_tokens, query.expected_tokens, source="estimated")
    return price.rates(query.prompt_tokens).of(usage)


def quality(choice: Choice) -> float:
    """A model's quality; the middle where nobody has said it."""
    known = choice.target.facts.quality
    return UNKNOWN_QUALITY if known is None else known


def latency_ms(choice: Choice, policy: Policy, standings: Standings) -> float | None:
    """The measured time to the first byte that the policy looks at."""
    standing = standings.of(choice.target)
    return standing.p50_ms if policy.percentile == "p50" else standing.p95_ms


def scores(choices: Choices, policy: Policy, query: Query, standings: Standings) -> list[float]:
    """Of each choice the mean of quality, cheapness and speed, weighed; all lie in [0, 1]."""
    costs = [expected_nanos(choice.target.price, query) for choice in choices]
    times = [latency_ms(choice, policy, standings) for choice in choices]
    cheapest = min(costs)
    fastest = min((ms for ms in times if ms is not None), default=0.0)
    weights = policy.score
    total = weights.quality + weights.cost + weights.latency
    return [
        (
            weights.quality * quality(choice)
            + weights.cost * _nearness(cheapest, nanos)
            + weights.latency * (1.0 if ms is None else _nearness(fastest, ms))
        )
        / total
        for choice, nanos, ms in zip(choices, costs, times, strict=True)
    ]


def _nearness(best: float, value: float) -> float:
    """1 for the best, half for what is twice as much, 0 for what is unknown."""
    if value == NOWHERE:
        return 0.0
    return 1.0 if value <= best or value <= 0 else best / value


# ------------------------------------------------------------------------- the strategies


def _priority(choices: Choices, policy: Policy, query: Query, standings: Standings) -> Choices:
    return choices


def _weighted(choices: Choices, policy: Policy, query: Query, standings: Standings) -> Choices:
    key = sticky_key(policy, query)
    heavy = [choice for choice in choices if choice.weight]
    light = [choice for choice in choices if not choice.weight]
    drawn = _by_hash(heavy, f"{policy.key}\0{key}") if key else _by_draw(heavy, query.choice_draw)
    return [*drawn, *light]


def _quality_first(choices: Choices, policy: Policy, query: Query, standings: Standings) -> Choices:
    return sorted(choices, key=quality, reverse=True)


def _cost_optimized(
    choices: Choices, policy: Policy, query: Query, standings: Standings
) -> Choices:
    return _ascending(choices, [expected_nanos(c.target.price, query) for c in choices])


def _latency(choices: Choices, policy: Policy, query: Query, standings: Standings) -> Choices:
    unseen = -1.0 if query.choice_draw < EXPLORED else NOWHERE
    times = [latency_ms(choice, policy, standings) for choice in choices]
    return _ascending(choices, [unseen if ms is None else ms for ms in times])


def _score(choices: Choices, policy: Policy, query: Query, standings: Standings) -> Choices:
    return _ascending(choices, [-s for s in scores(choices, policy, query, standings)])


def _region(choices: Choices, policy: Policy, query: Query, standings: Standings) -> Choices:
    return _ascending(choices, [distance(c.target.region, query.region) for c in choices])


def _complexity(choices: Choices, policy: Policy, query: Query, standings: Standings) -> Choices:
    tier = "above" if query.complexity >= threshold_of(policy) else "below"
    return _ascending(choices, [0 if choice.tier == tier else 1 for choice in choices])


_STRATEGIES: Final[Mapping[StrategyName, Strategy]] = {
    "priority": _priority,
    "weighted": _weighted,
    "quality_first": _quality_first,
    "cost_optimized": _cost_optimized,
    "latency": _latency,
    "score": _score,
    "region": _region,
    "complexity": _complexity,
}


def threshold_of(policy: Policy) -> float:
    """From which complexity on the stronger tier answers: as given, or as a wish needs it."""
    return _threshold(policy.threshold, policy.target_saving, policy.target_quality)


@cache
def _threshold(given: float, saving: float | None, quality: float | None) -> float:
    if saving is None and quality is None:
        return given
    return threshold_for(saving=saving, quality=quality)


def _ascending(choices: Choices, values: Sequence[float]) -> Choices:
    """The choices by value, those of one value in the file's order."""
    return [choices[i] for i in sorted(range(len(choices)), key=values.__getitem__)]


def distance(region: str, wanted: str) -> int:
    """0 for the region itself or a part of it, 1 for the same area, 2 for elsewhere.

    Areas are what stands before the first hyphen: ``eu-west-1`` and ``eu-central-1`` share one.
    """
    if not wanted or region == wanted or region.startswith(f"{wanted}-"):
        return 0
    return 1 if region and region.partition("-")[0] == wanted.partition("-")[0] else 2


# ------------------------------------------------------------------------- weighted


def sticky_key(policy: Policy, query: Query) -> str:
    """Whose requests stay together; empty where the policy or the request names nobody."""
    if policy.sticky == "none":
        return ""
    return query.user if policy.sticky == "user" else query.conversation


def _by_draw(choices: Choices, draw: float) -> list[Choice]:
    """One after the other by weight: what is left of the draw decides about the next."""
    left, drawn = list(choices), list[Choice]()
    while len(left) > 1:
        point = draw * sum(choice.weight for choice in left)
        for at, choice in enumerate(left):
            if point < choice.weight or at == len(left) - 1:
                break
            point -= choice.weight
        draw = min(point / choice.weight, 1 - 2**-53)
        drawn.append(left.pop(at))
    return drawn + left


def _by_hash(choices: Choices, key: str) -> Choices:
    """Weighted rendezvous: each target draws for each key, the best draw is first.

    A target that comes, goes or changes its weight moves only the keys that it gains or loses.
    """
    seed = _hash(key)
    return _ascending(choices, [_lateness(choice, seed) for choice in choices])


def _lateness(choice: Choice, seed: int) -> float:
    """An exponential draw: the first of several comes first as often as its weight says."""
    target, weight, _ = choice
    mixed = seed ^ _salt(target.provider, target.model)
    # The finalizer of SplitMix64: every bit of the sum tells on every bit of the draw.
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
    return -math.log(((mixed ^ mixed >> 31) + 0.5) / _HASHES) / weight


@lru_cache(maxsize=4096)
def _salt(provider: str, model: str) -> int:
    return _hash(f"{provider}/{model}")


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
