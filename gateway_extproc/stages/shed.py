"""What a shed request gets: an answer that was written long before it came.

Called by the wire before there is an exchange: no span, no record, no stage.  It is counted, and
Envoy's access log shows it with ``gateway_overloaded``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway_extproc.core.endpoint import error_dialect
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.ports import Dialect
from gateway_extproc.core.shedding import RETRY_AFTER_S, Priority, Shedding
from gateway_extproc.core.verdict import Answer
from gateway_extproc.stages.refusal import retry_headers

MESSAGE: Final = "The gateway is overloaded; try again shortly."


class Shed:
    """Decides at the first message of a stream; None lets it pass."""

    def __init__(
        self,
        shedding: Shedding,
        dialects: Mapping[str, Dialect],
        priority_header: str,
        count: Callable[[Priority], None],
    ) -> None:
        self._shedding, self._header, self._count = shedding, priority_header, count
        self._answers = {
            (name, wait_s): _answer(dialect, wait_s)
            for name, dialect in dialects.items()
            for wait_s in RETRY_AFTER_S
        }

    def __call__(self, headers: Mapping[str, str]) -> Answer | None:
        """The refusal of a request with these headers, if it is turned away."""
        priority = priority_of(headers, self._header)
        if not self._shedding.turns_away(priority):
            return None
        self._count(priority)
        dialect = error_dialect(headers.get(":path", ""), headers)
        return self._answers[dialect, self._shedding.retry_after_s()]


def priority_of(headers: Mapping[str, str], header: str) -> Priority:
    """What a request says of itself: it can only say that it may wait."""
    return "batch" if header and headers.get(header, "").lower() == "batch" else "interactive"


def _answer(dialect: Dialect, wait_s: float) -> Answer:
    refusal = refuse("overloaded", MESSAGE, retry_after_s=wait_s)
    headers = (
        ("content-type", "application/json"),
        *dialect.refusal_headers(refusal),
        *retry_headers(refusal),
    )
    return Answer(refusal.status, headers, dialect.refusal_body(refusal, ""), "overloaded")
