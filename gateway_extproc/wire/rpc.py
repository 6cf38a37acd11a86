"""A gRPC server for calls that are made seldom, on a Unix socket of its owner alone.

Here because this is the room that knows grpc; what the calls are about stays above it: handlers
see bytes and metadata, and say what failed in words of their own.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

# The supervisor forks only to start another program at once: nothing of gRPC lives on in a child,
# and its handlers would hold the fork up.  Read by the library when it begins.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import grpc

log = logging.getLogger(__name__)

Metadata = tuple[tuple[str, str], ...]
"""Names in lower case, with the texts of their values."""

Unary = Callable[[bytes, Metadata], Awaitable[bytes]]
Streaming = Callable[[bytes, Metadata], Awaitable[AsyncIterator[bytes]]]
"""Opens a stream; what comes from then on is in it."""

FailureCode = Literal[
    "INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "FAILED_PRECONDITION",
    "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "INTERNAL",
]  # fmt: skip

RECEIVE_MAX: Final = 64 * 1024
STOP_S: Final = 1.0


class RpcFailed(Exception):
    """A call that has no answer: the status that the caller gets."""

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.code: FailureCode = code
        self.message = message


class RpcServer:
    """Serves one service at ``path``, mode 0600."""

    def __init__(
        self,
        path: Path,
        service: str,
        unary: Mapping[str, Unary],
        streaming: Mapping[str, Streaming],
    ) -> None:
        self._path, self._service = path, service
        self._unary, self._streaming = unary, streaming
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listens; raises OSError where the socket cannot be made."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", RECEIVE_MAX)])
        server.add_generic_rpc_handlers((self._handlers(),))
        # Between bind and chmod somebody else could connect: the mask is there from the start.
        before = os.umask(0o177)
        try:
            server.add_insecure_port(f"unix:{self._path.absolute()}")
            await server.start()
        except RuntimeError as error:
            raise OSError(0, f"cannot listen on {self._path}") from error
        finally:
            os.umask(before)
        self._path.chmod(0o600)
        self._server = server

    async def stop(self) -> None:
        """Ends all calls and takes the socket away."""
        if self._server is not None:
            await self._server.stop(STOP_S)
            self._path.unlink(missing_ok=True)

    def _handlers(self) -> Any:
        methods = {
            name: grpc.unary_unary_rpc_method_handler(_answering(call))
            for name, call in self._unary.items()
        } | {
            name: grpc.unary_stream_rpc_method_handler(_streaming(call))
            for name, call in self._streaming.items()
        }
        return grpc.method_handlers_generic_handler(self._service, methods)


def _answering(call: Unary) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def handle(request: bytes, context: Any) -> bytes:
        try:
            return await call(request, _metadata(context))
        except RpcFailed as failed:
            await context.abort(grpc.StatusCode[failed.code], failed.message)
        except asyncio.CancelledError:
            raise
        except Exception:
            # grpc.aio would tell the peer what the exception says.
            log.exception("an admin call failed")
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")
        raise AssertionError("abort returned")

    return handle


def _streaming(call: Streaming) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
    async def handle(request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            messages = await call(request, _metadata(context))
            # So that the caller knows from when on it hears everything.
            await context.send_initial_metadata(())
            async for message in messages:
                yield message
        except RpcFailed as failed:
            await context.abort(grpc.StatusCode[failed.code], failed.message)
        except Exception:
            log.exception("an admin call failed")
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")

    return handle


def _metadata(context: Any) -> Metadata:
    return tuple(
        (str(key).lower(), value)
        for key, value in context.invocation_metadata() or ()
        if isinstance(value, str)
    )
