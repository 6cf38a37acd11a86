"""Runs a simulated provider: in the running loop, or in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal, Self

import h11

from gateway_simulators.anthropic_shape import Anthropic
from gateway_simulators.bedrock_shape import Bedrock
from gateway_simulators.cohere_shape import Cohere
from gateway_simulators.connection import BodyTooLarge, Connection
from gateway_simulators.control import PREFIX, Control
from gateway_simulators.faults import FaultBox
from gateway_simulators.gemini_shape import Gemini, Vertex
from gateway_simulators.journal import Journal, Received, Violation
from gateway_simulators.openai_families import Azure, Mistral
from gateway_simulators.openai_kept import Kept
from gateway_simulators.openai_shape import OpenAI
from gateway_simulators.provider import JSON, Provider
from gateway_simulators.shape import Shape

ShapeName = Literal[
    "openai", "anthropic", "gemini", "vertex", "bedrock", "cohere", "azure", "mistral"
]
SHAPES: Final[dict[str, Callable[[], Shape]]] = {
    "openai": OpenAI,
    "anthropic": Anthropic,
    "gemini": Gemini,
    "vertex": Vertex,
    "bedrock": Bedrock,
    "cohere": Cohere,
    "azure": Azure,
    "mistral": Mistral,
}
BACKLOG: Final = 1024


class Simulator:
    """A provider on ``host:port`` (port 0: a free one, known after the start).

    ``key`` None accepts any credential.  ``chunk_delay_ms`` is the wait between
    SSE events and ``characters_per_event`` the text of each.
    """

    def __init__(
        self,
        shape: ShapeName,
        *,
        key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        chunk_delay_ms: int = 0,
        characters_per_event: int = 6,
    ) -> None:
        self.host = host
        self.port = port
        self.faults = FaultBox()
        self._journal = Journal()
        self.shape: Shape = SHAPES[shape]()
        self._provider = Provider(
            self.shape,
            key=key,
            journal=self._journal,
            faults=self.faults,
            chunk_delay_ms=chunk_delay_ms,
            characters_per_event=characters_per_event,
        )
        self._control = Control(self._journal, self.faults)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Address without a path; SDKs of OpenAI want ``/v1`` after it."""
        return f"http://{self.host}:{self.port}"

    @property
    def kept(self) -> Kept:
        """Files and batches of the simulated account."""
        return self._provider.kept

    @property
    def requests(self) -> list[Received]:
        """What was received, oldest first, within the journal's bounds."""
        return self._journal.requests

    @property
    def violations(self) -> list[Violation]:
        return self._journal.violations

    def clear(self) -> None:
        """Forgets requests, violations and faults."""
        self._journal.clear()
        self.faults.clear()

    def accept_any_key(self) -> None:
        """Every credential is good from now on; requests tell which one came."""
        self._provider.accept_any_key()

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._on_connection, self.host, self.port, backlog=BACKLOG
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening and breaks open connections."""
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio logs the cancellation of the one it would make.
        task = asyncio.create_task(self._converse(Connection(reader, writer)))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _converse(self, connection: Connection) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await self._answer_requests(connection)
        finally:
            connection.close()

    async def _answer_requests(self, connection: Connection) -> None:
        try:
            while (request := await connection.next_request()) is not None:
                if request.path.startswith(PREFIX):
                    status, body = self._control.handle(request.method, request.path, request.body)
                    await connection.send(status, [JSON], body)
                else:
                    await self._provider.serve(connection, request)
        except BodyTooLarge:
            problem = self.shape.refused(413, "Request body is too large.")
            await self._provider.send_problem(connection, problem)
        except h11.RemoteProtocolError as error:
            problem = self.shape.refused(400, f"Malformed HTTP: {error}")
            # h11 refuses to answer when the broken message came after an answer began.
            with contextlib.suppress(h11.LocalProtocolError):
                await self._provider.send_problem(connection, problem)


class ThreadedSimulator(Simulator):
    """A simulator with its own thread and loop, for tests that do not run in one.

    ``with ThreadedSimulator("openai") as sim: ...``
    """

    def __enter__(self) -> Self:
        started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def refuse_connections(self) -> None:
        """Nobody listens any more, and open connections break; ``accept_connections`` ends it."""
        asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result()

    def accept_connections(self) -> None:
        """Listens again, on the same port."""
        asyncio.run_coroutine_threadsafe(self.start(), self._loop).result()

    def _run(self, started: threading.Event) -> None:
        async def live() -> None:
            self._loop = asyncio.get_running_loop()
            self._end = asyncio.Event()
            async with self:
                started.set()
                await self._end.wait()

        try:
            asyncio.run(live())
        except BaseException as error:
            self._failure = error
        finally:
            started.set()
