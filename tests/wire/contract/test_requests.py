"""What a request must look like, and what each server says to others (gRPC over HTTP/2)."""

from __future__ import annotations

import grpc
import pytest

from gateway_extproc.wire.options import PROCESS_SERVICE
from support import frames
from support.frames import Code, request
from support.h2peer import Answer, h2_peer, raw_peer
from wire.conftest import FAST, Wired

UNIMPLEMENTED = "12"
INTERNAL = "13"


async def ask(wired: Wired, fields: tuple[tuple[str, str], ...]) -> Answer:
    """The answer to a stream with these headers and one message."""
    async with raw_peer(wired.address) as peer:
        await peer.send(frames.headers(1, fields), frames.data(1, frames.message(b"x"), end=True))
        return await peer.answer(1)


async def test_a_plain_request_is_served(wired: Wired) -> None:
    answer = await ask(wired, frames.REQUEST)
    assert answer.http_status == "200"
    assert answer.headers[0]["content-type"].startswith("application/grpc")
    assert (answer.messages, answer.status) == ([b"x"], "0")
    assert "grpc-status" in answer.headers[-1]


@pytest.mark.parametrize(
    "fields",
    [
        request(("grpc-timeout", "1H"), ("grpc-accept-encoding", "identity,gzip")),
        request(
            ("grpc-encoding", "identity"),
        ),
        request(("x-many", "a"), ("x-many", "b"), ("x-empty", "")),
        request(("x-bytes-bin", "AAECAw")),
        request(content_type="application/grpc+proto"),
        request(("user-agent", "Envoy")),
        request(*((f"x-{n}", "v" * 500) for n in range(8))),
    ],
)
async def test_headers_that_are_only_unusual_are_served(
    wired: Wired, fields: tuple[tuple[str, str], ...]
) -> None:
    assert (await ask(wired, fields)).messages == [b"x"]


@FAST
async def test_an_authority_may_be_missing(wired: Wired) -> None:
    """RFC 9113, 8.3.1: it may be; grpcio resets such a stream."""
    assert (await ask(wired, request(authority=None))).messages == [b"x"]


@pytest.mark.parametrize(
    "path",
    [
        f"/{PROCESS_SERVICE}/Nothing",
        f"/{PROCESS_SERVICE}/process",
        f"/{PROCESS_SERVICE}/",
        f"/{PROCESS_SERVICE}",
        f"/{PROCESS_SERVICE}/Process/",
        "/no.such.Service/Process",
        "/",
        "/grpc.health.v1.Health/Nothing",
    ],
)
async def test_an_unknown_method_is_unimplemented(wired: Wired, path: str) -> None:
    answer = await ask(wired, request(path=path))
    assert (answer.http_status, answer.status, answer.messages) == ("200", UNIMPLEMENTED, [])
    assert wired.puppet.ends == {}


async def test_grpcio_hears_the_same_of_an_unknown_method(wired: Wired) -> None:
    call = wired.channel.stream_stream(f"/{PROCESS_SERVICE}/Nothing")()
    assert await call.code() == grpc.StatusCode.UNIMPLEMENTED


@FAST
@pytest.mark.parametrize("kind_of_content", ["application/json", "text/plain", "", None])
async def test_what_is_not_grpc_is_an_unsupported_media_type(
    wired: Wired, kind_of_content: str | None
) -> None:
    """gRPC over HTTP/2, Requests: 415, so that HTTP clients do not take it for a success."""
    answer = await ask(wired, request(content_type=kind_of_content))
    assert (answer.http_status, answer.messages) == ("415", [])
    assert wired.puppet.ends == {}


