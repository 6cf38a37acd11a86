"""Frames that are unusual and right, and frames that are wrong (RFC 9113)."""

from __future__ import annotations

import asyncio
import struct
from functools import partial

import pytest

from support import frames
from support.frames import (
    ACK,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    PADDED,
    WINDOW_MAX,
    WITH_PRIORITY,
    Code,
    Kind,
    Setting,
    continuation,
    data,
    frame,
    headers,
    message,
    request,
    window_update,
)
from support.h2peer import H2Peer, RawPeer, h2_peer, raw_peer
from wire.conftest import FAST, Wired

HELLO = message(b"hello")


async def served(peer: RawPeer, stream: int) -> None:
    """The connection lives, and a stream on it is served."""
    await peer.send(headers(stream), data(stream, HELLO, end=True))
    answer = await peer.answer(stream)
    assert (answer.messages, answer.status) == ([b"hello"], "0")


# ------------------------------------------------------------------------- what is right


async def test_a_conversation_cut_at_every_byte_is_the_same(wired: Wired) -> None:
    whole = frames.PREFACE + frames.settings() + headers(1) + data(1, HELLO, end=True)
    async with raw_peer(wired.address, greet=False) as peer:
        await peer.each(whole)
        assert (await peer.answer(1)).messages == [b"hello"]


async def test_settings_are_acknowledged_and_announced(wired: Wired) -> None:
    async with raw_peer(wired.address, (Setting.ENABLE_PUSH, 0)) as peer:
        greeting = await peer.next()
        assert greeting is not None
        # Section 3.4: the server's preface is a SETTINGS frame.
        assert (greeting.kind, greeting.flags, greeting.stream) == (Kind.SETTINGS, 0, 0)
        acknowledged = await peer.of(Kind.SETTINGS)
        assert (acknowledged.flags, acknowledged.payload) == (ACK, b"")


@FAST
async def test_the_announced_limits_are_those_of_the_documentation(wired: Wired) -> None:
    async with raw_peer(wired.address) as peer:
        greeting = await peer.of(Kind.SETTINGS)
        pairs = dict(struct.iter_unpack(">HI", greeting.payload))
        assert pairs[Setting.HEADER_TABLE_SIZE] == 0
        assert pairs[Setting.MAX_CONCURRENT_STREAMS] == 32_768
        assert pairs[Setting.INITIAL_WINDOW_SIZE] == 1 << 20
        assert Setting.MAX_FRAME_SIZE not in pairs
        grown = await peer.of(Kind.WINDOW_UPDATE, 0)
        assert int.from_bytes(grown.payload, "big") + DEFAULT_WINDOW == 16 << 20


async def test_a_ping_comes_back_with_its_payload(wired: Wired) -> None:
    async with raw_peer(wired.address) as peer:
        for payload in (b"\x00" * 8, b"12345678", b"\xff" * 8):
            await peer.pings(payload)


@FAST
@pytest.mark.parametrize("padding", [0, 1, 7, 255])
async def test_padding_is_dropped(wired: Wired, padding: int) -> None:
    """Section 6.1; grpcio ends a stream for it."""
    async with raw_peer(wired.address) as peer:
        padded = bytes([padding]) + frames.block() + bytes(padding)
        await peer.send(
            headers(1, padded, flags=END_HEADERS | PADDED),
            data(1, HELLO[:3], padding=padding),
            data(1, HELLO[3:], padding=padding, end=True),
        )
        assert (await peer.answer(1)).messages == [b"hello"]


async def test_a_header_block_may_be_cut_at_every_byte(wired: Wired) -> None:
    block = frames.block(request(("x-metadata", "a value")))
    async with raw_peer(wired.address) as peer:
        for number, cut in enumerate(range(len(block) + 1)):
            stream = 2 * number + 1
            await peer.send(
                headers(stream, block[:cut], flags=0),
                continuation(stream, block[cut:]),
                data(stream, HELLO, end=True),
            )
            assert (await peer.answer(stream)).messages == [b"hello"], cut


