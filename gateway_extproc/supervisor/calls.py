"""Calls of the admin API, free of how they are carried: JSON over HTTP, or gRPC.

A call takes its caller and a mapping of arguments and returns a JSON object, or raises one of
``FAILURES``.  Whoever carries it asks the gate first and tells it afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway_extproc.config.mistakes import ConfigError
from gateway_extproc.core.access import AdminPermission
from gateway_extproc.core.keys import KeyExists, KeyRevoked, KeyUnknown
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.evidence.reading import LogChanged
from gateway_extproc.supervisor.admin import (
    Caller,
    Failures,
    Gate,
    document_of,
    failure,
    requires,
)
from gateway_extproc.supervisor.aside import TookTooLong

log = logging.getLogger(__name__)

Arguments = Mapping[str, Any]
Document = dict[str, Any]


class NotFound(LookupError):
    """What was asked for is not there, or not the caller's to see."""


class TargetUnknown(LookupError):
    """No target or provider of the configuration is called so."""


class BadConfiguration(Exception):
    """The file on the disk has mistakes; says which."""


class Busy(Exception):
    """As many of these are served as may be at a time."""


FAILURES: Final[Failures] = {
    PermissionError: (403, "permission_required"),
    KeyUnknown: (404, "key_unknown"),
    NotFound: (404, "not_found"),
    TargetUnknown: (404, "target_unknown"),
    KeyExists: (409, "key_exists"),
    KeyRevoked: (409, "key_revoked"),
    BadConfiguration: (400, "bad_configuration"),
    LogChanged: (409, "log_changed"),
    Busy: (429, "too_many_calls"),
    TookTooLong: (504, "took_too_long"),
    StoreUnavailable: (503, "store_unavailable"),
    ConfigError: (400, "invalid_request"),
    ValueError: (400, "invalid_request"),
}
"""What calls raise, as status and code; the first kind that fits."""

INTERNAL: Final = (500, "internal_error")


@dataclass(frozen=True, slots=True)
class Call:
    """One question, one answer."""

    name: str
    permission: AdminPermission
    method: str
    path: str
    work: Callable[[Caller, Arguments], Awaitable[Document]]
    status: int = 200


Still = Callable[[], Awaitable[bool]]
"""Whether the caller may still see what it asked for."""


@dataclass(frozen=True, slots=True)
class StreamCall:
    """One question, documents as they come; ``open`` raises before the first one."""

    name: str
    permission: AdminPermission
    path: str
    open: Callable[[Caller, Arguments, Still], AsyncIterator[Document]]


def may_see(caller: Caller, tenant: str) -> bool:
    """Whether what belongs to a tenant is the caller's to see."""
    return caller.every_tenant or tenant == caller.permit.principal.tenant.id


def failure_of(error: Exception) -> tuple[int, str, str]:
    """Status, code and message of what a call raised."""
    for kind, (status, code) in FAILURES.items():
        if isinstance(error, kind):
            return status, code, str(error.args[0]) if error.args else code
    log.error("an admin call failed", exc_info=error)
    return *INTERNAL, "The call failed."


async def run_beside(lock: asyncio.Lock, work: Callable[[], Document]) -> Document:
    """Work that may wait, off the loop and one at a time."""
    async with lock:
        return await asyncio.to_thread(work)


def http_routes(gate: Gate, calls: list[Call], streams: list[StreamCall]) -> list[Route]:
    """The calls as JSON over HTTP; streams first, whose paths could be read as names."""
    return [
        Route(one.path, requires(gate, one.permission, _streaming(gate, one)), methods=["GET"])
        for one in streams
    ] + [
        Route(call.path, requires(gate, call.permission, _answering(call)), methods=[call.method])
        for call in calls
    ]


def _answering(call: Call) -> Callable[[Request, Caller], Awaitable[Response]]:
    async def handle(request: Request, caller: Caller) -> Response:
        try:
            return JSONResponse(await call.work(caller, _arguments(request)), call.status)
        except Exception as error:
            return failure(*failure_of(error))

    return handle


def _streaming(gate: Gate, call: StreamCall) -> Callable[[Request, Caller], Awaitable[Response]]:
    async def handle(request: Request, caller: Caller) -> Response:
        async def still() -> bool:
            return isinstance(await gate.admit(request.state.call, call.permission), Caller)

        try:
            documents = call.open(caller, _arguments(request), still)
        except Exception as error:
            return failure(*failure_of(error))
        return StreamingResponse(_lines(documents), media_type="application/x-ndjson")

    return handle


async def _lines(documents: AsyncIterator[Document]) -> AsyncIterator[bytes]:
    async for document in documents:
        yield orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def _arguments(request: Request) -> Document:
    """Of a GET its query, of anything else its body; what the path says wins."""
    if request.method == "GET":
        said: Document = dict(request.query_params)
    else:
        found = document_of(request)
        if found is None:
            raise ValueError("the body must be a JSON object")
        said = found
    return {**said, **request.path_params}
