"""The plan of a request: filters, then the policy's strategy, then how targets stand.

Several targets of one provider are several attempts; no target is tried twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gateway_extproc.core.planning import Choice, Drop, Plan, Policy, Query
from gateway_extproc.core.route import Target
from gateway_extproc.core.standing import IN_ORDER, Standing, Standings
from gateway_extproc.routing import strategies
from gateway_extproc.routing.filters import Filters, fits, judge

DRAINED: Final = "drained"
"""``Standing.why`` of a target that an operator took out; no attempt goes there."""

TOO_MANY: Final = "more attempts than failover.max_attempts"


class Candidate(NamedTuple):
    """A target as the plan saw it: the attempt in which it is tried, or 0 and why not.

    ``cost_nanos`` is expected, ``latency_ms`` measured; None where unknown.  ``score`` is set
    where the strategy is ``score`` and the target passed the filters.
    """

    target: Target
    attempt: int
    why: str
    cost_nanos: int | None
    quality: float | None
    latency_ms: float | None
    share: float
    score: float | None


class Planner:
    """Makes plans; what is remembered between them is lost without harm."""

    def __init__(self, standings: Standings, max_attempts: int) -> None:
        self._standings, self._most = standings, max_attempts
        self._filters = Filters()

    def plan(
        self, policy: Policy, query: Query, rule: str = "", shadow_rules: tuple[str, ...] = ()
    ) -> Plan:
        """Who shall answer, in order; no target where nobody may."""
        kept, dropped = self._pass(policy, query)
        ordered = strategies.order(kept, policy, query, self._standings)
        targets, drained = self._taken(ordered, query)
        shadows = self._shadows(policy, query) if policy.shadows and targets else ()
        return Plan(targets, policy, query, (*dropped, *drained), shadows, rule, shadow_rules)

    def explain(self, plan: Plan) -> list[Candidate]:
        """Every choice of a plan's policy, in the file's order."""
        policy, query = plan.policy, plan.query
        kept, _ = self._pass(policy, query)
        score = dict[str, float]()
        if policy.strategy == "score" and kept:
            values = strategies.scores(kept, policy, query, self._standings)
            score = {c.target.name: value for c, value in zip(kept, values, strict=True)}
        why = {drop.target.name: drop.why for drop in plan.dropped}
        return [self._candidate(choice, plan, why, score) for choice in policy.choices]

    def _candidate(
        self, choice: Choice, plan: Plan, why: Mapping[str, str], score: Mapping[str, float]
    ) -> Candidate:
        target = choice.target
        standing = self._standings.of(target)
        tried = [t.name for t in plan.targets]
        attempt = tried.index(target.name) + 1 if target.name in tried else 0
        reason = standing.why if attempt else why.get(target.name, "")
        if not attempt and not reason:
            reason = TOO_MANY
        nanos = strategies.expected_nanos(target.price, plan.query)
        return Candidate(
            target, attempt, reason,
            None if nanos == strategies.NOWHERE else int(nanos),
            target.facts.quality,
            strategies.latency_ms(choice, plan.policy, self._standings),
            standing.share,
            score.get(target.name),
        )  # fmt: skip

    def _pass(self, policy: Policy, query: Query) -> tuple[Sequence[Choice], tuple[Drop, ...]]:
        """What all filters leave, and what they drop."""
        sieved = self._filters.sieve(policy, query)
        if sieved.room is None or query.prompt_tokens + query.cap_tokens <= sieved.room:
            return sieved.kept, sieved.dropped
        kept, dropped = list[Choice](), list(sieved.dropped)
        for choice in sieved.kept:
            drop = fits(choice.target, query)
            if drop is None:
                kept.append(choice)
            else:
                dropped.append(drop)
        return kept, tuple(dropped)

    def _taken(
        self, ordered: Sequence[Choice], query: Query
    ) -> tuple[tuple[Target, ...], tuple[Drop, ...]]:
        """Those in order first, then those that are not; a try is better than none."""
        front, drained = dict[str, Target](), list[Drop]()
        behind = list[tuple[float, Target]]()
        for choice in ordered:
            target = choice.target
            standing = self._standings.of(target)
            if standing is IN_ORDER or query.share_draw < standing.share:
                front.setdefault(target.name, target)
                if len(front) == self._most:
                    break
            elif is_drained(standing):
                drained.append(Drop(target, "drained", DRAINED))
            else:
                behind.append((standing.share, target))
        # Who gets nothing now is the last resort.
        for _, target in sorted(behind, key=lambda ranked: -ranked[0]):
            if len(front) < self._most:
                front.setdefault(target.name, target)
        return tuple(front.values()), tuple(drained)

    def _shadows(self, policy: Policy, query: Query) -> tuple[Target, ...]:
        """Those of a policy's shadows that are drawn and may see the request."""
        # A number of its own: copies shall not all be of what one target of a canary served.
        draw = (query.choice_draw * 1021 + query.share_draw) % 1.0
        return tuple(
            target
            for target, share in policy.shadows
            if draw < share
            and judge(target, policy, query) is None
            and fits(target, query) is None
            and not is_drained(self._standings.of(target))
        )


def is_drained(standing: Standing) -> bool:
    """Whether an operator took the target out."""
    return standing.share <= 0 and standing.why == DRAINED
