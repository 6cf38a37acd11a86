"""Reviews of guard findings at the admin server: who sees decisions reports, who guards judges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.core.reviews import Judgement, Review, ReviewClosed, ReviewUnknown
from gateway_extproc.stores.reviews import ReviewFile
from gateway_extproc.supervisor.admin import (
    Caller,
    Failures,
    Gate,
    answer_of,
    document_of,
    requires,
)
from gateway_extproc.supervisor.calls import may_see

MAX_DAYS: Final = 3650

FAILURES: Final[Failures] = {
    ReviewUnknown: (404, "review_unknown"),
    ReviewClosed: (409, "review_closed"),
    StoreUnavailable: (503, "store_unavailable"),
    ValueError: (400, "invalid_request"),
}
"""What calls raise, as status and code."""


class GuardsApi:
    """Handlers over the reviews of this host; ``find`` looks a decision up."""

    def __init__(
        self,
        reviews: ReviewFile,
        find: Callable[[str], Mapping[str, Any] | None],
        now_s: Callable[[], float],
    ) -> None:
        self._reviews, self._find, self._now_s = reviews, find, now_s
        self._lock = asyncio.Lock()

    def routes(self, gate: Gate) -> list[Route]:
        """What is served, and which permission each asks for."""
        all_, one = "/v1/guard/reviews", "/v1/guard/reviews/{id}"
        return [
            Route(all_, requires(gate, "view_decisions", self._list), methods=["GET"]),
            Route(all_, requires(gate, "view_decisions", self._report), methods=["POST"]),
            *(
                Route(
                    f"{one}/{verb}",
                    requires(gate, "change_guards", self._judging(judgement)),
                    methods=["POST"],
                )
                for verb, judgement in VERBS.items()
            ),
        ]

    async def _list(self, request: Request, caller: Caller) -> Response:
        def work() -> dict[str, Any]:
            seen = [review for review in self._reviews.all() if self._sees(caller, review)]
            return {"reviews": [review.shown() for review in seen]}

        return await self._answer(work)

    def _sees(self, caller: Caller, review: Review) -> bool:
        """Whether a review is of a decision that the caller may see."""
        if caller.every_tenant:
            return True
        record = self._find(review.decision_id)
        return record is not None and may_see(caller, record.get("tenant", ""))

    async def _report(self, request: Request, caller: Caller) -> Response:
        document = document_of(request)

        def work() -> dict[str, Any]:
            decision = _text(document, "decision_id")
            record = self._find(decision) if decision else None
            if record is None or not may_see(caller, record.get("tenant", "")):
                raise ReviewUnknown(f"no decision {decision!r} on this host")
            made = self._reviews.report(
                record, _text(document, "rule"), _who(caller), _text(document, "note")
            )
            return {"reviews": [review.shown() for review in made]}

        return await self._answer(work, 201)

    def _judging(self, judgement: Judgement) -> Callable[[Request, Caller], Any]:
        async def handle(request: Request, caller: Caller) -> Response:
            document = document_of(request)

            def work() -> dict[str, Any]:
                until_s = until(self._now_s(), (document or {}).get("days"))
                id_ = request.path_params["id"]
                if not any(
                    one.id == id_ and self._sees(caller, one) for one in self._reviews.all()
                ):
                    raise ReviewUnknown(f"no review {id_}")
                review: Review = self._reviews.judge(
                    id_, judgement, _who(caller), _text(document, "note"), until_s
                )
                return review.shown()

            return await self._answer(work)

        return handle

    async def _answer(self, work: Callable[[], dict[str, Any]], status: int = 200) -> Response:
        return await answer_of(self._lock, work, FAILURES, status)


VERBS: Final[dict[str, Judgement]] = {
    "approve": "approved",
    "reject": "rejected",
    "withdraw": "withdrawn",
}


def until(now_s: float, days: Any) -> float:
    """When an approval ends; 0 for never.  Raises ValueError."""
    if days is None:
        return 0.0
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days <= MAX_DAYS:
        raise ValueError(f"days has to be a number above 0, at most {MAX_DAYS}")
    return now_s + days * 86400


def _who(caller: Caller) -> str:
    principal = caller.permit.principal
    return f"{principal.tenant.id}/{principal.user}"


def _text(document: Mapping[str, Any] | None, name: str) -> str:
    if document is None:
        raise ValueError("a JSON object is expected")
    value = document.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{name} has to be a text")
    return value
