"""The guard of ``core.ports``: rules over whole texts, and windows over streams."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from gateway_extproc.config.guarding import GuardLevel, GuardRule
from gateway_extproc.core.access import name_matcher
from gateway_extproc.core.chat import LlmRequest, TextAt
from gateway_extproc.core.exchange import Finding
from gateway_extproc.core.ports import Guarded, Masks, Scan
from gateway_extproc.guards.canary import canary
from gateway_extproc.guards.detect import Detector
from gateway_extproc.guards.formats import Formats
from gateway_extproc.guards.languagerules import language_spans
from gateway_extproc.guards.languages import Languages
from gateway_extproc.guards.leak import Prompts
from gateway_extproc.guards.masking import (
    CompiledRule,
    Direction,
    Span,
    apply_masks,
    consequences,
    first_of,
    fit_json,
    json_view,
    leak_spans,
    masks_of,
    render_path,
)
from gateway_extproc.guards.placeholders import Placeholders
from gateway_extproc.guards.policy import RuleSet, policy_of
from gateway_extproc.guards.restore import MaskedValues, reversible
from gateway_extproc.guards.scores import Heads, Scores, joined
from gateway_extproc.guards.shape import Wanted, is_content
from gateway_extproc.guards.told import Told, planted
from gateway_extproc.guards.window import StreamWindow, WindowPolicy

log = logging.getLogger(__name__)

SCORED_PLACEHOLDER = "[REMOVED]"
FINDINGS_MAX = 200
"""Findings reported of one scan; changes and blocks go on beyond it."""

_NOTHING = Scan()


class Reviews(NamedTuple):
    """A text's keyed hash, and whether a rule lets the text of this hash pass."""

    fingerprint: Callable[[str], str]
    allows: Callable[[str, str], bool]


class About(NamedTuple):
    """What an answer is judged by beside its own characters."""

    told: Told | None = None
    shapes: Wanted | None = None


class Judges(NamedTuple):
    """What looks at whole texts; None where no rule asks for it."""

    scores: Scores | None
    languages: Languages | None


NOTHING_ABOUT: Final = About()
NO_REVIEWS: Final = Reviews(lambda text: "", lambda rule, fingerprint: False)


class _Side:
    """The rules of one direction: one database, and which rules are whose."""

    def __init__(
        self, direction: Direction, rules: Sequence[GuardRule], levels: Sequence[GuardLevel]
    ) -> None:
        self.direction: Direction = direction
        self.policy = policy_of(direction, rules, levels)
        self.detector = Detector(self.policy.rules)

    def wanted(self, rules: RuleSet, role: str, draw: float) -> dict[int, CompiledRule]:
        """The rules that look at a text of this role of a request that was drawn so."""
        wanted = rules.all if self.direction == "response" else rules.by_role[role]
        if not rules.sampled:
            return wanted
        return {i: rule for i, rule in wanted.items() if draw < rule.rule.sample}


