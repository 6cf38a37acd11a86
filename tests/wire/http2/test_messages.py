"""Messages out of payloads, whatever the cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.wire.http2.messages import MessageCutter, check_prefix
from gateway_extproc.wire.options import MESSAGE_BYTES
from gateway_extproc.wire.stream import Status, StreamAborted


def framed(message: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message


@given(
    st.lists(st.one_of(st.binary(max_size=30), st.integers(0, 70_000).map(bytes)), max_size=8),
    st.lists(st.integers(0, 300_000)),
)
def test_any_cut_gives_the_same_messages(messages: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(framed, messages))
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    cutter = MessageCutter()
    found = [
        message for at, to in pairwise(places) for message in cutter.feed(memoryview(data)[at:to])
    ]
    assert found == messages
    assert cutter.empty


@given(st.binary(min_size=1, max_size=20))
def test_byte_by_byte(message: bytes) -> None:
    cutter = MessageCutter()
    found: list[bytes] = []
    for byte in framed(message):
        assert not found
        found += cutter.feed(memoryview(bytes((byte,))))
    assert found == [message]


@pytest.mark.parametrize("held", range(1, 12))
def test_what_is_unfinished_is_not_empty(held: int) -> None:
    cutter = MessageCutter()
    assert cutter.feed(memoryview(framed(b"1234567890")[:held])) == []
    assert not cutter.empty


def test_messages_are_bytes_that_nobody_changes() -> None:
    cutter = MessageCutter()
    data = bytearray(framed(b"x" * 50_000))
    cutter.feed(memoryview(data)[:20_000])
    [message] = cutter.feed(memoryview(data)[20_000:])
    data[:] = bytes(len(data))
    assert message == b"x" * 50_000
    cutter.feed(memoryview(framed(b"y" * 50_000)))
    assert message == b"x" * 50_000


def test_a_compressed_message_is_refused() -> None:
    with pytest.raises(StreamAborted) as fault:
        MessageCutter().feed(memoryview(framed(b"zip", flag=1)))
    assert fault.value.status is Status.UNIMPLEMENTED


def test_a_message_too_large_is_refused_by_its_length_alone() -> None:
    assert check_prefix(0, MESSAGE_BYTES) == MESSAGE_BYTES
    with pytest.raises(StreamAborted) as fault:
        MessageCutter().feed(memoryview(b"\x00" + (MESSAGE_BYTES + 1).to_bytes(4, "big")))
    assert fault.value.status is Status.RESOURCE_EXHAUSTED
