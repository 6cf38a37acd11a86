"""``explain`` at the admin server: what would happen to a request now, in a process of its own.

Who lacks ``every_tenant`` may only ask as somebody of his own tenant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway_extproc.core.endpoint import ENDPOINTS
from gateway_extproc.supervisor.admin import Caller
from gateway_extproc.supervisor.calls import Arguments, Busy, Call, Document

AT_ONCE: Final = 2
TEXT_MAX: Final = 256
LIST_MAX: Final = 64

NAMES: Final = ("source", "key", "tenant", "user", "application")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it would come, and who may be told of it: "" for everybody's."""

    endpoint: str
    body: bytes
    headers: Mapping[str, str]
    source: str
    key: str
    tenant: str
    user: str
    application: str
    roles: tuple[str, ...]
    only_tenant: str


Explain = Callable[[Asked], Awaitable[Document]]
"""Explains by the configuration that is in force; raises ValueError for what cannot be meant."""


class ExplainApi:
    """One call, and never more than ``AT_ONCE`` of it."""

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self._running = 0

    def calls(self) -> list[Call]:
        """What is served."""
        return [Call("Explain", "explain", "POST", "/v1/explain", self._call)]

    async def _call(self, caller: Caller, arguments: Arguments) -> Document:
        asked = read(caller, arguments)
        if self._running >= AT_ONCE:
            raise Busy(f"{AT_ONCE} explanations are being made")
        self._running += 1
        try:
            return await self._explain(asked)
        finally:
            self._running -= 1


def read(caller: Caller, arguments: Arguments) -> Asked:
    """What is asked; raises ValueError, and PermissionError for another tenant."""
    known = {*NAMES, "endpoint", "body", "headers", "roles"}
    for name in arguments:
        if name not in known:
            raise ValueError(f"{name}: not known here ({', '.join(sorted(known))})")
    said = {name: _text(arguments.get(name, ""), name) for name in NAMES}
    if said["key"] and any(said[name] for name in ("tenant", "user", "application")):
        raise ValueError("key: says who asks; leave out tenant, user and application")
    own = "" if caller.every_tenant else caller.permit.principal.tenant.id
    said["tenant"] = said["tenant"] or ("" if said["key"] else own)
    if own and not said["key"] and said["tenant"] != own:
        raise PermissionError("Your roles do not grant 'every_tenant'.")
    if not said["key"] and not (said["tenant"] and said["user"]):
        raise ValueError("who asks? give key, or tenant and user")
    if said["key"].startswith("gw_"):
        raise ValueError("key: takes a key's id, not the key")
    return Asked(
        endpoint=_endpoint(arguments),
        body=_body(arguments.get("body", "")),
        headers=_headers(arguments.get("headers", {})),
        roles=_roles(arguments.get("roles", ())),
        only_tenant=own,
        **said,
    )


def _endpoint(arguments: Arguments) -> str:
    name = _text(arguments.get("endpoint", "") or "chat", "endpoint")
    names = [endpoint.name for endpoint in ENDPOINTS]
    if name not in names:
        raise ValueError(f"endpoint: {', '.join(names)}")
    return name


def _body(value: Any) -> bytes:
    """A text as it is; over HTTP also the document itself."""
    return value.encode() if isinstance(value, str) else orjson.dumps(value)


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > LIST_MAX:
        raise ValueError(f"headers: at most {LIST_MAX} names with their values")
    return {str(name).lower(): _header(text) for name, text in value.items()}


def _header(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("headers: values are texts")
    return value


def _roles(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > LIST_MAX:
        raise ValueError(f"roles: a list of at most {LIST_MAX}")
    return tuple(_text(name, "roles") for name in value)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT_MAX:
        raise ValueError(f"{name}: a text of at most {TEXT_MAX} characters")
    return value