class _Look:
    """One scan of some texts: what was found, what changes, what could not be looked at."""

    def __init__(
        self,
        side: _Side,
        rules: RuleSet,
        draw: float,
        judges: Judges,
        about: About,
        reviews: Reviews,
        clock_ns: Callable[[], int],
        texts: Sequence[TextAt],
        masks: Placeholders | None,
    ) -> None:
        self._told, self._shapes = about
        self._side, self._rules, self._draw, self._texts = side, rules, draw, texts
        self._scores, self._languages = judges
        self._reviews, self._clock_ns = reviews, clock_ns
        self._began_ns = clock_ns()
        self._findings: list[Finding] = []
        self._changed: list[tuple[TextAt, str]] = []
        self._acting: dict[int, CompiledRule] = {}
        self._mended_by: list[CompiledRule] = []
        self._unjudged: dict[int, CompiledRule] = {}
        self._scanned = self._total = 0
        self._placeholders = masks
        if masks is not None:
            masks.reserve_all(at.text for at in texts)

    def scan(self) -> Scan:
        """Looks at all of them."""
        turns = [at for at in self._texts if at.role == "user"] if self._rules.scored else []
        for at in self._texts:
            self._total += len(at.text)
            wanted = self._side.wanted(self._rules, at.role, self._draw)
            if wanted:
                last = bool(turns) and at is turns[-1]
                self._look(at, wanted, joined([turn.text for turn in turns]) if last else "")
        return self._result()

    def _look(self, at: TextAt, wanted: dict[int, CompiledRule], together: str) -> None:
        wanted = self._in_time(wanted)
        is_json = bool(at.path) and at.path[-1] == "arguments"
        view = json_view(at.text) if is_json else at.text
        spans = self._find(view, wanted)
        scored = [rule for rule in wanted.values() if rule.rule.kind == "injection"]
        scanned = len(at.text) if len(scored) < len(wanted) else 0
        if scored:
            scanned = max(scanned, self._score(at, together, scored, spans))
        if self._rules.languages and not is_json:
            spans += self._find_languages(view, wanted)
        if self._shapes is not None and is_content(at.path):
            self._check_format(at, wanted, spans)
        if self._told is not None:
            spans += leak_spans(self._told.find(view), wanted.values())
        self._scanned += scanned
        if spans:
            fingerprint = ""
            if self._side.direction == "request":
                spans, fingerprint = self._reviewed(at.text, spans)
            spans.sort(key=lambda span: (span.start, span.end))
            self._acting |= {span.rule.index: span.rule for span in spans if span.rule.acts}
            self._report(spans, at, fingerprint)
            self._change(spans, at, view if is_json else None)

    def _in_time(self, wanted: dict[int, CompiledRule]) -> dict[int, CompiledRule]:
        took_ms = (self._clock_ns() - self._began_ns) / 1e6
        late = {i: rule for i, rule in wanted.items() if took_ms > rule.rule.deadline_ms}
        if not late:
            return wanted
        self._unjudged |= late
        return {i: rule for i, rule in wanted.items() if i not in late}

    def _find(self, view: str, wanted: dict[int, CompiledRule]) -> list[Span]:
        try:
            return self._side.detector.find(view, wanted)
        except Exception:
            log.exception("a detector failed")
            self._unjudged |= {i: r for i, r in wanted.items() if r.rule.kind != "injection"}
            return []

    def _score(
        self, at: TextAt, together: str, rules: list[CompiledRule], spans: list[Span]
    ) -> int:
        """Adds a span over the whole text for each rule whose threshold the score reaches."""
        assert self._scores is not None
        try:
            scored = self._scores.of(at.role, at.text)
            level = scored.level
            if together:
                level = max(level, self._scores.of(at.role, together).level)
        except Exception:
            log.exception("the classifier failed")
            self._unjudged |= {rule.index: rule for rule in rules}
            return 0
        spans += [
            Span(0, len(at.text), rule, "injection", SCORED_PLACEHOLDER, len(at.text), level)
            for rule in rules
            if rule.reached_by(level)
        ]
        return scored.scanned

    def _find_languages(self, text: str, wanted: dict[int, CompiledRule]) -> list[Span]:
        assert self._languages is not None
        try:
            return language_spans(self._languages, text, wanted.values())
        except Exception:
            log.exception("the language detector failed")
            self._unjudged |= {i: r for i, r in wanted.items() if r.rule.kind == "language"}
            return []

    def _check_format(self, at: TextAt, wanted: dict[int, CompiledRule], spans: list[Span]) -> None:
        assert self._shapes is not None
        # Beside a finding nothing is mended: both would change the text, and one of them be lost.
        judged = self._shapes.judge(at.text, wanted, mend=not spans)
        spans += judged.spans
        if judged.mended_by and not judged.spans:
            self._changed.append((at, judged.text))
            self._mended_by += judged.mended_by

    def _reviewed(self, text: str, spans: list[Span]) -> tuple[list[Span], str]:
        """What was approved for this very text does nothing any more; the text's fingerprint."""
        fingerprint, allows = self._reviews
        print_ = fingerprint(text)
        return [
            span._replace(rule=span.rule.allowed()) if allows(span.rule.rule.id, print_) else span
            for span in spans
        ], print_

    def _report(self, spans: list[Span], at: TextAt, fingerprint: str) -> None:
        room = FINDINGS_MAX - len(self._findings)
        path = render_path(at.path)
        direction = self._side.direction
        self._findings += [
            span.finding(direction, path, fingerprint=fingerprint) for span in spans[: max(0, room)]
        ]

    def _change(self, spans: list[Span], at: TextAt, view: str | None) -> None:
        masks = masks_of(spans, len(at.text) if view is None else None)
        if not masks:
            return
        if self._side.direction == "request" and any(mask.kind for mask in masks):
            if self._placeholders is None:
                self._placeholders = Placeholders(at.text for at in self._texts)
            masks = reversible(at.text, masks, self._placeholders, as_json=view is not None)
        elif view is not None:
            masks = fit_json(view, masks, in_string=False)
        self._changed.append((at, apply_masks(at.text, masks)))

    def _masked(self) -> MaskedValues | None:
        if not self._placeholders:
            return None
        # Of every rule: what an earlier request of the conversation masked is kept from them, too.
        names = [name for rule in self._rules.all.values() for name in rule.rule.untrusted_tools]
        distrusts = name_matcher(names)
        return MaskedValues(self._placeholders, lambda tool: not distrusts(tool))

    def _result(self) -> Scan:
        unjudged = sorted(self._unjudged.values(), key=lambda rule: rule.index)
        closed = [rule for rule in unjudged if rule.enforced and rule.rule.on_error == "closed"]
        follows = consequences(self._acting.values(), self._mended_by)
        return Scan(
            findings=tuple(self._findings),
            changed=tuple(self._changed),
            changed_by=follows.changed_by,
            blocked_by=follows.blocked_by,
            unjudged=tuple(rule.rule.id for rule in unjudged),
            refused_by=first_of(closed),
            masked=self._masked(),
            classes=follows.classes,
            routed_by=follows.routed_by,
            scanned=self._scanned,
            total=self._total,
        )


