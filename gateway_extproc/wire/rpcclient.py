"""The other end of ``wire.rpc``: calls of a service, as bytes, from a command that may wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, get_args

from gateway_extproc.wire.rpc import FailureCode, Metadata, RpcFailed

import grpc  # isort: skip  (wire.rpc says first how it shall behave)

RECEIVE_MAX: Final = 64 * 1024 * 1024
"""Bytes of one answer; a page of records is far smaller."""
CODES: Final = frozenset(get_args(FailureCode))


class RpcClient:
    """Calls one service at ``target`` (``unix:PATH`` or ``HOST:PORT``), each with ``metadata``.

    Not encrypted.  What fails is raised as ``RpcFailed``, also a service that is not there.
    """

    def __init__(self, target: str, service: str, metadata: Metadata) -> None:
        options = [("grpc.max_receive_message_length", RECEIVE_MAX), ("grpc.enable_http_proxy", 0)]
        self._channel = grpc.insecure_channel(target, options)
        self._service, self._metadata = service, metadata

    def __enter__(self) -> RpcClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all calls."""
        self._channel.close()

    def call(self, name: str, request: bytes, timeout_s: float) -> bytes:
        """One question, one answer."""
        method = self._channel.unary_unary(f"/{self._service}/{name}")
        answer: bytes = _told(lambda: method(request, timeout_s, self._metadata))
        return answer

    def stream(self, name: str, request: bytes) -> Iterator[bytes]:
        """Answers until there are no more, or the caller stops asking.

        Returns when the stream is open: what happens from then on is in it.
        """
        method = self._channel.unary_stream(f"/{self._service}/{name}")
        answers = method(request, metadata=self._metadata)
        _told(answers.initial_metadata)
        return _each(answers)


def _each(answers: Any) -> Iterator[bytes]:
    end = object()
    try:
        while (answer := _told(lambda: next(answers, end))) is not end:
            yield answer
    finally:
        answers.cancel()


def _told(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except grpc.RpcError as error:
        code = error.code().name
        raise RpcFailed(code if code in CODES else "INTERNAL", error.details() or code) from None
