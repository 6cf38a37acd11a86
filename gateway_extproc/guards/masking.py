"""What rules found in one text, and the text without it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sys import maxsize
from typing import Final, Literal, NamedTuple

from gateway_extproc.config.guarding import GuardRule
from gateway_extproc.core.chat import Path
from gateway_extproc.core.exchange import Finding
from gateway_extproc.core.guarding import SEVERITY
from gateway_extproc.guards.leak import Passage

Direction = Literal["request", "response"]


CHANGES: Final = frozenset(("truncate", "sanitize", "redact", "mask"))
"""Actions that leave another text."""


@dataclass(frozen=True, slots=True, eq=False)
class CompiledRule:
    """A rule with its place in the policy; the earlier of two equal rules wins.

    ``changes`` tells that the text is another one afterwards; ``severity`` which change wins.
    """

    index: int
    rule: GuardRule
    enforced: bool
    blocks: bool
    changes: bool
    truncates: bool
    routes: bool
    severity: int

    @classmethod
    def of(cls, index: int, rule: GuardRule) -> CompiledRule:
        """The rule as scans need it."""
        enforced = rule.mode == "enforce"
        return cls(
            index,
            rule,
            enforced,
            enforced and rule.action == "block",
            enforced and rule.action in CHANGES,
            enforced and rule.action == "truncate",
            enforced and rule.action == "route",
            SEVERITY[rule.action],
        )

    def allowed(self) -> CompiledRule:
        """The rule as it stands to a text that somebody approved."""
        return CompiledRule.of(self.index, self.rule.model_copy(update={"action": "allow"}))

    def reached_by(self, level: float) -> bool:
        """Whether a text that scores so is one that the rule is about; for ``injection``."""
        return level >= self.rule.threshold

    @property
    def acts(self) -> bool:
        """Whether a finding has a consequence beyond being told."""
        return self.blocks or self.changes or self.routes


class Consequences(NamedTuple):
    """What follows from all that rules found: names of rules, classes that the data turned out
    to have."""

    blocked_by: str | None
    changed_by: str
    classes: frozenset[str]
    routed_by: str


def consequences(
    acting: Iterable[CompiledRule], mended_by: Iterable[CompiledRule] = ()
) -> Consequences:
    """Of several rules that would do the same the first one is named."""
    rules = list(acting)
    routing = [rule for rule in rules if rule.routes]
    return Consequences(
        first_of(rule for rule in rules if rule.blocks),
        first_of([*(rule for rule in rules if rule.changes), *mended_by]) or "",
        frozenset(rule.rule.data_class for rule in routing),
        first_of(routing) or "",
    )


def first_of(rules: Iterable[CompiledRule]) -> str | None:
    """The id of the rule that stands first in the policy."""
    first = min(rules, key=lambda rule: rule.index, default=None)
    return first.rule.id if first else None


class Span(NamedTuple):
    """``[start, end)`` in characters, found by ``rule``; ``entity`` "" for a pattern.

    ``sure`` is where the shortest match of a pattern ends: a stream that goes on may
    lengthen the span, but does not take that match back.
    """

    start: int
    end: int
    rule: CompiledRule
    entity: str
    placeholder: str
    sure: int
    score: float = 1.0

    def finding(
        self, direction: Direction, path: str, offset: int = 0, fingerprint: str = ""
    ) -> Finding:
        """What is recorded of it."""
        return Finding(
            rule=self.rule.rule.id,
            kind=self.entity.partition("#")[0] or "pattern",
            direction=direction,
            action=self.rule.rule.action,
            mode=self.rule.rule.mode,
            path=path,
            start=offset + self.start,
            end=offset + self.end,
            score=self.score,
            fingerprint=fingerprint,
        )


def leak_spans(passage: Passage | None, rules: Iterable[CompiledRule]) -> list[Span]:
    """A told system prompt, for each rule that looks for it."""
    if passage is None:
        return []
    start, end = passage
    return [Span(start, end, rule, "leak", "", end) for rule in rules if rule.rule.kind == "leak"]


def _by_place(span: Span) -> tuple[int, int]:
    return span.start, span.end


class Mask(NamedTuple):
    """A stretch of text that goes, and what stands for it.

    ``kind`` names what comes back into the answer; empty for what is gone for good.
    """

    start: int
    end: int
    placeholder: str
    kind: str = ""


def masks_of(spans: Iterable[Span], end: int | None) -> list[Mask]:
    """One mask for each cluster of overlapping spans that enforced rules change, in order.

    A cluster goes as a whole, so nothing that any rule takes stays behind; the most severe
    action, then the longest span, then the earlier rule says what stands for it.
    ``end`` is where the text ends: what is truncated goes up to there.  JSON has none (a document
    that is cut is none any more): there a match is redacted instead.
    """
    masks: list[Mask] = []
    best = (0, 0, 0)
    cut = maxsize
    for span in sorted((span for span in spans if span.rule.changes), key=_by_place):
        if masks and span.start >= cut:
            break  # it is gone
        cut = span.start if span.rule.truncates and end is not None else cut
        rank = (span.rule.severity, span.end - span.start, -span.rule.index)
        mask = _mask(span, end)
        if masks and mask.start < masks[-1].end:
            last = masks[-1]
            named = mask if rank > best else last
            masks[-1] = named._replace(start=last.start, end=max(last.end, mask.end))
            best = max(best, rank)
        else:
            masks.append(mask)
            best = rank
    return masks


def _mask(span: Span, end: int | None) -> Mask:
    action = span.rule.rule.action
    if action == "truncate" and end is not None:
        return Mask(span.start, end, "")
    if action == "sanitize":
        return Mask(span.start, span.end, "")
    kind = (span.entity.partition("#")[0] or "text") if action == "mask" else ""
    return Mask(span.start, span.end, span.placeholder, kind)


def apply_masks(text: str, masks: Sequence[Mask]) -> str:
    """The text with every mask's stretch replaced."""
    pieces: list[str] = []
    position = 0
    for mask in masks:
        pieces.append(text[position : mask.start])
        pieces.append(mask.placeholder)
        position = mask.end
    pieces.append(text[position:])
    return "".join(pieces)