async def test_a_header_block_may_come_in_several_pieces(wired: Wired) -> None:
    block = frames.block()
    size = len(block) // 8 + 1
    pieces = [block[at : at + size] for at in range(0, len(block), size)]
    async with raw_peer(wired.address) as peer:
        await peer.send(
            headers(1, pieces[0], flags=0),
            *(continuation(1, piece, end=False) for piece in pieces[1:]),
            continuation(1, b""),
            data(1, HELLO, end=True),
        )
        assert (await peer.answer(1)).messages == [b"hello"]


async def test_end_stream_in_headers_counts_after_the_last_continuation(wired: Wired) -> None:
    block = frames.block()
    async with raw_peer(wired.address) as peer:
        await peer.send(headers(1, block[:9], flags=0, end=True), continuation(1, block[9:]))
        answer = await peer.answer(1)
        assert (answer.messages, answer.status) == ([], "0")


async def test_priority_is_read_and_ignored(wired: Wired) -> None:
    """Section 5.3.2: it is deprecated; any stream may be named, also one that is idle."""
    async with raw_peer(wired.address) as peer:
        with_priority = struct.pack(">IB", 0x80000000, 3) + frames.block()
        await peer.send(
            frames.priority(9),
            headers(1, with_priority, flags=END_HEADERS | WITH_PRIORITY),
            frames.priority(1, 9),
            data(1, HELLO, end=True),
            frames.priority(1),
        )
        assert (await peer.answer(1)).messages == [b"hello"]
        await peer.send(frames.priority(1))
        await served(peer, 3)


@FAST
async def test_unknown_frames_flags_and_settings_are_ignored(wired: Wired) -> None:
    """Sections 4.1, 5.5 and 6.5.2; grpcio ends a stream for an unknown flag."""
    async with raw_peer(wired.address, (0x9999, 7)) as peer:
        await peer.send(
            frame(0xFA, 0xFF, 0, b"whatever"),
            frame(0xFB, 0, 77, b""),
            headers(1, flags=END_HEADERS | 0xC0),
            frame(0x20, 0xFF, 1, bytes(100)),
            data(1, HELLO),
            frame(Kind.DATA, END_STREAM | 0xC0, 1),
        )
        assert (await peer.answer(1)).messages == [b"hello"]


@FAST
async def test_the_reserved_bit_of_a_stream_id_is_ignored(wired: Wired) -> None:
    """Section 4.1."""
    reserved = 1 << 31
    async with raw_peer(wired.address) as peer:
        await peer.send(
            frame(Kind.SETTINGS, 0, reserved),
            frame(Kind.PING, 0, reserved, b"reserved"),
            frame(Kind.WINDOW_UPDATE, 0, reserved, struct.pack(">I", reserved | 1)),
            headers(reserved | 1),
            data(reserved | 1, HELLO, end=True),
        )
        assert (await peer.answer(1)).messages == [b"hello"]


async def test_empty_data_is_no_message(wired: Wired) -> None:
    async with raw_peer(wired.address) as peer:
        await peer.send(
            headers(1), data(1, b""), data(1, HELLO), data(1, b""), data(1, b"", end=True)
        )
        answer = await peer.answer(1)
        assert (answer.messages, answer.status) == ([b"hello"], "0")


async def test_stream_ids_may_leave_gaps(wired: Wired) -> None:
    """Section 5.1.1."""
    async with raw_peer(wired.address) as peer:
        for stream in (1, 5, 1001, WINDOW_MAX):
            await served(peer, stream)


async def test_frames_of_a_stream_that_ended_are_no_harm(wired: Wired) -> None:
    """Section 5.1, closed: what was on its way when the stream ended."""
    async with raw_peer(wired.address) as peer:
        await served(peer, 1)
        await peer.send(window_update(1, 100), frames.rst_stream(1, Code.CANCEL))
        await served(peer, 3)
        # The handler left first: the peer may not have seen it yet.
        await peer.send(headers(5), data(5, message(b"return:bye")))
        assert (await peer.answer(5)).messages == [b"bye"]
        await peer.send(data(5, message(b"late")), data(5, b"", end=True))
        await served(peer, 7)


