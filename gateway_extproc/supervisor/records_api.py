"""Decisions and costs at the admin server.

Who lacks ``every_tenant`` sees records of his own tenant only, whatever he asks for; a record
whose tenant is masked is nobody's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from gateway_extproc.core.feed import (
    DIMENSIONS,
    EQUAL,
    PAGE_MAX,
    DecisionFilter,
    Feed,
    Follower,
    time_text,
)
from gateway_extproc.supervisor.admin import Caller
from gateway_extproc.supervisor.calls import (
    Arguments,
    Busy,
    Call,
    Document,
    NotFound,
    Still,
    StreamCall,
    may_see,
    run_beside,
)

PAGE: Final = 50
TAILS_MAX: Final = 16
TAIL_PAUSE_S: Final = 0.3
RECHECK_S: Final = 15.0
"""How long a tail may outlive the key that it was opened with."""

FILTER: Final = frozenset({*EQUAL, "reason", "status", "since", "until"})


class RecordsApi:
    """Calls over a feed, one reading at a time and none on the loop."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._lock = asyncio.Lock()
        self._tails = 0
        self._closed = asyncio.Event()

    def calls(self) -> list[Call]:
        """What is served, and which permission each call asks for."""
        one = "/v1/decisions/{id}"
        return [
            Call("QueryDecisions", "view_decisions", "GET", "/v1/decisions", self._query),
            Call("GetDecision", "view_decisions", "GET", one, self._get),
            Call("SumCosts", "view_costs", "GET", "/v1/costs", self._sum),
        ]

    def streams(self) -> list[StreamCall]:
        """Those that go on."""
        return [StreamCall("TailDecisions", "view_decisions", "/v1/decisions/tail", self._tail)]

    def close(self) -> None:
        """Ends all tails."""
        self._closed.set()

    async def _query(self, caller: Caller, arguments: Arguments) -> Document:
        wanted = _filter(caller, arguments, FILTER | {"limit", "before"})
        limit = _number(arguments, "limit", PAGE)
        if not 1 <= limit <= PAGE_MAX:
            raise ValueError(f"limit: 1 to {PAGE_MAX}")
        before = _text(arguments, "before")

        def work() -> Document:
            page = self._feed.page(wanted, limit, before)
            return {"decisions": page.records, "next": page.next}

        return await run_beside(self._lock, work)

    async def _get(self, caller: Caller, arguments: Arguments) -> Document:
        wanted = _text(arguments, "id")

        def work() -> Document:
            record = self._feed.find(wanted)
            if record is None or not may_see(caller, record.get("tenant", "")):
                raise NotFound(f"no decision {wanted!r} on this host")
            return record

        return await run_beside(self._lock, work)

    async def _sum(self, caller: Caller, arguments: Arguments) -> Document:
        _check_names(arguments, frozenset({"by", "tenant", "since", "until"}))
        by = _dimensions(arguments.get("by", ()))
        tenant = _own_tenant(caller, _text(arguments, "tenant"))
        since, until = _time(arguments, "since"), _time(arguments, "until")
        return await run_beside(
            self._lock, lambda: {"sums": self._feed.sums(by, tenant, since, until)}
        )

    def _tail(self, caller: Caller, arguments: Arguments, still: Still) -> AsyncIterator[Document]:
        wanted = _filter(caller, arguments, FILTER - {"since", "until", "request_id"})
        if self._tails >= TAILS_MAX:
            raise Busy(f"{TAILS_MAX} tails are open")
        return self._follow(self._feed.follow(wanted), still)

    async def _follow(self, follower: Follower, still: Still) -> AsyncIterator[Document]:
        self._tails += 1
        try:
            checked_s = time.monotonic()
            while not self._closed.is_set():
                for record in await asyncio.to_thread(follower.read):
                    yield record
                if time.monotonic() - checked_s > RECHECK_S:
                    if not await still():
                        return
                    checked_s = time.monotonic()
                await _wait(self._closed, TAIL_PAUSE_S)
        finally:
            self._tails -= 1


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _own_tenant(caller: Caller, asked: str) -> str:
    """The tenant to look at; "" for all.  Raises PermissionError for another one's."""
    if caller.every_tenant:
        return asked
    own = caller.permit.principal.tenant.id
    if asked not in ("", own):
        raise PermissionError("Your roles do not grant 'every_tenant'.")
    return own


def _filter(caller: Caller, arguments: Arguments, known: frozenset[str]) -> DecisionFilter:
    _check_names(arguments, known)
    said = {name: _text(arguments, name) for name in EQUAL}
    said["tenant"] = _own_tenant(caller, said["tenant"])
    said["outcome"] = said["outcome"].upper()
    return DecisionFilter(
        equal=tuple((name, value) for name, value in said.items() if value),
        reason=_text(arguments, "reason"),
        status=_number(arguments, "status", 0),
        since=_time(arguments, "since"),
        until=_time(arguments, "until"),
    )


def _check_names(arguments: Arguments, known: frozenset[str]) -> None:
    for name in arguments:
        if name not in known:
            raise ValueError(f"{name}: not known here ({', '.join(sorted(known))})")


def _dimensions(said: Any) -> tuple[str, ...]:
    names = said.split(",") if isinstance(said, str) else list(said)
    for name in names:
        if name not in DIMENSIONS and not (name.startswith("labels.") and len(name) > 7):
            raise ValueError(f"by: {', '.join(DIMENSIONS)} or labels.NAME, not {name!r}")
    return tuple(dict.fromkeys(names))


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name, "")
    if not isinstance(value, str) or len(value) > 256:
        raise ValueError(f"{name}: a text of at most 256 characters")
    return value


def _number(arguments: Arguments, name: str, default: int) -> int:
    value = arguments.get(name, default)
    if isinstance(value, bool) or not str(value).isdecimal():
        raise ValueError(f"{name}: a number")
    return int(value)


def _time(arguments: Arguments, name: str) -> str:
    text = _text(arguments, name)
    try:
        return time_text(text) if text else ""
    except ValueError as error:
        raise ValueError(f"{name}: a time as in RFC 3339 ({error})") from None