def shipped_heads() -> Heads:
    """The classifier of this package; numpy is loaded only where a rule scores."""
    from gateway_extproc.guards.classifier import Classifier

    return Classifier.load()


class RuleGuard:
    """Blocks, changes and reports by rules; ``core.ports.Guard``.

    Compiled once for a configuration.  Holds Hyperscan scratch space: one guard
    serves one thread.  Raises ``GuardCompileError`` for a rule that cannot work.
    ``heads`` makes the classifier, and is asked for it only where a rule scores.
    """

    def __init__(
        self,
        rules: Sequence[GuardRule],
        levels: Sequence[GuardLevel] = (),
        *,
        heads: Callable[[], Heads] = shipped_heads,
        reviews: Reviews = NO_REVIEWS,
        mark_key: bytes = b"",
        clock_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self._mark_key = mark_key
        scored = any(rule.kind == "injection" for rule in rules)
        speaks = any(rule.kind == "language" for rule in rules)
        self._judges = Judges(Scores(heads()) if scored else None, Languages() if speaks else None)
        self._clock_ns, self._reviews = clock_ns, reviews
        self._prompts, self._formats = Prompts(), Formats()
        self._rules = {rule.id: rule for rule in reversed(rules)}
        self._request = _Side("request", rules, levels)
        self._answer = _Side("response", rules, levels)
        self._policies: dict[tuple[CompiledRule, ...], WindowPolicy] = {}

    def scan_request(
        self, texts: Sequence[TextAt], who: Guarded, masks: Masks | None = None
    ) -> Scan:
        """What the request rules of a caller find, by the roles they name."""
        assert masks is None or isinstance(masks, Placeholders)
        scan = self._scan(self._request, texts, who, NOTHING_ABOUT, masks)
        if scan.blocked_by is None and self._answer.policy.of(who).canary:
            return self._with_canary(scan, texts, who)
        return scan

    def _with_canary(self, scan: Scan, texts: Sequence[TextAt], who: Guarded) -> Scan:
        """The first system text bears a mark, one for each such text: providers cache prompts."""
        at = next((at for at in texts if at.role == "system"), None)
        if at is None:
            return scan
        changed = dict(scan.changed)
        text = changed.get(at, at.text)
        mark = canary(f"{who.tenant}\0{at.text}", self._mark_key)
        changed[at] = planted(text, mark)
        return replace(scan, changed=tuple(changed.items()))

    def scan_answer(
        self, texts: Sequence[TextAt], who: Guarded, asked: LlmRequest | None = None
    ) -> Scan:
        """What the answer rules of a caller find; roles do not count there."""
        return self._scan(self._answer, texts, who, self._about(who, asked))

    def _scan(
        self,
        side: _Side,
        texts: Sequence[TextAt],
        who: Guarded,
        about: About,
        masks: Placeholders | None = None,
    ) -> Scan:
        rules = side.policy.of(who)
        if not rules.all and not masks:
            return _NOTHING
        look = _Look(
            side, rules, who.draw, self._judges, about, self._reviews, self._clock_ns, texts, masks
        )
        return look.scan()

    def _about(self, who: Guarded, asked: LlmRequest | None) -> About:
        """What the rules for an answer need to know of its request."""
        rules = self._answer.policy.of(who)
        if asked is None or not (rules.leaks or rules.formats):
            return NOTHING_ABOUT
        shapes = Wanted(rules.formats, asked.document, self._formats) if rules.formats else None
        return About(Told.of(asked.texts, self._prompts) if rules.leaks else None, shapes)

    def may_ask_again(self, who: Guarded, rule_id: str = "") -> bool:
        """Whether a malformed answer is worth another try: of a rule, or of any that looks."""
        formats = (rule.rule for rule in self._answer.policy.of(who).formats)
        return any(rule.format.retry and rule_id in ("", rule.id) for rule in formats)

    def scope(self, who: Guarded) -> tuple[str, ...]:
        """The names of a caller that decide which rules an answer meets."""
        return self._answer.policy.scope(who)

    def window(self, who: Guarded, asked: LlmRequest | None = None) -> StreamWindow | None:
        """A filter for one streamed answer; None when no answer rule is the caller's."""
        side = self._answer
        drawn = tuple(side.wanted(side.policy.of(who), "assistant", who.draw).values())
        if not drawn:
            return None
        policy = self._policies.get(drawn)
        if policy is None:
            policy = self._policies[drawn] = WindowPolicy(
                drawn, side.detector, self._judges.languages
            )
        return StreamWindow(policy, *self._about(who, asked))

    def message_of(self, rule_id: str) -> str:
        """What the client reads when the rule blocks; "" lets the caller choose."""
        rule = self._rules.get(rule_id)
        return rule.message if rule else ""
