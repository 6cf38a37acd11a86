"""guard: what may go in, what may come out, also inside streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from zlib import crc32

from gateway_extproc.core.chat import Chunk, LlmRequest, Path, TextAt
from gateway_extproc.core.document import replace_at
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.ports import Guard as Guards
from gateway_extproc.core.ports import Guarded, Masked, Release, Scan, StoreUnavailable
from gateway_extproc.core.route import Target
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Amend, Respond, Verdict
from gateway_extproc.stages.conversation import Conversation, Conversations

ANNOTATIONS = "x-gateway-guard"
"""Names the rules that only annotate and found something in the prompt."""

_TRIES = 4
"""Requests of one conversation at once that wait for each other."""

Plan = Callable[[Exchange, frozenset[str]], tuple[Target, ...]]
"""Who may answer a request whose data has these classes, too."""


class Guard(Stage):
    name = "guard"

    def __init__(
        self, guards: Guards, plan: Plan, conversations: Conversations | None = None
    ) -> None:
        self._guards, self._plan, self._conversations = guards, plan, conversations

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        asked = exchange.asked
        if asked is None:
            return CONTINUE
        who = guarded(exchange)
        kept = self._conversations
        conversation = kept.of(exchange) if kept is not None else None
        if conversation is None:
            scan = self._guards.scan_request(asked.texts, who)
        else:
            outcome = await self._scan_kept(exchange, asked.texts, who, conversation)
            if isinstance(outcome, Refusal):
                return Respond(outcome)
            scan = outcome
        exchange.guard_scope = self._guards.scope(who)
        exchange.findings.extend(scan.findings)
        exchange.scanned_chars, exchange.scannable_chars = scan.scanned, scan.total
        refused = self._unless(exchange, scan, "prompt_blocked", "This prompt")
        if refused is not None:
            return refused
        if scan.classes:
            exchange.targets = self._plan(exchange, scan.classes)
            exchange.shadow_targets = tuple(
                [t for t in exchange.shadow_targets if scan.classes <= t.data_classes]
            )
            if not exchange.targets:
                message = f"No provider is approved for what policy '{scan.routed_by}' found."
                return Respond(refuse("no_eligible_target", message, rule=scan.routed_by))
        exchange.approved = _changed_request(asked, scan)
        exchange.masked = scan.masked
        rule = scan.changed_by or scan.routed_by
        return Amend(rule=rule) if rule else CONTINUE

    async def _scan_kept(
        self, exchange: Exchange, texts: Sequence[TextAt], who: Guarded, named: Conversation
    ) -> Scan | Refusal:
        """Scans with the masks of earlier requests, and keeps what this one adds."""
        kept = self._conversations
        assert kept is not None
        try:
            for _ in range(_TRIES):
                opened = await kept.open(named)
                scan = self._guards.scan_request(texts, who, opened.masks)
                if not opened.masks.changed or await kept.keep(named, opened):
                    if opened.lost:
                        exchange.degraded = (*exchange.degraded, "masks")
                    return scan
        except StoreUnavailable:
            if not kept.required:
                exchange.degraded = (*exchange.degraded, "masks")
                return self._guards.scan_request(texts, who)
        message = "What stands for masked values of this conversation could not be kept."
        return refuse("guard_unavailable", message, retry_after_s=1.0)

    async def response_headers(self, exchange: Exchange) -> Verdict:
        named = {f.rule: None for f in exchange.findings if f.action == "annotate" and f.enforced}
        return Amend(set_headers=((ANNOTATIONS, ",".join(named)),)) if named else CONTINUE

    async def response_body(self, exchange: Exchange, body: bytes, *, last: bool) -> Verdict:
        arrived = exchange.arrived
        if arrived is None:
            return CONTINUE
        if exchange.streaming:
            return self._filter_stream(exchange, arrived, last=last)
        scan = self._guards.scan_answer(arrived.texts, guarded(exchange), exchange.approved)
        exchange.findings.extend(scan.findings)
        refused = self._unless(exchange, scan, "answer_blocked", "The answer")
        if refused is not None:
            return refused
        exchange.released = _changed_answer(arrived, scan, exchange.masked)
        return Amend(rule=scan.changed_by) if scan.changed else CONTINUE

    def _unless(self, exchange: Exchange, scan: Scan, reason: str, subject: str) -> Verdict | None:
        """The refusal, where a rule blocks or could not look and must not let pass."""
        if scan.unjudged:
            exchange.degraded = (*exchange.degraded, "guard")
        if scan.blocked_by is not None:
            if self._guards.may_ask_again(guarded(exchange), scan.blocked_by):
                reason = "answer_malformed"
            return self._refuse(reason, subject, scan.blocked_by)
        if scan.refused_by is not None:
            message = f"Policy '{scan.refused_by}' could not be applied to this request."
            refusal = refuse("guard_unavailable", message, retry_after_s=1.0, rule=scan.refused_by)
            return Respond(refusal, rule=scan.refused_by)
        exchange.failed_open = exchange.failed_open or bool(scan.unjudged)
        return None

    def _filter_stream(self, exchange: Exchange, arrived: Release, *, last: bool) -> Verdict:
        if exchange.stream_blocked_by:
            # The client has its polite end; what still comes is cleared.
            exchange.released = Release(raw=b"")
            return CONTINUE
        if exchange.window is None:
            exchange.window = self._guards.window(guarded(exchange), exchange.approved)
        if exchange.window is None:
            chunks = _restored_chunks(exchange, arrived.chunks, last=last)
            exchange.released = replace(arrived, chunks=chunks) if exchange.masked else arrived
            return CONTINUE
        result = exchange.window.push(arrived.chunks, last=last)
        ends = last or result.blocked_by is not None
        chunks = _restored_chunks(exchange, result.chunks, last=ends)
        exchange.findings.extend(result.findings)
        exchange.released = replace(arrived, chunks=chunks)
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
        message = self._guards.message_of(rule) or f"{subject} is not allowed by policy '{rule}'."
        return refuse(reason, message, rule=rule)


def guarded(exchange: Exchange) -> Guarded:
    """By whose rules the texts are judged; a request is drawn for a sample by its id."""
    assert exchange.permit is not None
    principal = exchange.permit.principal
    return Guarded(
        principal.tenant.id,
        exchange.policy_model,
        principal.credential_id,
        crc32(exchange.decision_id.encode()) / (1 << 32),
    )


def _changed_request(asked: LlmRequest, scan: Scan) -> LlmRequest:
    if not scan.changed:
        return asked
    new = {at.path: text for at, text in scan.changed}
    return replace(
        asked,
        document=replace_at(asked.document, new.items()),
        texts=tuple(replace(at, text=new[at.path]) if at.path in new else at for at in asked.texts),
    )


def _changed_answer(arrived: Release, scan: Scan, masked: Masked | None) -> Release:
    """The answer after what rules change, with what was masked in the request put back."""
    if arrived.document is None:
        return arrived
    new = {at.path: text for at, text in scan.changed}
    if masked is not None:
        texts = [replace(at, text=new.get(at.path, at.text)) for at in arrived.texts]
        new.update(masked.restored(arrived.document, texts))
    if not new:
        return arrived
    edits: list[tuple[Path, str | None]] = list(new.items())
    edits += [(path, None) for path in arrived.echoes]
    return replace(arrived, document=replace_at(arrived.document, edits), raw=None)


def _restored_chunks(
    exchange: Exchange, chunks: tuple[Chunk, ...], *, last: bool
) -> tuple[Chunk, ...]:
    if exchange.masked is None:
        return chunks
    if exchange.restorer is None:
        exchange.restorer = exchange.masked.restorer()
    return exchange.restorer.push(chunks, last=last)
