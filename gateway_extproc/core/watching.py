"""What is remembered of a request that was sent, until its outcome is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway_extproc.core.route import Target


@dataclass(slots=True)
class Watching:
    """``number`` names it among those that wait; ``sent_s`` is in seconds since 1970.

    ``positions`` tell by cluster which of a provider's credentials a request takes, where it has
    several.  ``unjudged`` is the target of a good answer whose body is not over.
    """

    number: int
    sent_s: float
    positions: Mapping[str, int] = field(default_factory=dict)
    headers_came: bool = False
    unjudged: Target | None = None
    is_counted: bool = False
