"""Workers on TCP with TLS: who may connect, and what over."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway_extproc.cli.processes import find_free_port
from gateway_extproc.core.ports import Load
from gateway_extproc.wire import options
from gateway_extproc.wire.server import Kind, make_server
from gateway_extproc.wire.tls import ServerTls
from support import envoy, frames
from support.certificates import SERVER_NAME, Certificates, make_certificates
from support.config import ANN
from support.h2peer import RawPeer
from support.parts import make_bench
from support.wires import Puppet


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
async def port(tmp_path: Path, kind: Kind, files: Certificates) -> AsyncIterator[int]:
    bench = make_bench(tmp_path)
    free = find_free_port()
    tls = ServerTls(files.server_cert, files.server_key, files.ca_file)
    server = make_server(kind, bench.processor(), bench.parts.load, f"127.0.0.1:{free}", tls)
    await server.start()
    yield free
    await server.drain(0)
    bench.close()


def channel(port: int, files: Certificates, *, with_certificate: bool) -> Any:
    pair = (files.client_key.read_bytes(), files.client_cert.read_bytes())
    key, cert = pair if with_certificate else (None, None)
    credentials = grpc.ssl_channel_credentials(files.ca_file.read_bytes(), key, cert)
    options = [("grpc.ssl_target_name_override", SERVER_NAME)]
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)


async def test_a_peer_with_a_certificate_is_served(port: int, files: Certificates) -> None:
    async with channel(port, files, with_certificate=True) as opened:
        reply = await envoy.ExtProcStream(opened).ask(envoy.request_headers(ANN))
    assert reply.WhichOneof("response") == "request_headers"


async def test_a_peer_without_one_is_not(port: int, files: Certificates) -> None:
    async with channel(port, files, with_certificate=False) as opened:
        stream = envoy.ExtProcStream(opened)
        with pytest.raises(grpc.aio.AioRpcError):
            await stream.ask(envoy.request_headers(ANN))
        assert (await stream.status())[0] == "UNAVAILABLE"


async def test_a_peer_without_tls_is_not(port: int) -> None:
    async with envoy.open_channel(f"127.0.0.1:{port}") as opened:
        stream = envoy.ExtProcStream(opened)
        with pytest.raises(grpc.aio.AioRpcError):
            await stream.ask(envoy.request_headers(ANN))


@pytest.mark.parametrize("kind", ["fast"])
async def test_tls_without_alpn_h2_is_cut(port: int, files: Certificates) -> None:
    context = ssl.create_default_context(cafile=str(files.ca_file))
    context.load_cert_chain(files.client_cert, files.client_key)
    context.set_alpn_protocols(["http/1.1"])

    def talk() -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname=SERVER_NAME) as secure,
        ):
            secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            try:
                return secure.recv(100)
            except OSError:
                return b""

    assert await asyncio.to_thread(talk) == b""


async def test_a_handshake_that_ends_after_the_listener_holds_up_no_drain(
    files: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a peer is let go, too, whether it has spoken by then or not."""
    monkeypatch.setattr(options, "LAME_DUCK_S", 0.1)
    puppet, free = Puppet(), find_free_port()
    tls = ServerTls(files.server_cert, files.server_key, files.ca_file)
    address = f"127.0.0.1:{free}"
    server = make_server("fast", puppet, Load(), address, tls)
    await server.start()
    context = ssl.create_default_context(cafile=str(files.ca_file))
    context.load_cert_chain(files.client_cert, files.client_key)
    context.set_alpn_protocols(["h2"])
    secure: dict[str, Any] = {"ssl": context, "server_hostname": SERVER_NAME}
    first = RawPeer(*await asyncio.open_connection("127.0.0.1", free, **secure))
    await first.send(frames.PREFACE, frames.settings())
    await first.send(frames.headers(1), frames.data(1, frames.message(b"wait")))
    await first.of(frames.Kind.DATA, 1)
    late_reader, late_writer = await asyncio.open_connection("127.0.0.1", free)
    started = time.monotonic()
    draining = asyncio.create_task(server.drain(10.0))
    await first.of(frames.Kind.GOAWAY)
    await late_writer.start_tls(context, server_hostname=SERVER_NAME)
    late = RawPeer(late_reader, late_writer)
    await late.send(frames.PREFACE, frames.settings())
    await late.ended()
    puppet.gate.set()
    await first.send(frames.data(1, b"", end=True))
    await draining
    assert time.monotonic() - started < 5
    await first.close()
    await late.close()


def test_files_that_are_no_certificates_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(OSError):
        ServerTls(tmp_path / "empty", tmp_path / "empty").context()
