"""What the gateway knows of an API key: everything but the key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KeyState = Literal["active", "suspended", "revoked"]

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One API key, by its HMAC.  All times are Unix seconds.

    ``endpoints``, ``models`` and ``networks`` (CIDR) narrow what its roles allow; empty
    narrows nothing.  ``suspended_until_s`` counts only in the state ``suspended``;
    ``replaces`` is the id of the key that this one was rotated from.
    """

    id: str
    hmac: bytes
    tenant: str
    user: str
    application: str
    roles: tuple[str, ...]
    endpoints: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    expires_at_s: float = NEVER
    state: KeyState = "active"
    suspended_until_s: float = NEVER
    reason: str = ""
    created_at_s: float = 0.0
    replaces: str = ""