def render_path(path: Path) -> str:
    """``("messages", 1, "content")`` as ``messages[1].content``."""
    rendered = ""
    for key in path:
        if isinstance(key, int):
            rendered += f"[{key}]"
        else:
            rendered += f".{key}" if rendered else key
    return rendered


# ------------------------------------------------------------------------ JSON texts

_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|[^u])", re.DOTALL)
_INCOMPLETE = re.compile(r"\\(?:u[0-9A-Fa-f]{0,3})?\Z")
_MARK, _FILLER = "\f", "\x01"


def json_view(text: str) -> str:
    """JSON text as detectors shall see it: same length, escapes turned into gaps.

    Without this ``\\njane@x.org`` would read as the address ``njane@x.org``, and its
    mask would leave a lone backslash.  An escape becomes a form feed (which valid
    JSON never holds raw), then a line feed for escaped white space, else filler.
    """
    return _ESCAPE.sub(_view, text) if "\\" in text else text


def _view(escape: re.Match[str]) -> str:
    source = escape[0]
    return _MARK + ("\n" if source[1] in "nrt" else _FILLER * (len(source) - 1))


def incomplete_escape(text: str) -> int:
    """Where an escape begins that the text's end cuts; ``len(text)`` when none does.

    Only right for a text whose earlier escapes are whole: pairs of backslashes count.
    """
    if "\\" not in text[-5:]:
        return len(text)
    tail = _INCOMPLETE.search(json_view(text))
    return tail.start() if tail else len(text)


def fit_json(view: str, masks: Sequence[Mask], *, in_string: bool) -> list[Mask]:
    """The masks, widened to whole escapes, and quoted where they replace a bare number.

    ``in_string`` tells whether the view begins inside a JSON string.
    """
    fitted: list[Mask] = []
    position = 0
    for mask in masks:
        start = max(position, escape_start(view, mask.start))
        end = _escape_end(view, mask.end)
        in_string ^= view.count('"', position, start) % 2 == 1
        quote = "" if in_string or not mask.placeholder else '"'
        fitted.append(Mask(start, end, f"{quote}{mask.placeholder}{quote}", mask.kind))
        in_string ^= view.count('"', start, end) % 2 == 1
        position = end
    return fitted


def escape_start(view: str, position: int) -> int:
    """``position``, or the start of the escape that it would cut."""
    start = position
    while view[start : start + 1] == _FILLER:
        start -= 1
    if start < position:
        return start
    return position - 1 if position and view[position - 1] == _MARK else position


def _escape_end(view: str, position: int) -> int:
    if view[position - 1 : position] == _MARK:
        position += 1
    elif view[position - 1 : position] != _FILLER:
        return position
    while view[position : position + 1] == _FILLER:
        position += 1
    return position
