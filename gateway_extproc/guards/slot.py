"""The text of one slot of a stream: what may leave, what must wait, what was found.

``window`` states the guarantee; this module keeps it for one slot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway_extproc.core.exchange import Finding
from gateway_extproc.guards.chunks import Step
from gateway_extproc.guards.detect import Detector, entities_of
from gateway_extproc.guards.entities import LOOKBACK
from gateway_extproc.guards.languagerules import LanguageWatch
from gateway_extproc.guards.languages import Languages
from gateway_extproc.guards.masking import (
    CompiledRule,
    Mask,
    Span,
    apply_masks,
    escape_start,
    fit_json,
    incomplete_escape,
    json_view,
    leak_spans,
    masks_of,
)
from gateway_extproc.guards.patterns import pattern_tail
from gateway_extproc.guards.shape import Wanted
from gateway_extproc.guards.told import Watch

CONTEXT = LOOKBACK
"""Characters before what is not settled that are kept and still matched."""
HELD_MAX = 8_192
"""Only a chain of overlapping matches gets this long; its head is then masked at once."""
FINDINGS_MAX = 200
"""Findings reported of one slot."""


class WindowPolicy:
    """The answer rules of one tenant, and what they make a stream wait for.

    ``held`` are the entities that an enforced rule masks or blocks, ``watched`` the
    others; ``tails`` belong to the enforced masking patterns.
    """

    def __init__(
        self,
        rules: Sequence[CompiledRule],
        detector: Detector,
        languages: Languages | None = None,
    ) -> None:
        self.detector = detector
        speak = any(rule.rule.kind == "language" for rule in rules)
        self.languages = languages if speak else None
        self.wanted = {rule.index: rule for rule in rules}
        acting = [rule for rule in rules if rule.blocks or rule.changes]
        strict = {name for rule in acting for name in entities_of(rule)}
        watched = {name for rule in rules for name in entities_of(rule)} - strict
        self.held = detector.entities(strict)
        self.watched = detector.entities(watched)
        self.tails: list[Callable[[str], int]] = [
            pattern_tail(pattern)
            for rule in rules
            if rule.changes and rule.rule.kind == "pattern"
            for pattern in rule.rule.patterns
        ]


class SlotText:
    """The text of one slot.

    ``_view`` is what detectors see: context that has left (``_left`` characters),
    then what is held; ``_raw`` is the held text as it came, of the same length, plus
    an escape that is not whole yet.  ``_base`` is the offset of ``_view`` in the slot's text.
    """

    def __init__(
        self,
        policy: WindowPolicy,
        path: str,
        *,
        is_json: bool,
        watch: Watch | None = None,
        shapes: Wanted | None = None,
    ) -> None:
        self._watch, self._shapes = watch, shapes
        self._whole: list[str] = []
        self._unjudged = False
        self._policy = policy
        self._speech: LanguageWatch | None = None
        if policy.languages is not None and not is_json:
            self._speech = LanguageWatch(policy.languages, policy.wanted.values())
        self._path = path
        self._is_json = is_json
        self._view = ""
        self._raw = ""
        self._cut_escape = ""
        self._left = 0
        self._base = 0
        self._in_string = False
        self._unsettled = False
        self._cut = False
        self._reported: dict[tuple[int, str], int] = {}
        self._room = FINDINGS_MAX

    @property
    def pending(self) -> bool:
        """True if text is held, or a finding waits for what follows."""
        held = self._unsettled or bool(self._raw or self._cut_escape)
        return not self._cut and (held or self._unjudged)

    def push(self, text: str, *, final: bool) -> Step:
        """Takes more text; ``final`` settles everything that is held."""
        if self._cut:
            return Step("")
        spans = self._judged(text, final=final)
        if not spans:
            return self._settle(text, final=final)
        findings = [span.finding("response", self._path) for span in spans]
        # Most of it has left; nothing more of it does.
        if any(span.rule.truncates or span.rule.blocks for span in spans):
            self._cut = True
            blocker = next((span.rule.rule.id for span in spans if span.rule.blocks), None)
            return Step("", findings, blocker)
        step = self._settle(text, final=final)
        return Step(step.text, [*findings, *step.findings], step.blocked_by)

    def _judged(self, text: str, *, final: bool) -> list[Span]:
        """What the text is as a whole: a told prompt, not in a language or form as it should be."""
        spans: list[Span] = []
        judges = (self._watch, self._shapes, self._speech)
        self._unjudged = not final and any(judge is not None for judge in judges)
        if self._speech is not None:
            spans += self._speech.push(text, final=final)
        if self._watch is not None:
            passage = self._watch.push(text, final=final)
            spans += leak_spans(passage, self._policy.wanted.values())
        if self._shapes is not None:
            self._whole.append(text)
            if final:
                whole = "".join(self._whole)
                spans += self._shapes.judge(whole, self._policy.wanted, mend=False).spans
        return spans

    def _settle(self, text: str, *, final: bool) -> Step:
        """What may leave of the text so far, by the rules that look at its characters."""
        self._take(text, final)
        policy, view = self._policy, self._view
        spans = policy.detector.find(view, policy.wanted)
        end = len(view)
        hold = settled = end
        lives: dict[str, int] = {}
        if not final:
            for entity in policy.held:
                live = lives[entity.name] = entity.live(view)
                hold = min(hold, live)
            settled = hold
            for entity in policy.watched:
                live = lives[entity.name] = entity.live(view)
                settled = min(settled, live)
            for tail in policy.tails:
                hold = min(hold, tail(view))
        if spans:
            return self._act(spans, lives, hold, settled, final=final)
        return Step(self._leave(max(hold, self._left), settled, ()))

    def _take(self, text: str, final: bool) -> None:
        if not self._is_json:
            self._raw += text
            self._view += text
            return
        text = self._cut_escape + text
        whole = len(text) if final else incomplete_escape(text)
        self._cut_escape = text[whole:]
        self._raw += text[:whole]
        self._view += json_view(text[:whole])

    # ------------------------------------------------------------------ with findings

    def _act(
        self, spans: list[Span], lives: dict[str, int], hold: int, settled: int, *, final: bool
    ) -> Step:
        spans = [span for span in spans if not self._is_cut(span)]
        spans.sort(key=lambda span: (span.start, span.end))
        certain: list[Span] = []
        for span in spans:
            if final or self._is_certain(span, lives):
                certain.append(span)
            elif not span.entity:
                settled = min(settled, span.start)
                if span.rule.changes or span.rule.blocks:
                    hold = min(hold, span.start)
        blocker = next((span for span in certain if span.rule.blocks), None)
        if blocker is not None:
            hold = min(hold, blocker.start)
        if not self._is_json:
            cut = next((span for span in certain if span.rule.truncates), None)
            if cut is not None:
                if blocker is None and hold >= cut.start:
                    return self._truncate(spans, certain)
                hold = min(hold, cut.start)
        masks = masks_of((span for span in spans if span.end > self._left), None)
        if self._is_json:
            masks = fit_json(self._view, masks, in_string=self._in_string)
            hold = escape_start(self._view, hold)
        hold = self._whole_masks(masks, hold)
        findings = self._report(certain)
        text = self._leave(hold, settled, masks)
        return Step(text, findings, blocker.rule.rule.id if blocker else None)

    def _truncate(self, spans: Sequence[Span], certain: list[Span]) -> Step:
        """Nothing follows the match, and what stands before it is settled."""
        self._cut = True
        end = len(self._view)
        masks = masks_of((span for span in spans if span.end > self._left), end)
        findings = self._report(certain)
        return Step(self._leave(end, end, masks), findings)

    def _is_cut(self, span: Span) -> bool:
        """At the edge of a cut context ``^`` and word boundaries match wrongly.

        So do entities, which look back for what decides them; what lies there was settled
        before the context was cut.
        """
        return self._base > 0 and span.start < (CONTEXT if span.entity else 1)

    def _is_certain(self, span: Span, lives: dict[str, int]) -> bool:
        """False while the text to come may take the match back or lengthen it.

        A pattern looks one character ahead (word boundary), ``$`` also past a line feed.
        """
        if span.entity:
            return span.start < lives[span.entity]
        end = span.end if span.rule.changes else span.sure
        return len(self._view) - end > 1 or self._view[end:] not in ("", "\n")

    def _whole_masks(self, masks: Sequence[Mask], hold: int) -> int:
        """``hold``, moved so that no mask is cut, and never before what has left."""
        for mask in masks:
            if mask.start <= hold < mask.end:
                too_long = len(self._view) - mask.start > HELD_MAX
                hold = mask.end if too_long else mask.start
        return max(hold, self._left)

    def _report(self, spans: list[Span]) -> list[Finding]:
        findings: list[Finding] = []
        for span in spans:
            key = (span.rule.index, span.entity)
            if self._base + span.start >= self._reported.get(key, 0) and self._room:
                self._room -= 1
                self._reported[key] = self._base + span.end
                findings.append(span.finding("response", self._path, self._base))
        return findings

    # --------------------------------------------------------------------------- leave

    def _leave(self, hold: int, settled: int, masks: Sequence[Mask]) -> str:
        left = self._left
        if self._is_json and hold > left and not masks:
            hold = max(left, escape_start(self._view, hold))
        text = self._raw[: hold - left]
        self._raw = self._raw[hold - left :]
        ready = [
            Mask(max(mask.start, left) - left, mask.end - left, mask.placeholder)
            for mask in masks
            if left < mask.end <= hold
        ]
        self._left = hold
        self._unsettled = settled < len(self._view)
        self._forget(min(hold, settled) - CONTEXT)
        return apply_masks(text, ready) if ready else text

    def _forget(self, count: int) -> None:
        """Drops context that no match can reach; not for every few characters."""
        if count < CONTEXT:
            return
        if self._is_json:
            self._in_string ^= self._view.count('"', 0, count) % 2 == 1
        self._view = self._view[count:]
        self._base += count
        self._left -= count
