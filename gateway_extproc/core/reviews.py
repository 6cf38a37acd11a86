"""False positives of guard rules: reported by a decision, judged by who may change guards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

Judgement = Literal["reported", "approved", "rejected", "withdrawn"]

FOLLOWS: Final[dict[Judgement, tuple[Judgement, ...]]] = {
    "reported": ("approved", "rejected"),
    "approved": ("withdrawn",),
    "rejected": ("approved",),
    "withdrawn": ("approved",),
}
"""Which judgement may follow which."""

NEVER: Final = 0.0


@dataclass(frozen=True, slots=True)
class Review:
    """One text that a rule took wrongly, as somebody says.

    The text itself is not here: ``fingerprint`` is its keyed hash, as in the decision record.
    Approved, the rule lets that very text pass until ``until_s`` (0: without end).
    """

    decision_id: str
    rule: str
    fingerprint: str
    state: Judgement
    by: str
    at_s: float
    note: str = ""
    until_s: float = NEVER

    @property
    def id(self) -> str:
        """What a judgement names it by."""
        return f"{self.decision_id}:{self.rule}:{self.fingerprint[:8]}"

    def shown(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "id": self.id, "decision_id": self.decision_id, "rule": self.rule,
            "fingerprint": self.fingerprint, "state": self.state, "by": self.by,
            "at_s": self.at_s, "note": self.note, "until_s": self.until_s,
        }  # fmt: skip


class ReviewUnknown(Exception):
    """No such review, decision or finding; says which."""


class ReviewClosed(Exception):
    """This judgement may not follow the one that stands."""


class AllowList(Protocol):
    """The texts that rules let pass, by fingerprint."""

    def allows(self, rule: str, fingerprint: str) -> bool:
        """Whether this text was approved for this rule and still is."""