async def test_a_peers_goaway_lets_its_streams_finish(wired: Wired) -> None:
    """Section 6.8."""
    async with raw_peer(wired.address) as peer:
        await peer.send(headers(1), data(1, HELLO), frames.goaway())
        await peer.send(data(1, HELLO, end=True))
        answer = await peer.answer(1)
        assert (answer.messages, answer.status) == ([b"hello"] * 2, "0")


async def test_a_reset_of_one_stream_leaves_the_others(wired: Wired) -> None:
    async with raw_peer(wired.address) as peer:
        await peer.send(headers(1), data(1, HELLO), headers(3), data(3, HELLO))
        await peer.send(frames.rst_stream(1, Code.CANCEL), data(3, b"", end=True))
        assert (await peer.answer(3)).messages == [b"hello"]
        await served(peer, 5)


async def test_windows_of_the_peer_are_kept(wired: Wired) -> None:
    """Section 6.9: byte by byte, on the stream and on the connection."""
    async with raw_peer(wired.address, (Setting.INITIAL_WINDOW_SIZE, 0)) as peer:
        await peer.send(headers(1), data(1, HELLO, end=True))
        await peer.of(Kind.HEADERS, 1)
        sent = b""
        for _ in HELLO:
            await peer.send(window_update(1, 1))
            got = await peer.of(Kind.DATA, 1)
            assert len(got.payload) == 1
            sent += got.payload
        assert sent == HELLO
        answer = await peer.answer(1)
        assert (answer.payload, answer.status) == (b"", "0")


async def test_the_connections_window_is_kept(wired: Wired) -> None:
    async with raw_peer(wired.address, (Setting.INITIAL_WINDOW_SIZE, 1 << 20)) as peer:
        await peer.send(headers(1), data(1, message(b"flood:1,100000")))
        got = 0
        while got < DEFAULT_WINDOW:
            got += len((await peer.of(Kind.DATA, 1)).payload)
        assert got == DEFAULT_WINDOW
        await peer.pings()
        await peer.send(window_update(0, 3))
        assert len((await peer.of(Kind.DATA, 1)).payload) == 3
        await peer.send(window_update(0, 1 << 20))
        answer = await peer.answer(1)
        assert got + 3 + len(answer.payload) == 100_005


def _allows(peer: H2Peer, size: int) -> bool:
    return peer.h2.local_settings.header_table_size == size


@pytest.mark.parametrize("size", [0, 1, 4095])
async def test_a_peer_may_allow_a_smaller_header_table(wired: Wired, size: int) -> None:
    """Section 4.3.1: the next block then begins by saying that its encoder obeys."""
    async with h2_peer(wired.address) as peer:
        for allowed in (size, 4096, size):
            peer.set(Setting.HEADER_TABLE_SIZE, allowed)
            # Acknowledged, so the next block must begin with it.
            await peer.until(partial(_allows, peer, allowed))
            for play in (b"hello", b"abort:enough"):
                stream = peer.request()
                await peer.send(stream, message(play), end=True)
                assert (await peer.finish(stream)).status is not None


# -------------------------------------------------------- what ends the connection, and how

ONE = headers(1)
FLOW = Code.FLOW_CONTROL_ERROR
PROTOCOL = Code.PROTOCOL_ERROR
SIZE = Code.FRAME_SIZE_ERROR

