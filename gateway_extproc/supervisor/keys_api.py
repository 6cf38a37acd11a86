"""API keys at the admin server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from gateway_extproc.core.access import Grant
from gateway_extproc.core.keys import NEVER, KeyRecord, KeyUnknown, shown
from gateway_extproc.identity.keyring import Issued, Keyring
from gateway_extproc.supervisor.admin import Caller
from gateway_extproc.supervisor.calls import Arguments, Call, Document, may_see, run_beside

MAX_SECONDS: Final = 10 * 365 * 86400.0


class KeysApi:
    """Handlers over a keyring, one call of it at a time and none on the loop."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._lock = asyncio.Lock()

    def use(
        self,
        keyring: Keyring,
        read_terms: Callable[[dict[str, Any]], KeyRecord],
        roles: Mapping[str, tuple[Grant, ...]],
    ) -> None:
        """What calls work with from now on.

        ``read_terms`` checks the terms of a new key; ``roles`` tell what a role grants, because
        nobody may hand out an admin permission that he does not have himself.
        """
        self._keyring, self._read_terms, self._roles = keyring, read_terms, roles

    def calls(self) -> list[Call]:
        """What is served, and which permission each asks for."""
        one = "/v1/keys/{id}"
        return [
            Call("ListKeys", "view_keys", "GET", "/v1/keys", self._list),
            Call("IssueKey", "manage_keys", "POST", "/v1/keys", self._issue, 201),
            Call("GetKey", "view_keys", "GET", one, self._show),
            Call("RotateKey", "manage_keys", "POST", f"{one}/rotate", self._rotate, 201),
            Call("ResumeKey", "manage_keys", "POST", f"{one}/resume", self._resume),
            Call("RevokeKey", "revoke_keys", "POST", f"{one}/revoke", self._revoke),
            Call("SuspendKey", "revoke_keys", "POST", f"{one}/suspend", self._suspend),
        ]

    async def _list(self, caller: Caller, arguments: Arguments) -> Document:
        tenant, state = arguments.get("tenant"), arguments.get("state")
        return await self._run(
            lambda: {
                "keys": [
                    shown(record)
                    for record in self._keyring.all()
                    if tenant in (None, record.tenant)
                    and state in (None, record.state)
                    and may_see(caller, record.tenant)
                ]
            }
        )

    async def _show(self, caller: Caller, arguments: Arguments) -> Document:
        return await self._run(lambda: shown(self._get(caller, arguments)))

    async def _issue(self, caller: Caller, arguments: Arguments) -> Document:
        def work() -> Document:
            terms, environment = self._terms(arguments)
            if not may_see(caller, terms.tenant):
                raise PermissionError("you do not have: every_tenant")
            self._check_roles(caller, terms.roles)
            return _issued(self._keyring.issue(terms, environment))

        return await self._run(work)

    async def _rotate(self, caller: Caller, arguments: Arguments) -> Document:
        def work() -> Document:
            overlap_s = _seconds(arguments, "overlap_s", 86400.0)
            old = self._get(caller, arguments)
            self._check_roles(caller, old.roles)
            environment = _text(arguments, "environment", "live")
            return _issued(self._keyring.rotate(old.id, overlap_s, environment))

        return await self._run(work)

    async def _revoke(self, caller: Caller, arguments: Arguments) -> Document:
        def work() -> Document:
            id_ = self._get(caller, arguments).id
            return shown(self._keyring.revoke(id_, _text(arguments, "reason", "")))

        return await self._run(work)

    async def _suspend(self, caller: Caller, arguments: Arguments) -> Document:
        def work() -> Document:
            for_s, reason = _seconds(arguments, "for_s", NEVER), _text(arguments, "reason", "")
            return shown(self._keyring.suspend(self._get(caller, arguments).id, for_s, reason))

        return await self._run(work)

    async def _resume(self, caller: Caller, arguments: Arguments) -> Document:
        return await self._run(lambda: shown(self._keyring.resume(self._get(caller, arguments).id)))

    def _get(self, caller: Caller, arguments: Arguments) -> KeyRecord:
        """The key that is meant; raises ``KeyUnknown``, also for one that is not his to see."""
        id_ = _text(arguments, "id", "")
        record = self._keyring.get(id_)
        if not may_see(caller, record.tenant):
            raise KeyUnknown(f"no key {id_}")
        return record

    def _terms(self, document: Arguments) -> tuple[KeyRecord, str]:
        """The terms of a new key and its environment; raises ValueError."""
        environment = _text(document, "environment", "live")
        ttl_s = _seconds(document, "ttl_s", NEVER)
        entry = {k: v for k, v in document.items() if k not in ("environment", "ttl_s")}
        for name in ("id", "hmac"):
            if name in entry:
                raise ValueError(f"{name}: is made here")
        terms = self._read_terms(entry)
        return replace(
            terms, expires_at_s=min(terms.expires_at_s, self._now_s() + ttl_s)
        ), environment

    def _check_roles(self, caller: Caller, roles: tuple[str, ...]) -> None:
        """Raises PermissionError for an admin permission that the caller does not have."""
        given = {p for role in roles for grant in self._roles.get(role, ()) for p in grant.admin}
        own = {p for grant in caller.permit.grants for p in grant.admin}
        if not given <= own:
            raise PermissionError(f"you do not have: {', '.join(sorted(given - own))}")

    async def _run(self, work: Callable[[], Document]) -> Document:
        return await run_beside(self._lock, work)


def _issued(issued: Issued) -> dict[str, Any]:
    record = issued.record
    return {"id": record.id, "key": issued.key.reveal(), "record": shown(record)}


def _text(document: Arguments, name: str, default: str) -> str:
    found = document.get(name, default)
    if not isinstance(found, str) or len(found) > 256:
        raise ValueError(f"{name}: a text of at most 256 characters")
    return found


def _seconds(document: Arguments, name: str, default: float) -> float:
    if name not in document:
        return default
    value = document[name]
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= MAX_SECONDS
    ):
        raise ValueError(f"{name}: seconds, at most {MAX_SECONDS:g}")
    return float(value)
