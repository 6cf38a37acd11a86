"""One simulated provider: judges a request, then answers or fails.

The order is fixed: a forbidden header is refused before anything else, so that
no fault hides it; a fault strikes before the provider's own checks, because a
provider that is down does not look at keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

import orjson

from gateway_simulators.answers import answer
from gateway_simulators.connection import Connection, Request
from gateway_simulators.faults import FaultBox, Faults
from gateway_simulators.journal import Journal, Received, Violation
from gateway_simulators.openai_audio import AUDIO
from gateway_simulators.openai_kept import Kept
from gateway_simulators.problem import Problem
from gateway_simulators.shape import SSE, Headers, Shape

JSON: Final = ("content-type", "application/json")
GARBAGE: Final = b"<html>upstream connect error{{{ this is no JSON"
OUTAGE: Final = "The simulated provider fails on purpose."
FORBIDDEN: Final = frozenset({"cookie", "x-forwarded-for"})
FORBIDDEN_PREFIX: Final = "x-gateway-"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole answer."""

    body: bytes
    type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer as events, of this media type."""

    type: str
    events: Iterator[bytes]


class Provider:
    """Shape, key, journal and faults of one simulated provider."""

    def __init__(
        self,
        shape: Shape,
        *,
        key: str | None,
        journal: Journal,
        faults: FaultBox,
        chunk_delay_ms: int,
        characters_per_event: int,
    ) -> None:
        self._shape = shape
        self._key = key
        self._journal = journal
        self._faults = faults
        self._chunk_delay_ms = chunk_delay_ms
        self._width = characters_per_event
        self.kept = Kept()

    async def serve(self, connection: Connection, request: Request) -> None:
        """Answers one request, or breaks the connection; records how it went."""
        received = Received(request.method, request.path, request.headers, request.body)
        self._journal.add(received)
        try:
            await self._serve(connection, request, received)
        except ConnectionError:
            received.outcome = "client_left"
            raise

    async def _serve(self, connection: Connection, request: Request, received: Received) -> None:
        leaked = self._violations(request)
        if leaked:
            message = f"headers that must not reach this provider: {', '.join(leaked)}"
            await self._refuse(connection, received, self._shape.refused(400, message))
            return
        faults = self._faults.take()
        if await self._broken(connection, received, faults):
            return
        try:
            plan = self._decide(request)
        except Problem as problem:
            await self._refuse(connection, received, problem)
            return
        received.status = 200
        if isinstance(plan, Whole):
            await self._send_whole(connection, received, faults, plan)
        else:
            await self._send_stream(connection, received, faults, plan)

    # ---------------------------------------------------------------- deciding

    def _violations(self, request: Request) -> list[str]:
        leaked = sorted(
            name
            for name in {name for name, _ in request.headers}
            if name in FORBIDDEN
            or name.startswith(FORBIDDEN_PREFIX)
            or name == self._shape.foreign_credential
        )
        for name in leaked:
            self._journal.add_violation(Violation(name, request.method, request.path))
        return leaked

    def _decide(self, request: Request) -> Whole | Stream:
        """What to answer; raises ``Problem`` for what the provider would refuse."""
        path = request.path.partition("?")[0]
        is_kept = self.kept.serves(path)
        if self._shape.name == "openai" and (path in AUDIO or is_kept):
            self._check(request)
            if is_kept:
                told = self.kept.serve(request, self._shape.whole)
            elif request.method == "POST":
                told = AUDIO[path](request, self._width)
            else:
                raise self._shape.wrong_method(request.method, request.path)
            if isinstance(told.body, bytes):
                return Whole(told.body, told.type)
            return Stream(told.type, told.body)
        other = self._shape.others.get(path)
        shape = self._shape if other is not None else self._shape.at(request.path)
        if shape is None:
            raise self._shape.not_found(request.method, request.path)
        if request.method != "POST":
            raise shape.wrong_method(request.method, path)
        shape.check_request(request, self._key)
        try:
            document = orjson.loads(request.body)
        except ValueError:
            raise shape.bad_json() from None
        # Ids come from the body: the same request always gets the same answer.
        seed = blake2b(request.body, digest_size=12).hexdigest()
        if other is not None:
            said = other(document, seed, self._width)
            return Whole(said) if isinstance(said, bytes) else Stream(SSE, said)
        question = shape.read(document)
        reply = answer(question)
        if question.stream:
            return Stream(shape.stream_type, shape.events(question, reply, seed, self._width))
        return Whole(shape.whole(question, reply, seed))

    def _check(self, request: Request) -> None:
        """Checks the credential of a request that may be a form, or have no body."""
        headers = {**dict(request.headers), "content-type": "application/json"}
        self._shape.check_request(replace(request, headers=tuple(headers.items())), self._key)

    # ------------------------------------------------------------------ acting

    async def _broken(self, connection: Connection, received: Received, faults: Faults) -> bool:
        """Faults that leave no answer to give; True when the request is over."""
        if faults.delay_ms:
            await asyncio.sleep(faults.delay_ms / 1000)
        if faults.reset:
            received.outcome = "fault"
            connection.reset()
        elif faults.hang:
            await connection.wait_until_client_left()
            received.outcome = "client_left"
            connection.abort()
        elif faults.status is not None:
            problem = self._shape.refused(faults.status, OUTAGE)
            problem.retry_after = faults.retry_after
            await self._refuse(connection, received, problem)
            received.outcome = "fault"
        elif faults.refusal is not None:
            await self._refuse(connection, received, self._shape.refusal(faults.refusal))
            received.outcome = "fault"
        elif faults.garbage:
            received.status, received.outcome = 200, "fault"
            await connection.send(200, [JSON, *self._headers()], GARBAGE)
        else:
            return False
        return True

    async def _refuse(self, connection: Connection, received: Received, problem: Problem) -> None:
        received.status, received.outcome = problem.status, "refused"
        await self.send_problem(connection, problem)

    async def send_problem(self, connection: Connection, problem: Problem) -> None:
        """An error in the provider's own shape."""
        headers = [JSON, *self._headers()]
        if problem.retry_after is not None:
            headers.append(("retry-after", problem.retry_after))
        body = self._shape.problem_body(problem, self._request_id())
        await connection.send(problem.status, headers, body)

    async def _send_whole(
        self, connection: Connection, received: Received, faults: Faults, plan: Whole
    ) -> None:
        body = plan.body
        headers = [("content-type", plan.type), *self._headers()]
        if faults.silent:
            connection.start(200, [*headers, ("content-length", str(len(body)))])
            await self._fall_silent(connection, received)
            return
        if faults.truncate_after_events is None:
            await connection.send(200, headers, body)
            received.outcome = "answered"
            return
        received.outcome = "fault"
        if faults.truncate_clean:
            await connection.send(200, headers, body[: len(body) // 2])
        else:
            await connection.send_half(200, headers, body)

    async def _send_stream(
        self, connection: Connection, received: Received, faults: Faults, plan: Stream
    ) -> None:
        kind = ("content-type", plan.type)
        connection.start(200, [kind, ("cache-control", "no-cache"), *self._headers()])
        if faults.silent:
            await self._fall_silent(connection, received)
            return
        delay_s = (faults.chunk_delay_ms or self._chunk_delay_ms) / 1000
        for number, event in enumerate(plan.events):
            if number == faults.truncate_after_events:
                await self._truncate(connection, received, faults)
                return
            if number == faults.error_event_after:
                problem = self._shape.refused(500, OUTAGE)
                received.outcome = "fault"
                connection.part(self._shape.error_event(problem))
                break
            if number:
                await asyncio.sleep(delay_s)
            if connection.client_left():
                raise ConnectionResetError("the client left in the middle of a stream")
            connection.part(event)
            await connection.flush()
        await connection.end()
        if received.outcome == "open":
            received.outcome = "answered"

    async def _fall_silent(self, connection: Connection, received: Received) -> None:
        await connection.flush()
        await connection.wait_until_client_left()
        received.outcome = "client_left"
        connection.abort()

    async def _truncate(self, connection: Connection, received: Received, faults: Faults) -> None:
        received.outcome = "fault"
        if faults.truncate_clean:
            await connection.end()
            return
        await connection.flush()
        connection.abort()

    def _request_id(self) -> str:
        return f"req_simulator_{self._journal.served:08d}"

    def _headers(self) -> Headers:
        own = self._shape.headers(self._request_id(), self._journal.served)
        told = self._faults.current.headers
        return [*((name, value) for name, value in own if name not in told), *told.items()]

    def accept_any_key(self) -> None:
        """Every credential is good from now on."""
        self._key = None
