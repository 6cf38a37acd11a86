"""The one exception of this room."""

from __future__ import annotations


class GuardCompileError(ValueError):
    """A guard rule that cannot be compiled; names the rule, the pattern and the reason."""

    def __init__(self, rule_id: str, pattern: str, why: str) -> None:
        super().__init__(f"guard rule '{rule_id}': pattern {pattern!r}: {why}")
        self.rule_id = rule_id
        self.pattern = pattern
        self.why = why


class TermListError(ValueError):
    """A term that no list can hold; ``index`` is its place, the term itself is not told."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(f"term {index + 1}: {why}")
        self.index = index
        self.why = why
