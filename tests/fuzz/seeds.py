"""What real clients say, as inputs to begin with: ``h2``'s bytes and grpcio's, as they were sent.

python -m fuzz.seeds FOLDER
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
import h2.config
import h2.connection

from gateway_extproc.core.ports import Load
from gateway_extproc.wire.fast_server import FastServer
from support import frames
from support.wires import Puppet

HOW: Final = (0x00, 0x01, 0x23, 0x44, 0xA2)
"""First bytes of an input of ``bytes``: the cut, whether the peer reads, how it ends."""


def main(folder: str) -> None:
    into = Path(folder)
    into.mkdir(parents=True, exist_ok=True)
    said = [*_h2_clients(), asyncio.run(_grpcio_client())]
    for number, data in enumerate(said):
        for how in HOW:
            (into / f"client-{number}-{how:02x}").write_bytes(bytes([how]) + data)
    # Decisions for ``frames``: any bytes are some.
    source = random.Random(9113)
    for number in range(64):
        (into / f"any-{number:02}").write_bytes(source.randbytes(source.choice((20, 60, 200, 400))))


def _h2_clients() -> Iterator[bytes]:
    """Conversations of one, of many streams, and of one that changes its mind."""
    for count in (1, 3, 12):
        client = _client()
        for stream in range(1, 2 * count, 2):
            client.send_headers(stream, frames.REQUEST)
            client.send_data(stream, frames.message(b"hello" * stream), end_stream=stream % 4 == 1)
        client.ping(b"12345678")
        client.increment_flow_control_window(1000)
        yield client.data_to_send()
    client = _client()
    client.send_headers(1, frames.REQUEST)
    client.send_data(1, frames.message(b"x" * 3000)[:2000], pad_length=7)
    client.update_settings({4: 10, 5: 20_000})
    client.increment_flow_control_window(70_000, 1)
    client.reset_stream(1)
    client.send_headers(3, frames.REQUEST, end_stream=True)
    client.close_connection()
    yield client.data_to_send()


def _client() -> h2.connection.H2Connection:
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    return client


async def _grpcio_client() -> bytes:
    """What grpcio sends to the real server, through a proxy that listens."""
    heard = bytearray()
    proxies: list[asyncio.Future[None]] = []
    with tempfile.TemporaryDirectory(prefix="gwz-") as folder:
        server = FastServer(Puppet(), Load(), f"unix:{folder}/real.sock")
        await server.start()

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            proxies.append(done := asyncio.get_running_loop().create_future())
            inner_reader, inner_writer = await asyncio.open_unix_connection(f"{folder}/real.sock")
            back = asyncio.create_task(_copy(inner_reader, writer))
            await _copy(reader, inner_writer, heard)
            await back
            done.set_result(None)

        listener = await asyncio.start_unix_server(proxy, f"{folder}/proxy.sock")
        async with grpc.aio.insecure_channel(f"unix:{folder}/proxy.sock") as channel:
            for count in (1, 5):
                call = channel.stream_stream(frames.PROCESS)()
                for _ in range(count):
                    await call.write(b"echo " * 20)
                    await call.read()
                if count == 1:
                    call.cancel()
                else:
                    await call.done_writing()
                    await call.code()
        listener.close()
        await server.drain(0)
        await asyncio.gather(*proxies)
    return bytes(heard)


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray | None = None
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            if heard is not None:
                heard += data
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1])