@FAST
@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "HEAD"])
async def test_only_post_is_served(wired: Wired, method: str) -> None:
    answer = await ask(wired, request(method=method))
    assert (answer.http_status, answer.messages) == ("415", [])
    assert wired.puppet.ends == {}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(request(method=None), id="no method"),
        pytest.param(request(path=None), id="no path"),
        pytest.param(request(scheme=None), id="no scheme"),
        pytest.param(request(path=""), id="empty path"),
        pytest.param(request((":method", "POST")), id="pseudo header after others"),
        pytest.param(((":method", "POST"), *frames.REQUEST), id="method twice"),
        pytest.param(((":path", "/"), *frames.REQUEST), id="path twice"),
        pytest.param(((":status", "200"), *frames.REQUEST), id="pseudo header of an answer"),
        pytest.param(((":unknown", "x"), *frames.REQUEST), id="unknown pseudo header"),
        pytest.param(request(("X-Upper", "x")), id="upper case"),
        pytest.param(request(("connection", "keep-alive")), id="connection"),
        pytest.param(request(("transfer-encoding", "chunked")), id="transfer-encoding"),
        pytest.param(request(("keep-alive", "1")), id="keep-alive"),
        pytest.param(request(te="gzip"), id="te other than trailers"),
        pytest.param(request(("x-a", "1\r\nx-b: 2")), id="line break in a value"),
        pytest.param(request(("x-a", "a\x00b")), id="zero byte in a value"),
        pytest.param(request(("x a", "b")), id="space in a name"),
        pytest.param(request(("", "b")), id="empty name"),
        pytest.param(request(("content-length", "7")), id="content-length that lies"),
    ],
)
@FAST
async def test_malformed_headers_never_reach_the_handler(
    wired: Wired, fields: tuple[tuple[str, str], ...]
) -> None:
    """RFC 9113, 8.1.1 to 8.3: a malformed request is a stream error of PROTOCOL_ERROR."""
    async with raw_peer(wired.address) as peer:
        await peer.send(frames.headers(1, fields), frames.data(1, frames.message(b"x"), end=True))
        answer = await peer.answer(1)
        assert answer.messages == []
        assert answer.reset == Code.PROTOCOL_ERROR or answer.http_status == "400"
        assert wired.puppet.ends == {}
        await peer.send(frames.headers(3), frames.data(3, frames.message(b"y"), end=True))
        assert (await peer.answer(3)).messages == [b"y"]


async def test_a_compressed_message_is_refused(wired: Wired) -> None:
    """Without grpc-encoding no compression was agreed on: INTERNAL for grpcio."""
    async with h2_peer(wired.address) as peer:
        for before in ((), (b"plain",)):
            stream = peer.request()
            for number, payload in enumerate(before):
                await peer.send(stream, frames.message(payload))
                assert await peer.message(stream, number) == payload
            await peer.send(stream, frames.message(b"zip", compressed=1), end=True)
            answer = await peer.finish(stream)
            assert answer.messages == list(before)
            assert answer.status in (UNIMPLEMENTED, INTERNAL)


@FAST
async def test_a_compression_that_was_not_offered_is_unimplemented(wired: Wired) -> None:
    """gRPC compression: an unsupported encoding is UNIMPLEMENTED; grpcio knows gzip."""
    async with raw_peer(wired.address) as peer:
        await peer.send(
            frames.headers(1, request(("grpc-encoding", "gzip"))),
            frames.data(1, frames.message(b"zip", compressed=1), end=True),
        )
        answer = await peer.answer(1)
        assert (answer.messages, answer.status) == ([], UNIMPLEMENTED)


@FAST
@pytest.mark.parametrize("flag", [2, 0x80, 0xFF])
async def test_a_flag_byte_that_does_not_exist_ends_the_stream(wired: Wired, flag: int) -> None:
    async with h2_peer(wired.address) as peer:
        stream = peer.request()
        await peer.send(stream, frames.message(b"x", compressed=flag))
        answer = await peer.finish(stream)
        assert answer.messages == []
        assert answer.status in (UNIMPLEMENTED, INTERNAL)


async def test_trailers_of_the_peer_end_its_half(wired: Wired) -> None:
    """RFC 9113, 8.1: a request may end with trailers; they mean nothing to us."""
    async with raw_peer(wired.address) as peer:
        await peer.send(
            frames.headers(1),
            frames.data(1, frames.message(b"x")),
            frames.headers(1, (("x-trailer", "1"),), end=True),
        )
        answer = await peer.answer(1)
        assert (answer.messages, answer.status) == ([b"x"], "0")


async def test_messages_may_lie_in_frames_in_any_way(wired: Wired) -> None:
    payloads = [b"", b"a", b"bc" * 700, b"", b"d" * 5]
    whole = b"".join(frames.message(payload) for payload in payloads)
    async with raw_peer(wired.address) as peer:
        for number, size in enumerate((1, 2, 3, 4, 5, 6, 7, 100, len(whole))):
            stream = 2 * number + 1
            cuts = range(0, len(whole), size)
            await peer.send(
                frames.headers(stream),
                *(frames.data(stream, whole[at : at + size]) for at in cuts),
                frames.data(stream, b"", end=True),
            )
            answer = await peer.answer(stream)
            assert (answer.messages, answer.status) == (payloads, "0"), size
