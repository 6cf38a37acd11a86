"""What can be wrong with a configuration, as values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in a configuration: where, what stands there, what should."""

    path: str
    value: str
    expected: str

    def __str__(self) -> str:
        return f"{self.path}: got {self.value}; expected {self.expected}"


class ConfigError(ValueError):
    """A configuration with at least one mistake; ``mistakes`` holds all of them."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


def twice(section: str, names: Sequence[str], field: str = "id") -> Iterator[Mistake]:
    """Names that stand more than once."""
    counts = Counter(names)
    for i, name in enumerate(names):
        if counts[name] > 1:
            yield Mistake(f"{section}[{i}].{field}", repr(name), "a name that stands only once")


def unknown(
    path: str, names: Iterable[str], known: set[str] | None, expected: str
) -> Iterator[Mistake]:
    """Names that are not known; ``known`` is None where another file may name more."""
    for name in names:
        if known is not None and name not in known:
            yield Mistake(path, repr(name), f"{expected} ({', '.join(sorted(known)) or 'none'})")
