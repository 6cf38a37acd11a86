"""guard: what may go in, what may come out, also inside streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway_extproc.core.chat import LlmRequest, Path
from gateway_extproc.core.document import replace_at
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import Guard as Guards
from gateway_extproc.core.ports import Release, Scan
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Amend, Respond, Verdict


class Guard(Stage):
    name = "guard"

    def __init__(self, guards: Guards, messages: Mapping[str, str]) -> None:
        self._guards = guards
        self._messages = messages

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        asked = exchange.asked
        if asked is None:
            return CONTINUE
        scan = self._guards.scan_request(asked.texts, _tenant(exchange))
        exchange.findings.extend(scan.findings)
        if scan.blocked_by is not None:
            return self._refuse("prompt_blocked", "This prompt", scan.blocked_by)
        exchange.approved = _masked_request(asked, scan)
        if not scan.masked:
            return CONTINUE
        return Amend(rule=_masking_rule(scan))

    async def response_body(self, exchange: Exchange, body: bytes, *, last: bool) -> Verdict:
        arrived = exchange.arrived
        if arrived is None:
            return CONTINUE
        if exchange.streaming:
            return self._filter_stream(exchange, arrived, last=last)
        scan = self._guards.scan_answer(arrived.texts, _tenant(exchange))
        exchange.findings.extend(scan.findings)
        if scan.blocked_by is not None:
            return self._refuse("answer_blocked", "The answer", scan.blocked_by)
        exchange.released = _masked_answer(arrived, scan)
        return Amend(rule=_masking_rule(scan)) if scan.masked else CONTINUE

    def _filter_stream(self, exchange: Exchange, arrived: Release, *, last: bool) -> Verdict:
        if exchange.stream_blocked_by:
            # The client has its polite end; what still comes is cleared.
            exchange.released = Release(raw=b"")
            return CONTINUE
        if exchange.window is None:
            exchange.window = self._guards.window(_tenant(exchange))
        if exchange.window is None:
            exchange.released = arrived
            return CONTINUE
        result = exchange.window.push(arrived.chunks, last=last)
        exchange.findings.extend(result.findings)
        exchange.released = replace(arrived, chunks=result.chunks)
        if result.blocked_by is None:
            return CONTINUE
        exchange.stream_blocked_by = result.blocked_by
        # The status line said 200 long ago; the record says what became of it.
        exchange.refusal = self._refusal("answer_blocked", "The answer", result.blocked_by)
        exchange.outcome = "refused"
        return Amend(rule=result.blocked_by)

    def _refuse(self, reason: str, subject: str, rule: str) -> Respond:
        return Respond(self._refusal(reason, subject, rule), rule=rule)

    def _refusal(self, reason: str, subject: str, rule: str) -> Refusal:
        message = self._messages.get(rule) or f"{subject} is not allowed by policy '{rule}'."
        return refuse(reason, message, rule=rule)


def _tenant(exchange: Exchange) -> str:
    assert exchange.permit is not None
    return exchange.permit.principal.tenant.id


def _masking_rule(scan: Scan) -> str:
    """The first rule that changed something; others may only have looked."""
    return next(f.rule for f in scan.findings if f.action == "mask" and f.mode == "enforce")


def _masked_request(asked: LlmRequest, scan: Scan) -> LlmRequest:
    if not scan.masked:
        return asked
    new = {at.path: text for at, text in scan.masked}
    return replace(
        asked,
        document=replace_at(asked.document, new.items()),
        texts=tuple(replace(at, text=new[at.path]) if at.path in new else at for at in asked.texts),
    )


def _masked_answer(arrived: Release, scan: Scan) -> Release:
    if not scan.masked or arrived.document is None:
        return arrived
    edits: list[tuple[Path, str | None]] = [(at.path, text) for at, text in scan.masked]
    edits += [(path, None) for path in arrived.echoes]
    return replace(arrived, document=replace_at(arrived.document, edits), raw=None)