WRONG: list[tuple[str, bytes, Code]] = [
    ("DATA on stream 0", data(0, HELLO), PROTOCOL),
    ("HEADERS on stream 0", headers(0), PROTOCOL),
    ("PRIORITY on stream 0", frames.priority(0), PROTOCOL),
    ("PRIORITY of 4 bytes", ONE + frame(Kind.PRIORITY, 0, 1, bytes(4)), SIZE),
    ("PRIORITY of 4 bytes on an idle stream", frame(Kind.PRIORITY, 0, 5, bytes(4)), SIZE),
    ("RST_STREAM on stream 0", frames.rst_stream(0), PROTOCOL),
    ("SETTINGS on a stream", frame(Kind.SETTINGS, 0, 1), PROTOCOL),
    ("PING on a stream", frame(Kind.PING, 0, 1, bytes(8)), PROTOCOL),
    ("GOAWAY on a stream", frame(Kind.GOAWAY, 0, 1, bytes(8)), PROTOCOL),
    ("CONTINUATION on stream 0", continuation(0, b""), PROTOCOL),
    ("CONTINUATION without HEADERS", continuation(1, b""), PROTOCOL),
    ("CONTINUATION after a whole block", ONE + continuation(1, b""), PROTOCOL),
    ("CONTINUATION of another stream", headers(1, flags=0) + continuation(3, b""), PROTOCOL),
    ("PING inside a header block", headers(1, flags=0) + frames.ping(), PROTOCOL),
    ("unknown frame inside a header block", headers(1, flags=0) + frame(0xFA), PROTOCOL),
    ("HEADERS inside a header block", headers(1, flags=0) + headers(3), PROTOCOL),
    ("DATA inside a header block", headers(1, flags=0) + data(1, b""), PROTOCOL),
    ("PUSH_PROMISE of a client", ONE + frame(Kind.PUSH_PROMISE, 4, 1, bytes(4)), PROTOCOL),
    ("an even stream", headers(2), PROTOCOL),
    ("DATA on an idle stream", data(1, HELLO), PROTOCOL),
    ("RST_STREAM on an idle stream", frames.rst_stream(1), PROTOCOL),
    ("WINDOW_UPDATE on an idle stream", window_update(1, 1), PROTOCOL),
    ("DATA on an even idle stream", data(2, HELLO), PROTOCOL),
    ("WINDOW_UPDATE of 0", window_update(0, 0), PROTOCOL),
    ("WINDOW_UPDATE overflow", window_update(0, WINDOW_MAX), FLOW),
    ("WINDOW_UPDATE of 3 bytes", frame(Kind.WINDOW_UPDATE, payload=bytes(3)), SIZE),
    ("WINDOW_UPDATE of 5 bytes on a stream", ONE + frame(8, 0, 1, bytes(5)), SIZE),
    ("SETTINGS of 5 bytes", frame(Kind.SETTINGS, payload=bytes(5)), SIZE),
    ("SETTINGS acknowledgement with a payload", frame(Kind.SETTINGS, ACK, 0, bytes(6)), SIZE),
    ("PING of 7 bytes", frame(Kind.PING, payload=bytes(7)), SIZE),
    ("PING of 9 bytes", frame(Kind.PING, payload=bytes(9)), SIZE),
    ("RST_STREAM of 3 bytes", ONE + frame(Kind.RST_STREAM, 0, 1, bytes(3)), SIZE),
    ("RST_STREAM of 5 bytes", ONE + frame(Kind.RST_STREAM, 0, 1, bytes(5)), SIZE),
    ("GOAWAY of 7 bytes", frame(Kind.GOAWAY, payload=bytes(7)), SIZE),
    ("a frame larger than announced", frame(Kind.DATA, 0, 1, b"", length=16_385), SIZE),
    ("an unknown frame larger than announced", frame(0xFA, 0, 0, b"", length=1 << 20), SIZE),
    ("ENABLE_PUSH of 2", frames.settings((Setting.ENABLE_PUSH, 2)), PROTOCOL),
    ("INITIAL_WINDOW_SIZE of 2^31", frames.settings((Setting.INITIAL_WINDOW_SIZE, 1 << 31)), FLOW),
    ("MAX_FRAME_SIZE of 16383", frames.settings((Setting.MAX_FRAME_SIZE, 16_383)), PROTOCOL),
    ("MAX_FRAME_SIZE of 2^24", frames.settings((Setting.MAX_FRAME_SIZE, 1 << 24)), PROTOCOL),
    ("padding as long as DATA", ONE + frame(Kind.DATA, PADDED, 1, b"\x05" + bytes(4)), PROTOCOL),
    ("padding in an empty DATA", ONE + frame(Kind.DATA, PADDED, 1, b""), PROTOCOL),
    ("padding in an empty HEADERS", frame(Kind.HEADERS, PADDED | END_HEADERS, 1, b""), PROTOCOL),
    ("padding longer than HEADERS", frame(1, PADDED | END_HEADERS, 1, b"\xff\x82"), PROTOCOL),
    ("HEADERS too short for its priority", frame(1, WITH_PRIORITY | 4, 1, bytes(4)), SIZE),
    ("a block that is no HPACK", headers(1, b"\x40\xff\xff\xff"), Code.COMPRESSION_ERROR),
    ("an index that does not exist", headers(1, b"\xff\xff\xff\xff\x07"), Code.COMPRESSION_ERROR),
    ("an index of 0", headers(1, b"\x80"), Code.COMPRESSION_ERROR),
    ("a table larger than announced", headers(1, b"\x3f\xff\xff\x03"), Code.COMPRESSION_ERROR),
]
"""Name, what is sent after the greetings, the code of the GOAWAY."""

