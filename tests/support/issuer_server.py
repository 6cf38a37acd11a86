"""A real HTTP server that publishes an issuer's keys, well or badly."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class KeyServer:
    """``answer`` is asked for status, headers and body; ``asked_s`` holds when that was."""

    answer: Callable[[], tuple[int, dict[str, str], bytes]]
    asked_s: list[float] = field(default_factory=list)
    url: str = ""
    drip_s: float = 0.0

    def serve(self, body: bytes) -> None:
        """From now on a good answer."""
        self.answer = lambda: (200, {"content-type": "application/json"}, body)

    def gaps_s(self) -> list[float]:
        return [b - a for a, b in zip(self.asked_s, self.asked_s[1:], strict=False)]


@contextlib.contextmanager
def key_server(body: bytes, tls: ssl.SSLContext | None = None) -> Iterator[KeyServer]:
    server = KeyServer(lambda: (200, {}, body))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked_s.append(time.monotonic())
            status, headers, content = server.answer()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "transfer-encoding" not in headers:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):
                if server.drip_s:
                    for i in range(len(content)):
                        self.wfile.write(content[i : i + 1])
                        self.wfile.flush()
                        time.sleep(server.drip_s)
                else:
                    self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    port = listener.server_address[1]
    if tls is not None:
        listener.socket = tls.wrap_socket(listener.socket, server_side=True)
    scheme, host = ("https", "localhost") if tls is not None else ("http", "127.0.0.1")
    server.url = f"{scheme}://{host}:{port}/keys?set=1"
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(5)
