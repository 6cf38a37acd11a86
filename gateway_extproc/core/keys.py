"""What the gateway knows of an API key: everything but the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from sys import intern
from typing import Any, Final, Literal, NamedTuple

KeyState = Literal["active", "suspended", "revoked"]

NEVER: Final = math.inf


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


class Stored(NamedTuple):
    """A record and the number of the change that wrote it; numbers of a store only grow."""

    record: KeyRecord
    version: int


class KeyExists(ValueError):
    """A key that is to be added has the id of one that is there."""


class KeyUnknown(LookupError):
    """No key has this id."""


class KeyRevoked(ValueError):
    """A revoked key stays revoked; nothing of it changes any more."""


def successor(old: KeyRecord, new: KeyRecord) -> KeyRecord:
    """What may follow a record: anything of the same id, but nothing after a revocation.

    A repeated revocation changes nothing; any other change of a revoked key raises
    ``KeyRevoked``.
    """
    if new.id != old.id:
        raise ValueError("a record keeps its id")
    if old.state != "revoked":
        return new
    if new.state == "revoked":
        return old
    raise KeyRevoked(f"key {old.id} is revoked")


def tightens(old: KeyRecord, new: KeyRecord) -> bool:
    """Whether a change only takes away: such a one must reach this host without the store."""
    return new.state in ("revoked", "suspended") or new.expires_at_s < old.expires_at_s


def to_document(record: KeyRecord) -> dict[str, Any]:
    """A record as JSON holds it; what says nothing is left out, but for who owns the key."""
    document: dict[str, Any] = {
        "id": record.id,
        "hmac": record.hmac.hex(),
        "tenant": record.tenant,
        "user": record.user,
        "application": record.application,
        "roles": list(record.roles),
        "state": record.state,
        "created_at_s": record.created_at_s,
    }
    for name in ("endpoints", "models", "networks"):
        if values := getattr(record, name):
            document[name] = list(values)
    if record.labels:
        document["labels"] = dict(record.labels)
    for name in ("expires_at_s", "suspended_until_s"):
        if (value := getattr(record, name)) != NEVER:
            document[name] = value
    for name in ("reason", "replaces"):
        if text := getattr(record, name):
            document[name] = text
    return document


def from_document(document: Mapping[str, Any]) -> KeyRecord:
    """The record in a document of ``to_document``; raises KeyError, TypeError or ValueError."""
    get = document.get
    return KeyRecord(
        id=document["id"],
        hmac=bytes.fromhex(document["hmac"]),
        # A hundred thousand keys belong to few tenants and roles: one text for all of them.
        tenant=intern(document["tenant"]),
        user=document["user"],
        application=intern(document["application"]),
        roles=_shared(tuple(document["roles"])),
        endpoints=_shared(tuple(get("endpoints", ()))),
        models=_shared(tuple(get("models", ()))),
        networks=_shared(tuple(get("networks", ()))),
        labels=tuple(sorted(get("labels", {}).items())),
        expires_at_s=get("expires_at_s", NEVER),
        state=get("state", "active"),
        suspended_until_s=get("suspended_until_s", NEVER),
        reason=get("reason", ""),
        created_at_s=get("created_at_s", 0.0),
        replaces=get("replaces", ""),
    )


def shown(record: KeyRecord) -> dict[str, Any]:
    """A record for people: all but the HMAC, times as texts."""
    document = to_document(record)
    del document["hmac"]
    for name in ("created_at_s", "expires_at_s", "suspended_until_s"):
        if name in document:
            document[name.removesuffix("_s")] = when(document.pop(name))
    return document


def when(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC; ``never`` for infinity."""
    if seconds == NEVER:
        return "never"
    # A date may lie behind the last year that a calendar knows.
    bounded = min(seconds, 253_402_300_799)
    return datetime.fromtimestamp(bounded, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unreadable(key_id: str) -> KeyRecord:
    """Stands for a record that cannot be read: its key is refused, and all others go on."""
    return KeyRecord(key_id, bytes(32), "", "", "", (), state="revoked", reason="unreadable")


@lru_cache(maxsize=4096)
def _shared(values: tuple[str, ...]) -> tuple[str, ...]:
    return values
