"""Targets at the admin server: how they stand, and taking them out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from gateway_extproc.supervisor.admin import Caller
from gateway_extproc.supervisor.calls import Arguments, Call, Document, run_beside

FOR_MAX_S: Final = 365 * 86400.0


class Targets(Protocol):
    """How targets stand; each method raises ``StoreUnavailable`` and ``TargetUnknown``."""

    def all(self) -> list[dict[str, Any]]: ...

    def drain(self, name: str, for_s: float | None, by: str) -> list[dict[str, Any]]: ...

    def undrain(self, name: str, by: str) -> list[dict[str, Any]]: ...


class ProvidersApi:
    """Calls over the targets of whichever configuration is current."""

    def __init__(self, targets: Callable[[], Targets]) -> None:
        self._targets = targets
        self._lock = asyncio.Lock()

    def calls(self) -> list[Call]:
        """What is served, and which permission each asks for."""
        # A target's name holds slashes, so it stands in the body.
        return [
            Call("ListTargets", "view_status", "GET", "/v1/targets", self._list),
            Call("DrainTarget", "change_routes", "POST", "/v1/targets/drain", self._drain),
            Call("UndrainTarget", "change_routes", "POST", "/v1/targets/undrain", self._undrain),
        ]

    async def _list(self, _: Caller, __: Arguments) -> Document:
        return await self._answer(lambda targets: targets.all())

    async def _drain(self, caller: Caller, arguments: Arguments) -> Document:
        name, for_s, by = _name(arguments), _for_s(arguments), _who(caller)
        return await self._answer(lambda targets: targets.drain(name, for_s, by))

    async def _undrain(self, caller: Caller, arguments: Arguments) -> Document:
        name, by = _name(arguments), _who(caller)
        return await self._answer(lambda targets: targets.undrain(name, by))

    async def _answer(self, work: Callable[[Targets], list[dict[str, Any]]]) -> Document:
        return await run_beside(self._lock, lambda: {"targets": work(self._targets())})


def _who(caller: Caller) -> str:
    principal = caller.permit.principal
    return f"{principal.tenant.id}/{principal.user}"


def _name(arguments: Arguments) -> str:
    name = arguments.get("name", "")
    if not isinstance(name, str) or not 0 < len(name) <= 256:
        raise ValueError("name: a target or a provider")
    return name


def _for_s(arguments: Arguments) -> float | None:
    if "for_s" not in arguments:
        return None
    value = arguments["for_s"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= FOR_MAX_S:
        raise ValueError(f"for_s: seconds above 0, at most {FOR_MAX_S:g}")
    return float(value)
