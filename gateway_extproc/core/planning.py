"""What a plan of targets is made from, and what it says: values only.

The configuration makes policies, the route stage asks a query, the planner in ``routing/`` answers
with a plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, get_args

from gateway_extproc.core.access import Condition, Matcher, match_all
from gateway_extproc.core.route import Target

StrategyName = Literal[
    "priority",
    "weighted",
    "quality_first",
    "cost_optimized",
    "latency",
    "score",
    "region",
    "complexity",
]
STRATEGIES: Final[tuple[StrategyName, ...]] = get_args(StrategyName)
Sticky = Literal["none", "user", "conversation"]
Tier = Literal["below", "above"]


class Choice(NamedTuple):
    """A target as a policy names it; ``tier`` is for the strategy ``complexity``."""

    target: Target
    weight: int = 1
    tier: Tier | None = None


class Shadow(NamedTuple):
    """A target that is sent a copy of a share of the requests; its answer is only recorded."""

    target: Target
    share: float


class ScoreWeights(NamedTuple):
    """What ``score`` weighs; each at least 0, one of them more."""

    quality: float = 1.0
    cost: float = 1.0
    latency: float = 1.0


EVEN: Final = ScoreWeights()


@dataclass(frozen=True, slots=True)
class Policy:
    """Between which targets to choose, and how.

    ``key`` is unique in a snapshot: what was worked out for a policy is remembered by it.
    ``regions`` matches the regions that may be used at all; None where all may.
    """

    key: str
    choices: tuple[Choice, ...]
    strategy: StrategyName = "priority"
    sticky: Sticky = "none"
    percentile: Literal["p50", "p95"] = "p50"
    score: ScoreWeights = EVEN
    threshold: float = 0.5
    target_saving: float | None = None
    target_quality: float | None = None
    regions: Matcher | None = None
    shadows: tuple[Shadow, ...] = ()
    least_context: int | None = None
    """The smallest context window among the choices that is known."""

    @property
    def weighs_cost(self) -> bool:
        return self.strategy in ("cost_optimized", "score")


@dataclass(frozen=True, slots=True)
class RouteRule:
    """A rule that sends some requests by a policy of its own.

    Empty ``tenants``, ``endpoints`` or ``models`` mean all; a model may end in ``*``.
    ``uses`` are the variables that the condition may ask.  ``policies`` holds the policy by the
    model that is asked for: a rule without targets chooses among the model's own.
    """

    id: str
    mode: Literal["enforce", "shadow"]
    policies: Mapping[str, Policy] = field(hash=False)
    tenants: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    condition: Condition | None = field(default=None, repr=False)
    uses: frozenset[str] = frozenset()


class Query(NamedTuple):
    """All that a plan hangs on beside policy and standing.

    ``classes`` are the data classes that a target must be approved for; ``needs`` are
    capabilities; ``same_dialect`` wants the client's own, ``json_mode`` asks for JSON of any
    shape.  ``region`` is asked for or the gateway's own, ``region_required`` makes it a filter.
    ``prompt_tokens`` is 0 where nothing that is asked hangs on it.  ``cap_tokens`` is the most
    that may be answered, ``named_cap`` whether the client said so, ``expected_tokens`` what will
    probably be answered.  Draws lie in [0, 1).  ``user`` and ``conversation`` are what a policy
    may stick to, empty where unknown.  ``grant`` names whoever made ``may_use_target``.
    """

    endpoint: str
    dialect: str
    classes: frozenset[str]
    needs: frozenset[str] = frozenset()
    same_dialect: bool = False
    json_mode: bool = False
    region: str = ""
    region_required: bool = False
    prompt_tokens: int = 0
    cap_tokens: int = 0
    named_cap: bool = False
    expected_tokens: int = 0
    complexity: float = 0.0
    share_draw: float = 0.0
    choice_draw: float = 0.0
    user: str = ""
    conversation: str = ""
    grant: str = ""
    may_use_target: Matcher = match_all


Cause = Literal[
    "permission",
    "data_class",
    "region",
    "endpoint",
    "dialect",
    "capability",
    "max_tokens",
    "context",
    "drained",
]
"""Why a target may not be tried; in the order in which it is asked."""
CAUSES: Final[tuple[Cause, ...]] = get_args(Cause)


class Drop(NamedTuple):
    """A target that may not be tried, why, and the same for readers."""

    target: Target
    cause: Cause
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Who shall answer, in order, and how that came about.

    ``rule`` is the route rule that matched, empty for the model's own policy; ``shadow_rules``
    would have matched before it.  ``shadows`` are sent a copy.
    """

    targets: tuple[Target, ...]
    policy: Policy
    query: Query
    dropped: tuple[Drop, ...] = ()
    shadows: tuple[Target, ...] = ()
    rule: str = ""
    shadow_rules: tuple[str, ...] = ()
