"""API keys at the admin server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway_extproc.config.mistakes import ConfigError
from gateway_extproc.core.access import Grant
from gateway_extproc.core.keys import (
    NEVER,
    KeyExists,
    KeyRecord,
    KeyRevoked,
    KeyUnknown,
    shown,
)
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.identity.keyring import Issued, Keyring
from gateway_extproc.supervisor.admin import (
    Caller,
    Failures,
    Gate,
    answer_of,
    document_of,
    requires,
)

T = TypeVar("T")

MAX_SECONDS: Final = 10 * 365 * 86400.0

FAILURES: Final[Failures] = {
    PermissionError: (403, "permission_required"),
    KeyUnknown: (404, "key_unknown"),
    KeyExists: (409, "key_exists"),
    KeyRevoked: (409, "key_revoked"),
    StoreUnavailable: (503, "store_unavailable"),
    ConfigError: (400, "invalid_request"),
    ValueError: (400, "invalid_request"),
}
"""What a keyring raises, as status and code; the first that fits."""


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

    def routes(self, gate: Gate) -> list[Route]:
        """What is served, and which permission each asks for."""
        one = "/v1/keys/{id}"
        return [
            Route("/v1/keys", requires(gate, "view_keys", self._list), methods=["GET"]),
            Route("/v1/keys", requires(gate, "manage_keys", self._issue), methods=["POST"]),
            Route(one, requires(gate, "view_keys", self._show), methods=["GET"]),
            Route(f"{one}/rotate", requires(gate, "manage_keys", self._rotate), methods=["POST"]),
            Route(f"{one}/resume", requires(gate, "manage_keys", self._resume), methods=["POST"]),
            Route(f"{one}/revoke", requires(gate, "revoke_keys", self._revoke), methods=["POST"]),
            Route(f"{one}/suspend", requires(gate, "revoke_keys", self._suspend), methods=["POST"]),
        ]

    async def _list(self, request: Request, caller: Caller) -> Response:
        tenant = request.query_params.get("tenant")
        state = request.query_params.get("state")

        def work() -> list[dict[str, Any]]:
            return [
                shown(record)
                for record in self._keyring.all()
                if tenant in (None, record.tenant) and state in (None, record.state)
            ]

        return await self._answer(lambda: {"keys": work()})

    async def _show(self, request: Request, caller: Caller) -> Response:
        return await self._answer(lambda: shown(self._keyring.get(_id(request))))

    async def _issue(self, request: Request, caller: Caller) -> Response:
        document = document_of(request)

        def work() -> dict[str, Any]:
            terms, environment = self._terms(document)
            self._check_roles(caller, terms.roles)
            return _issued(self._keyring.issue(terms, environment))

        return await self._answer(work, 201)

    async def _rotate(self, request: Request, caller: Caller) -> Response:
        document = document_of(request)

        def work() -> dict[str, Any]:
            overlap_s = _seconds(document, "overlap_s", 86400.0)
            self._check_roles(caller, self._keyring.get(_id(request)).roles)
            environment = _text(document, "environment", "live")
            return _issued(self._keyring.rotate(_id(request), overlap_s, environment))

        return await self._answer(work, 201)

    async def _revoke(self, request: Request, caller: Caller) -> Response:
        document = document_of(request)
        return await self._answer(
            lambda: shown(self._keyring.revoke(_id(request), _text(document, "reason", "")))
        )

    async def _suspend(self, request: Request, caller: Caller) -> Response:
        document = document_of(request)
        return await self._answer(
            lambda: shown(
                self._keyring.suspend(
                    _id(request), _seconds(document, "for_s", NEVER), _text(document, "reason", "")
                )
            )
        )

    async def _resume(self, request: Request, caller: Caller) -> Response:
        return await self._answer(lambda: shown(self._keyring.resume(_id(request))))

    def _terms(self, document: dict[str, Any] | None) -> tuple[KeyRecord, str]:
        """The terms of a new key and its environment; raises ValueError."""
        if document is None:
            raise ValueError("the body must be a JSON object")
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

    async def _answer(self, work: Callable[[], dict[str, Any]], status: int = 200) -> Response:
        return await answer_of(self._lock, work, FAILURES, status)


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _issued(issued: Issued) -> dict[str, Any]:
    record = issued.record
    return {"id": record.id, "key": issued.key.reveal(), "record": shown(record)}


def _text(document: dict[str, Any] | None, name: str, default: str) -> str:
    value = {} if document is None else document
    found = value.get(name, default)
    if not isinstance(found, str) or len(found) > 256:
        raise ValueError(f"{name}: a text of at most 256 characters")
    return found


def _seconds(document: dict[str, Any] | None, name: str, default: float) -> float:
    if document is None or name not in document:
        return default
    value = document[name]
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= MAX_SECONDS
    ):
        raise ValueError(f"{name}: seconds, at most {MAX_SECONDS:g}")
    return float(value)