CASES = pytest.mark.parametrize(
    ("wrong", "code"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)


@FAST
@CASES
async def test_a_broken_rule_of_the_connection_ends_it(
    wired: Wired, wrong: bytes, code: Code
) -> None:
    async with raw_peer(wired.address) as peer:
        await peer.pings()
        await peer.send(wrong)
        assert await peer.ended() == code
    async with raw_peer(wired.address) as other:
        await served(other, 1)
    assert wired.puppet.running == 0


@FAST
@CASES
async def test_it_ends_so_also_byte_by_byte(wired: Wired, wrong: bytes, code: Code) -> None:
    async with raw_peer(wired.address) as peer:
        await peer.each(wrong, 3)
        assert await peer.ended() == code


@FAST
async def test_a_smaller_stream_id_ends_the_connection(wired: Wired) -> None:
    """Section 5.1.1: skipped ids are closed by a larger one; HEADERS on a closed stream."""
    async with raw_peer(wired.address) as peer:
        await peer.send(headers(5), headers(3))
        assert await peer.ended() in (Code.STREAM_CLOSED, Code.PROTOCOL_ERROR)


@FAST
@pytest.mark.parametrize(
    ("start", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PROTOCOL),
        (frames.PREFACE[:-1] + b"X", PROTOCOL),
        (b"\x00" * 24, PROTOCOL),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", PROTOCOL),
        (frames.PREFACE + frames.ping(), PROTOCOL),
        (frames.PREFACE + headers(1), PROTOCOL),
        (frames.PREFACE + frame(0xFA), PROTOCOL),
        (frames.PREFACE + frames.goaway(), PROTOCOL),
    ],
)
async def test_a_connection_that_begins_wrongly_is_ended(
    wired: Wired, start: bytes, code: Code
) -> None:
    """Section 3.4: the preface, then SETTINGS."""
    async with raw_peer(wired.address, greet=False) as peer:
        await peer.send(start)
        assert await peer.ended() in (code, None)


@FAST
async def test_first_settings_that_are_an_acknowledgement_are_no_settings(wired: Wired) -> None:
    async with raw_peer(wired.address, greet=False) as peer:
        await peer.send(frames.PREFACE, frames.settings_ack())
        assert await peer.ended() == PROTOCOL


# ------------------------------------------------------------- what ends one stream, and how

BROKEN: list[tuple[str, bytes, Code]] = [
    ("WINDOW_UPDATE of 0", window_update(1, 0), PROTOCOL),
    ("WINDOW_UPDATE overflow", window_update(1, WINDOW_MAX), FLOW),
    ("HEADERS without END_STREAM inside a body", headers(1, (("x-trailer", "1"),)), PROTOCOL),
    ("trailers with a pseudo header", headers(1, ((":path", "/"),), end=True), PROTOCOL),
    ("the stream's window overrun", frames.data_frames(1, bytes((1 << 20) + 1)), FLOW),
]


