"""The admin server: health and metrics for everyone, the rest for who may.

In the supervisor, so that a scrape never holds up a request.  A handler that says
``requires(permission)`` runs only for a caller whose roles grant it; every such call, granted
or refused, is one line of the admin log.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from gateway_extproc.core.access import AdminPermission
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.identity import Permit

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class AdminCall:
    """One request of the admin server, as whoever judges it needs it.

    ``address`` is the peer's: nobody stands between the caller and this server.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    address: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was allowed, and by which role and rule; whether for other tenants' things, too."""

    permit: Permit
    role: str
    rule: str
    every_tenant: bool = False


class Gate(Protocol):
    """Judges the calls of the admin server; the composition root brings the real one."""

    async def admit(self, call: AdminCall, permission: AdminPermission) -> Caller | Refusal:
        """Who calls, if they may; why not, if they may not."""

    def record(
        self,
        call: AdminCall,
        permission: AdminPermission,
        outcome: Caller | Refusal,
        status: int,
    ) -> None:
        """Keeps what was asked, who asked and what became of it."""


Handler = Callable[[Request, Caller], Awaitable[Response]]


def requires(gate: Gate, permission: AdminPermission, handler: Handler) -> Any:
    """The handler behind the gate: the only way to serve anything that is not for everyone."""

    @functools.wraps(handler)
    async def guarded(request: Request) -> Response:
        body = await read_body(request)
        if body is None:
            return JSONResponse({"error": {"code": "body_too_large"}}, 413)
        call = AdminCall(
            request.method,
            request.url.path,
            tuple((name.lower(), value) for name, value in request.headers.items()),
            request.client.host if request.client else "",
            body,
        )
        request.state.call = call
        outcome = await gate.admit(call, permission)
        if isinstance(outcome, Refusal):
            answer: Response = refusal_answer(outcome)
        else:
            answer = await handler(request, outcome)
        gate.record(call, permission, outcome, answer.status_code)
        return answer

    return guarded


async def read_body(request: Request) -> bytes | None:
    """The body, kept for the handler, too; None for one that is too large."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            return None
        parts.append(part)
    request.state.body = b"".join(parts)
    return b"".join(parts)


def document_of(request: Request) -> dict[str, Any] | None:
    """The body of a guarded request as a JSON object; None for anything else."""
    try:
        document = json.loads(request.state.body or b"{}")
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


Failures = Mapping[type[Exception], tuple[int, str]]
"""What a call may raise, as status and code; the first kind that fits."""


async def answer_of(
    lock: asyncio.Lock, work: Callable[[], dict[str, Any]], failures: Failures, status: int = 200
) -> Response:
    """What one call says, made beside the loop, one at a time; or why it failed."""
    try:
        async with lock:
            return JSONResponse(await asyncio.to_thread(work), status)
    except tuple(failures) as error:
        code = next(known for kind, known in failures.items() if isinstance(error, kind))
        return failure(*code, str(error.args[0]))


def failure(status: int, code: str, message: str) -> Response:
    """An error as JSON."""
    return JSONResponse({"error": {"code": code, "message": message}}, status)


def refusal_answer(refusal: Refusal) -> Response:
    """A refusal as JSON."""
    error = {"code": refusal.reason, "type": refusal.type, "message": refusal.message}
    headers = {}
    if refusal.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(refusal.retry_after_s)))
    return JSONResponse({"error": error}, refusal.status, headers)


class _QuietServer(uvicorn.Server):
    """Leaves signals to the supervisor."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class AdminServer:
    """HTTP on one address; ``ready`` and ``status`` are asked anew at each request.

    ``routes`` are further ones, each guarded by ``requires`` with the same gate.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ready: Callable[[], bool],
        status: Callable[[], dict[str, Any]],
        metrics: Callable[[], bytes],
        gate: Gate,
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        self._address = (host, port)
        self._ready, self._status, self._metrics = ready, status, metrics
        app = Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics_page),
                Route("/status", requires(gate, "view_status", self._status_page)),
                *routes,
            ]
        )
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", proxy_headers=False
        )
        self._server = _QuietServer(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens; raises OSError when the address is taken."""
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(self._address)
        except OSError:
            listener.close()
            raise
        self._task = asyncio.create_task(self._server.serve([listener]))
        # uvicorn sets a flag and no event; the socket is bound, so this is short.
        while not self._server.started and not self._task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Closes the listener and the connections."""
        self._server.should_exit = True
        self._server.force_exit = True
        if self._task is not None:
            await self._task

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _: Request) -> Response:
        ready = self._ready()
        return PlainTextResponse("ready\n" if ready else "not ready\n", 200 if ready else 503)

    async def _metrics_page(self, _: Request) -> Response:
        body = await asyncio.to_thread(self._metrics)
        return Response(body, media_type=METRICS_TYPE)

    async def _status_page(self, _: Request, __: Caller) -> Response:
        return JSONResponse(self._status())
