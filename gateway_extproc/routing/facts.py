"""What route rules may ask about a request, and what a plan needs to know of its size.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.identity import Permit
from gateway_extproc.core.planning import Policy
from gateway_extproc.core.usage import estimate_tokens

OVERHEAD: Final = 20
"""Tokens that a message adds at most to the bytes of its texts, by the estimate's own bounds."""
MOST_TOOLS: Final = 1000
"""Tokens that providers add at most where there are tools."""


class Asking(NamedTuple):
    """A request as routing sees it; ``region`` is what it asks for, empty for none.

    ``model`` is the one that is asked for, aliases resolved.
    ``count`` estimates the tokens of its prompt, as it will be sent.
    """

    request: LlmRequest
    model: str
    body_bytes: int
    needs: frozenset[str]
    region: str
    cap_tokens: int
    count: Callable[[LlmRequest], int]

    def prompt_tokens(self) -> int:
        """Tokens of the prompt, estimated for no model in particular."""
        return self.count(self.request)

    def tokens_for(self, policy: Policy) -> int:
        """Tokens of the prompt, or 0 where a policy needs no estimate.

        It needs one where a context window could be too small: texts have fewer tokens than the
        whole body has bytes.  Costs are compared by the body's size, which takes no time; a body
        with images or files says nothing of its tokens.
        """
        if self._might_not_fit(policy.least_context):
            return self.prompt_tokens()
        if not policy.weighs_cost:
            return 0
        return self.prompt_tokens() if self.request.media else estimate_tokens(self.body_bytes)

    def _might_not_fit(self, least: int | None) -> bool:
        if least is None:
            return False
        request = self.request
        if request.media:
            return True
        bound = self.body_bytes + OVERHEAD * (len(request.texts) + 1) + self.cap_tokens
        return bound + (MOST_TOOLS if request.has_tools else 0) > least


def fact_of(name: str, asking: Asking, permit: Permit, source: str, now_s: float) -> Any:
    """The value of a variable that policy can be asked for by name; KeyError for others.

    The names are those of conditions of roles and of route rules; ``language`` and ``complexity``
    are told by others.
    """
    return _FACTS[name](asking, permit, source, now_s)


_Fact = Callable[[Asking, Permit, str, float], Any]

_FACTS: Final[Mapping[str, _Fact]] = {
    "tenant": lambda asking, permit, source, now_s: permit.principal.tenant.id,
    "user": lambda asking, permit, source, now_s: permit.principal.user,
    "application": lambda asking, permit, source, now_s: permit.principal.application,
    "roles": lambda asking, permit, source, now_s: list(permit.principal.roles),
    "method": lambda asking, permit, source, now_s: permit.principal.method,
    "labels": lambda asking, permit, source, now_s: dict(permit.principal.labels),
    "data_classes": lambda asking, permit, source, now_s: sorted(permit.data_classes),
    "endpoint": lambda asking, permit, source, now_s: asking.request.endpoint,
    "model": lambda asking, permit, source, now_s: asking.model,
    "source": lambda asking, permit, source, now_s: source,
    "hour": lambda asking, permit, source, now_s: datetime.fromtimestamp(now_s, UTC).hour,
    "weekday": lambda asking, permit, source, now_s: datetime.fromtimestamp(
        now_s, UTC
    ).isoweekday(),
    "region": lambda asking, permit, source, now_s: asking.region,
    "prompt_tokens": lambda asking, permit, source, now_s: asking.prompt_tokens(),
    "max_tokens": lambda asking, permit, source, now_s: asking.cap_tokens,
    "stream": lambda asking, permit, source, now_s: asking.request.stream,
    "tools": lambda asking, permit, source, now_s: asking.request.has_tools,
    "vision": lambda asking, permit, source, now_s: "vision" in asking.needs,
}
"""One by one, because a condition asks for few of them."""


def needs_same_dialect(asking: Asking) -> bool:
    """Whether only providers of the client's own dialect, and of those that know the same
    (``needs.can_be_told_schemas``), can be told what it asks for."""
    return "json_schema" in asking.needs
