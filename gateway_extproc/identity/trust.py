"""What this host trusts of an issuer right now: its keys, less what was denied since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gateway_extproc.identity.keyset import KeySet

MAX_DENIALS: Final = 100_000
DENIABLE: Final = ("jti", "sub")


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """Keys and denials of one moment; a change makes another object.

    So whoever verified under this very object need not look at keys or denials again.
    """

    keys: KeySet
    denied: frozenset[str]

    def denies(self, claims: Mapping[str, Any]) -> bool:
        """Whether the token or its user was taken back."""
        if not self.denied:
            return False
        return any(f"{name}:{claims.get(name)}" in self.denied for name in DENIABLE)


class Trusts(Protocol):
    """Where authenticators learn what is trusted; never waits for anything."""

    def find(self, issuer: str) -> Trust | None:
        """What is trusted of an issuer (by its id here); None before its keys are known."""

    def want(self, issuer: str) -> None:
        """Says that a token named a key that is not known: the keys may have changed."""


def read_denials(text: str) -> frozenset[str]:
    """The lines of a ``denied_file``; ``#`` begins a comment.

    Raises ValueError that names the first line of another form: a denial that was
    mistyped must not be taken for one that works.
    """
    denied = set()
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        kind, _, value = entry.partition(":")
        if kind not in DENIABLE or not value:
            raise ValueError(f"line {number}: expected jti:<id> or sub:<id>")
        denied.add(entry)
    if len(denied) > MAX_DENIALS:
        raise ValueError(f"more than {MAX_DENIALS} entries")
    return frozenset(denied)
