"""The guard of ``core.ports``: rules over whole texts, and windows over streams."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gateway_extproc.config.model import GuardRule
from gateway_extproc.core.chat import TextAt
from gateway_extproc.core.exchange import Finding
from gateway_extproc.core.ports import Scan
from gateway_extproc.guards.detect import Detector
from gateway_extproc.guards.masking import (
    CompiledRule,
    Direction,
    Span,
    apply_masks,
    fit_json,
    json_view,
    masks_of,
    render_path,
)
from gateway_extproc.guards.window import StreamWindow, WindowPolicy

FINDINGS_MAX = 200
"""Findings reported of one scan; masks and blocks go on beyond it."""

_NOTHING = Scan()


class _Side:
    """The rules of one direction: one database, and who is served by which rule."""

    def __init__(self, direction: Direction, rules: Sequence[CompiledRule]) -> None:
        self.direction: Direction = direction
        self.rules = [rule for rule in rules if rule.rule.direction in (direction, "both")]
        self.detector = Detector(self.rules) if self.rules else None
        self.for_all = [rule for rule in self.rules if not rule.tenants]
        self._named = frozenset(tenant for rule in self.rules for tenant in rule.tenants)

    def applies(self, tenant: str) -> bool:
        return bool(self.for_all) or tenant in self._named

    def rules_of(self, tenant: str) -> list[CompiledRule]:
        if tenant not in self._named:
            return self.for_all
        return [rule for rule in self.rules if rule.serves(tenant)]

    def scan(self, texts: Sequence[TextAt], tenant: str) -> Scan:
        detector = self.detector
        if detector is None or not self.applies(tenant):
            return _NOTHING
        findings: list[Finding] = []
        masked: list[tuple[TextAt, str]] = []
        blockers: list[CompiledRule] = []
        for at in texts:
            is_json = bool(at.path) and at.path[-1] == "arguments"
            view = json_view(at.text) if is_json else at.text
            spans = detector.find(view, partial(self._concerns, tenant, at.role))
            if spans:
                spans.sort(key=lambda span: (span.start, span.end))
                blockers += [span.rule for span in spans if span.rule.blocks]
                self._report(spans, at, findings)
                self._mask(spans, at, view if is_json else None, masked)
        if not findings:
            return _NOTHING
        first = min(blockers, key=lambda rule: rule.index, default=None)
        return Scan(tuple(findings), tuple(masked), first.rule.id if first else None)

    def _concerns(self, tenant: str, role: str, rule: CompiledRule) -> bool:
        return rule.serves(tenant) and (self.direction == "response" or role in rule.roles)

    def _report(self, spans: list[Span], at: TextAt, findings: list[Finding]) -> None:
        room = FINDINGS_MAX - len(findings)
        path = render_path(at.path)
        findings += [span.finding(self.direction, path) for span in spans[: max(0, room)]]

    def _mask(
        self, spans: list[Span], at: TextAt, view: str | None, masked: list[tuple[TextAt, str]]
    ) -> None:
        masks = masks_of(spans)
        if view is not None:
            masks = fit_json(view, masks, in_string=False)
        if masks:
            masked.append((at, apply_masks(at.text, masks)))


class RuleGuard:
    """Blocks, masks and flags by rules; ``core.ports.Guard``.

    Compiled once for a configuration.  Holds Hyperscan scratch space: one guard
    serves one thread.  Raises ``GuardCompileError`` for a rule that cannot work.
    """

    def __init__(self, rules: Sequence[GuardRule]) -> None:
        compiled = [CompiledRule.of(index, rule) for index, rule in enumerate(rules)]
        self._rules = {rule.id: rule for rule in rules}
        self._request = _Side("request", compiled)
        self._answer = _Side("response", compiled)
        self._policies: dict[tuple[int, ...], WindowPolicy] = {}

    def scan_request(self, texts: Sequence[TextAt], tenant: str) -> Scan:
        """What the request rules of a tenant find, by the roles they name."""
        return self._request.scan(texts, tenant)

    def scan_answer(self, texts: Sequence[TextAt], tenant: str) -> Scan:
        """What the answer rules of a tenant find; roles do not count there."""
        return self._answer.scan(texts, tenant)

    def window(self, tenant: str) -> StreamWindow | None:
        """A filter for one streamed answer; None when no answer rule is the tenant's."""
        side = self._answer
        if side.detector is None or not side.applies(tenant):
            return None
        rules = side.rules_of(tenant)
        key = tuple(rule.index for rule in rules)
        policy = self._policies.get(key)
        if policy is None:
            policy = self._policies[key] = WindowPolicy(rules, side.detector)
        return StreamWindow(policy)

    def message_of(self, rule_id: str) -> str:
        """What the client reads when the rule blocks; "" lets the caller choose."""
        rule = self._rules.get(rule_id)
        return rule.message if rule else ""
