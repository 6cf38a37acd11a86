"""What route rules may ask about a request, and what a plan needs to know of its size.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.planning import Policy
from gateway_extproc.routing.needs import wants_structure

OVERHEAD: Final = 20
"""Tokens that a message adds at most to the bytes of its texts, by the estimate's own bounds."""


class Asking(NamedTuple):
    """A request as routing sees it; ``region`` is what it asks for, empty for none.

    ``count`` estimates the tokens of its prompt, as it will be sent.
    """

    request: LlmRequest
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

        It needs one to compare costs, and where a context window could be too small; texts have
        fewer tokens than the whole body has bytes.
        """
        if policy.weighs_cost or self._might_not_fit(policy.least_context):
            return self.prompt_tokens()
        return 0

    def _might_not_fit(self, least: int | None) -> bool:
        if least is None:
            return False
        request = self.request
        if request.media or request.has_tools:
            return True
        return self.body_bytes + OVERHEAD * len(request.texts) + self.cap_tokens > least


def facts_of(asking: Asking) -> Mapping[str, Any]:
    """Variables of conditions, or functions that work them out."""
    return {
        "region": asking.region,
        "prompt_tokens": asking.prompt_tokens,
        "max_tokens": asking.cap_tokens,
        "stream": asking.request.stream,
        "tools": asking.request.has_tools,
        "vision": "vision" in asking.needs,
    }


def needs_same_dialect(asking: Asking) -> bool:
    """Whether only providers of the client's own dialect can be told what it asks for."""
    return wants_structure(asking.request.document)