@FAST
@pytest.mark.parametrize(("wrong", "code"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
async def test_a_broken_rule_of_a_stream_ends_only_that(
    wired: Wired, wrong: bytes, code: Code
) -> None:
    async with raw_peer(wired.address) as peer:
        await peer.send(headers(1), data(1, message(b"wait")), headers(3), data(3, HELLO))
        await peer.of(Kind.DATA, 1)
        await peer.send(wrong)
        assert (await peer.of(Kind.RST_STREAM, 1)).code == code
        await peer.send(data(3, b"", end=True))
        await peer.of(Kind.HEADERS, 3)
        await served(peer, 5)
        # What the peer had sent on the stream before it knew is dropped.
        await peer.send(data(1, HELLO), data(1, b"", end=True))
        await served(peer, 7)
    assert wired.puppet.running == 0


@FAST
@pytest.mark.parametrize("late", [data(1, HELLO), headers(1, end=True)], ids=["DATA", "HEADERS"])
async def test_frames_after_end_stream_are_a_stream_error(wired: Wired, late: bytes) -> None:
    """Section 5.1, half-closed (remote)."""
    async with raw_peer(wired.address) as peer:
        await peer.send(window_update(0, 1 << 20))
        await peer.send(headers(1), data(1, message(b"flood:1,100000"), end=True))
        await peer.of(Kind.DATA, 1)
        await peer.send(late)
        assert (await peer.of(Kind.RST_STREAM, 1)).code == Code.STREAM_CLOSED
        await served(peer, 3)


@FAST
@pytest.mark.parametrize("late", [data(1, HELLO), headers(1, end=True)], ids=["DATA", "HEADERS"])
async def test_frames_on_a_stream_that_is_over_are_an_error(wired: Wired, late: bytes) -> None:
    """Section 5.1, closed: of the stream or of the connection."""
    async with raw_peer(wired.address) as peer:
        await served(peer, 1)
        await peer.send(late)
        got = await peer.find(lambda got: got.kind in (Kind.RST_STREAM, Kind.GOAWAY))
        assert got.code in (Code.STREAM_CLOSED, Code.PROTOCOL_ERROR)


@FAST
async def test_what_a_reset_stream_sent_counts_for_the_connection(wired: Wired) -> None:
    """Section 5.2.2: else both sides would no longer agree on the window."""
    async with raw_peer(wired.address) as peer:
        await peer.send(headers(1), data(1, message(b"return:bye")))
        await peer.answer(1)
        for _ in range(2_000):
            await peer.send(data(1, bytes(frames.FRAME_BYTES)))
        grown = await peer.of(Kind.WINDOW_UPDATE, 0)
        if int.from_bytes(grown.payload, "big") + DEFAULT_WINDOW == 16 << 20:
            grown = await peer.of(Kind.WINDOW_UPDATE, 0)
        assert int.from_bytes(grown.payload, "big") > 0
        await served(peer, 3)


@FAST
async def test_streams_above_the_announced_limit_are_refused(wired: Wired) -> None:
    """Section 5.1.2: REFUSED_STREAM, which a client may try again."""
    limit = 32_768
    async with raw_peer(wired.address) as peer:
        await peer.send(window_update(0, 1 << 30))
        one = data(1, message(b"wait"))
        for at in range(0, limit, 512):
            await peer.send(
                *(
                    headers(2 * n + 1) + one[:5] + struct.pack(">I", 2 * n + 1) + one[9:]
                    for n in range(at, at + 512)
                )
            )
            await peer.of(Kind.DATA, 2 * (at + 511) + 1)
        await peer.send(headers(2 * limit + 1))
        assert (await peer.of(Kind.RST_STREAM, 2 * limit + 1)).code == Code.REFUSED_STREAM
        await peer.send(frames.rst_stream(1))
        await peer.pings()
        await asyncio.sleep(0.1)
        await served(peer, 2 * limit + 3)
