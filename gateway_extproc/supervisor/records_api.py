"""Decisions and costs at the admin server: questions of ``evidence.feed``.

Who lacks ``every_tenant`` sees records of his own tenant only, whatever he asks for; a record
whose tenant is masked is nobody's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.evidence.columns import OUTCOMES, Filter
from gateway_extproc.evidence.feed import DIMENSIONS, PAGE_MAX, FileFeed
from gateway_extproc.evidence.following import Follower
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
EXPORTS_MAX: Final = 2
TAIL_PAUSE_S: Final = 0.3
RECHECK_S: Final = 15.0
"""How long a tail may outlive the key that it was opened with."""

NAMES: Final = {
    "tenant": "tenant", "user": "user", "application": "application", "credential_id": "key",
    "endpoint": "endpoint", "requested_model": "requested_model", "model": "model",
    "route": "route", "provider": "provider", "rule": "rule", "reason": "reason",
    "outcome": "outcome", "request_id": "request_id",
}  # fmt: skip
"""Filters that are texts, and what they are called in ``columns.Filter``."""

FILTER: Final = frozenset({*NAMES, "status", "since", "until"})
COSTS: Final = frozenset(
    {"tenant", "user", "application", "credential_id", "model", "route", "provider",
     "outcome", "since", "until"}
)  # fmt: skip

Item = TypeVar("Item")


class RecordsApi:
    """Calls over a feed, one reading at a time and none on the loop."""

    def __init__(self, feed: FileFeed) -> None:
        self._feed = feed
        self._lock = asyncio.Lock()
        self._tails, self._exports = 0, 0
        self._closed = asyncio.Event()

    def calls(self) -> list[Call]:
        """What is served, and which permission each call asks for."""
        one, count = "/v1/decisions/{id}", "/v1/decisions/count"
        return [
            Call("QueryDecisions", "view_decisions", "GET", "/v1/decisions", self._query),
            Call("CountDecisions", "view_decisions", "GET", count, self._count),
            Call("GetDecision", "view_decisions", "GET", one, self._get),
            Call("SumCosts", "view_costs", "GET", "/v1/costs", self._sum),
        ]

    def streams(self) -> list[StreamCall]:
        """Those that go on."""
        tail, export = "/v1/decisions/tail", "/v1/decisions/export"
        return [
            StreamCall("TailDecisions", "view_decisions", tail, self._tail),
            StreamCall("ExportDecisions", "view_decisions", export, self._export),
        ]

    def close(self) -> None:
        """Ends all tails."""
        self._closed.set()

    async def _query(self, caller: Caller, arguments: Arguments) -> Document:
        which = _filter(caller, arguments, FILTER | {"limit", "before"})
        limit = _number(arguments, "limit", PAGE)
        if not 1 <= limit <= PAGE_MAX:
            raise ValueError(f"limit: 1 to {PAGE_MAX}")
        before = _text(arguments, "before")

        def work() -> Document:
            page = self._feed.page(which, limit, before)
            return {"decisions": page.records, "next": page.next}

        return await run_beside(self._lock, work)

    async def _count(self, caller: Caller, arguments: Arguments) -> Document:
        which = _filter(caller, arguments, FILTER)
        return await run_beside(self._lock, lambda: self._feed.totals(which)._asdict())

    async def _get(self, caller: Caller, arguments: Arguments) -> Document:
        wanted = _text(arguments, "id")

        def work() -> Document:
            record = self._feed.find(wanted)
            if record is None or not may_see(caller, record.get("tenant", "")):
                raise NotFound(f"no decision {wanted!r} on this host")
            return record

        return await run_beside(self._lock, work)

    async def _sum(self, caller: Caller, arguments: Arguments) -> Document:
        which = _filter(caller, arguments, COSTS | {"by"})
        by = _dimensions(arguments.get("by", ()))
        return await run_beside(self._lock, lambda: {"sums": self._feed.sums(by, which)})

    # --------------------------------------------------------------------------- streams

    def _tail(self, caller: Caller, arguments: Arguments, still: Still) -> AsyncIterator[Document]:
        which = _filter(caller, arguments, FILTER - {"since", "until", "request_id"})
        if self._tails >= TAILS_MAX:
            raise Busy(f"{TAILS_MAX} tails are open")
        return self._follow(self._feed.follow(), which, still)

    async def _follow(
        self, follower: Follower, which: Filter, still: Still
    ) -> AsyncIterator[Document]:
        self._tails += 1
        try:
            checked_s = time.monotonic()
            while not self._closed.is_set():
                for record in await asyncio.to_thread(follower.poll):
                    if which.matches(record):
                        yield record
                if time.monotonic() - checked_s > RECHECK_S:
                    if not await still():
                        return
                    checked_s = time.monotonic()
                await _wait(self._closed, TAIL_PAUSE_S)
        finally:
            self._tails -= 1

    def _export(
        self, caller: Caller, arguments: Arguments, still: Still
    ) -> AsyncIterator[Document]:
        which = _filter(caller, arguments, FILTER | {"limit"})
        limit = _number(arguments, "limit", 0) or None
        if self._exports >= EXPORTS_MAX:
            raise Busy(f"{EXPORTS_MAX} exports are being written")
        return self._read_all(which, limit, still)

    async def _read_all(
        self, which: Filter, limit: int | None, still: Still
    ) -> AsyncIterator[Document]:
        self._exports += 1
        checked_s = time.monotonic()
        try:
            async with aclosing(_beside(lambda: self._feed.export(which, limit))) as batches:
                async for batch in batches:
                    for record in batch:
                        yield record
                    # Whoever reads must not take a part for the whole.
                    if self._closed.is_set():
                        raise StoreUnavailable("the gateway is stopping")
                    if time.monotonic() - checked_s > RECHECK_S:
                        if not await still():
                            raise PermissionError("the permission ended meanwhile")
                        checked_s = time.monotonic()
        finally:
            self._exports -= 1


async def _beside(make: Callable[[], Iterator[Item]]) -> AsyncGenerator[Item, None]:
    """What an iterator gives, each taken off the loop; it is closed when nobody wants more."""
    end = object()
    source = await asyncio.to_thread(make)
    try:
        while (item := await asyncio.to_thread(next, source, end)) is not end:
            yield item  # type: ignore[misc]
    finally:
        await asyncio.to_thread(source.close)  # type: ignore[attr-defined]


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


def _filter(caller: Caller, arguments: Arguments, known: frozenset[str]) -> Filter:
    """What is asked for, of what the caller may see."""
    _check_names(arguments, known)
    texts: dict[str, Any] = {
        called: _text(arguments, name) for name, called in NAMES.items() if name in arguments
    }
    outcome = texts.get("outcome", "")
    which = Filter(
        **{**texts, "outcome": OUTCOMES.get(outcome.lower(), outcome.upper())},
        status=_number(arguments, "status", 0),
        since_us=_time(arguments, "since"),
        until_us=_time(arguments, "until"),
    )
    return replace(which, tenant=_own_tenant(caller, which.tenant))


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


def _time(arguments: Arguments, name: str) -> int | None:
    """Microseconds since 1970; None where nothing is said."""
    text = _text(arguments, name)
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{name}: a time as in RFC 3339 ({error})") from None
    if at.tzinfo is None:
        raise ValueError(f"{name}: a time needs a zone, such as Z")
    return int(at.timestamp()) * 1_000_000 + at.microsecond
