"""TLS in front of a plain server, as a provider on the internet has it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import trustme


@contextlib.contextmanager
def tls_front(
    target_port: int, folder: Path, name: str = "localhost"
) -> Iterator[tuple[int, Path]]:
    """A TLS listener that forwards to a port on this machine.

    Yields its port and the file with the authority that vouches for ``name``.
    """
    authority = trustme.CA()
    ca_file = folder / f"ca-{name}.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    started = threading.Event()
    loop = asyncio.new_event_loop()
    ports: list[int] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target_port)
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

    async def listen() -> None:
        server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve_forever()

    def run() -> None:
        with contextlib.suppress(RuntimeError):
            loop.run_until_complete(listen())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(5)
    try:
        yield ports[0], ca_file
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
