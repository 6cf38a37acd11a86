"""A server that answers a recorded exchange exactly, and only to its own request.

What arrives must be what the client sent, value for value; the gateway may name the cap and ask
a stream for usage (``MAY_ADD``), and nothing else.  What does not fit is answered 409 and noted in
``mismatches``.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from multipart import parse_form_data

MAY_ADD: Final = frozenset({"max_tokens", "max_completion_tokens", "stream_options"})
_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "connection"})
PIECE_BYTES: Final = 997
"""Streams leave in pieces of this size: no event ends with one."""


@dataclass(frozen=True)
class Recorded:
    """One exchange; ``sent`` is the request's document, ``path`` where the provider serves it.

    ``pieces``, where there are any, are what a stream's body leaves in, each after ``go_on`` was
    asked; a body that breaks off (``broken``) never ends.
    """

    path: str
    sent: Mapping[str, Any]
    status: int
    headers: Mapping[str, str]
    body: bytes
    pieces: tuple[bytes, ...] = ()
    go_on: Callable[[], object] = lambda: None
    broken: bool = False
    sound: bytes = b""
    """With it the request is a form: ``sent`` are its fields, this its file."""


@dataclass
class ReplayingServer:
    """Serves on a free port of 127.0.0.1 while it is entered; ``play`` says what comes next."""

    mismatches: list[str] = field(default_factory=list)
    answered: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    """What the last request came with."""

    def play(self, exchange: Recorded, credential: tuple[str, str]) -> None:
        """Answers this exchange from now on, to requests with this header."""
        self._exchange, self._credential = exchange, credential
        self.mismatches.clear()
        self.answered = 0

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Address without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def find(self, path: str, headers: Mapping[str, str], body: bytes) -> Recorded | None:
        """The exchange, if this is its request; notes why it is not."""
        self.headers = headers
        name, value = self._credential
        expected = self._exchange
        arrived = _form(headers, body) if expected.sound else json.loads(body)
        if headers.get(name) != value:
            self.mismatches.append(f"{name} is not the provider's credential")
        elif path != expected.path:
            self.mismatches.append(f"asked at {path}, not at {expected.path}")
        elif expected.sound and arrived.pop("file", None) != expected.sound:
            self.mismatches.append("another file arrived")
        elif not same_request(arrived, expected.sent):
            self.mismatches.append(f"asked {arrived}, not {expected.sent}")
        else:
            self.answered += 1
            return expected
        return None


def _form(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The fields of a form, and its file's bytes as ``file``."""
    sent = {name.lower(): value for name, value in headers.items()}
    environ = {
        "REQUEST_METHOD": "POST", "CONTENT_TYPE": sent["content-type"],
        "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
    }  # fmt: skip
    fields, files = parse_form_data(environ, strict=True)
    return {**{name: fields[name] for name in fields}, "file": files["file"].raw}


def same_request(arrived: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
    """Whether one is the other, but for what the gateway may add."""
    added = arrived.keys() - sent.keys()
    kept = {key: value for key, value in arrived.items() if key not in added}
    if sent.get("stream_options"):
        sent = {**sent, "stream_options": {**sent["stream_options"], "include_usage": True}}
    return added <= MAY_ADD and json.dumps(kept, sort_keys=True) == json.dumps(
        dict(sent), sort_keys=True
    )


def _handler(server: ReplayingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found = server.find(self.path, dict(self.headers), body)
            if found is None:
                found = Recorded(
                    self.path, {}, 409, {"content-type": "application/json"},
                    b'{"error": {"message": "no such exchange", "type": "replay"}}',
                )  # fmt: skip
            self.send_response(found.status)
            for name, value in found.headers.items():
                if name not in _FRAMING:
                    self.send_header(name, value)
            kind = found.headers.get("content-type", "")
            if found.pieces or kind.startswith("text/event-stream"):
                self._stream(found)
                return
            self.send_header("content-length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        def _stream(self, found: Recorded) -> None:
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            starts = range(0, len(found.body), PIECE_BYTES)
            for piece in found.pieces or [found.body[at : at + PIECE_BYTES] for at in starts]:
                found.go_on()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
            if found.broken:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *args: object) -> None:
            """Nothing: a test says what went wrong itself."""

    return Handler
