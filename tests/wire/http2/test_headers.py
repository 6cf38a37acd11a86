"""Header blocks: what is decoded, what need not be, and what we write ourselves."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import hpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway_extproc.wire.http2 import headers, limits
from gateway_extproc.wire.http2.frames import ConnectionFault, ErrorCode
from gateway_extproc.wire.http2.headers import (
    BlockCollector,
    Head,
    HeaderReader,
    MalformedHeaders,
    check_request,
    find_end_of_path,
    literal,
    trailers,
)
from gateway_extproc.wire.stream import Status

PATH = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", PATH),
    (":authority", "gateway-extproc"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", max_size=20).map("x-".__add__)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)
metadata = st.lists(st.tuples(names, values), max_size=5)


def obedient_peer() -> hpack.Encoder:
    """An encoder that keeps no table, as it was told."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder


def _free(cost: float) -> None:
    """What decoding costs is another test's."""


def reader() -> HeaderReader:
    made = HeaderReader(_free)
    made.settings_acknowledged()
    return made


def test_a_request_is_read() -> None:
    assert reader().read(obedient_peer().encode(REQUEST)) == Head(PATH)


def test_blocks_that_begin_alike_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, made = obedient_peer(), reader()
    first, second, third = (
        encoder.encode([*REQUEST, ("x-request-id", f"{number}")]) for number in range(3)
    )
    # The first block of an encoder says that its table is empty; the others only obey.
    assert made.read(first) == made.read(second) == Head(PATH)
    monkeypatch.setattr(made, "_decode", lambda block: pytest.fail("decoded again"))
    assert made.read(third) == Head(PATH)


@given(st.lists(st.tuples(metadata, st.booleans()), min_size=2, max_size=6))
def test_what_is_remembered_is_what_decoding_would_say(
    requests: list[tuple[list[tuple[str, str]], bool]],
) -> None:
    encoder, made, witness = obedient_peer(), reader(), hpack.Decoder()
    for more, other in requests:
        path = "/grpc.health.v1.Health/Check" if other else PATH
        fields = [(":path", path) if name == ":path" else (name, value) for name, value in REQUEST]
        block = encoder.encode([*fields, *more])
        decoded: dict[Any, Any] = dict(witness.decode(block))
        assert made.read(block) == Head(decoded[":path"])


def test_a_peer_that_keeps_its_table_is_told_so() -> None:
    made = reader()
    with pytest.raises(ConnectionFault) as fault:
        made.read(hpack.Encoder().encode(REQUEST))
    assert fault.value.code is ErrorCode.COMPRESSION_ERROR


def test_before_it_was_told_a_peer_may_use_its_table() -> None:
    encoder, made = hpack.Encoder(), HeaderReader(_free)
    for _ in range(3):
        # Indexed fields of the dynamic table: only a decoder that is in step reads them.
        assert made.read(encoder.encode(REQUEST)) == Head(PATH)


def test_a_block_that_nobody_reads_keeps_the_decoder_in_step() -> None:
    encoder, made = hpack.Encoder(), HeaderReader(_free)
    made.skip(encoder.encode(REQUEST))
    assert made.read(encoder.encode(REQUEST)) == Head(PATH)


def test_only_so_many_beginnings_are_remembered() -> None:
    encoder, made = obedient_peer(), reader()
    for number in range(3 * headers.REMEMBERED_PREFIXES):
        fields = [(":path", f"/{number}") if n == ":path" else (n, v) for n, v in REQUEST]
        assert made.read(encoder.encode(fields)).path == f"/{number}"
    assert len(made._known) == headers.REMEMBERED_PREFIXES


def test_a_table_that_may_grow_again_keeps_the_decoder_in_step() -> None:
    """Before it was told, a peer may make its table smaller and larger (RFC 7541, section 4.2)."""
    encoder, made = hpack.Encoder(), HeaderReader(_free)
    encoder.header_table_size = 0
    for _ in range(2):
        assert made.read(encoder.encode(REQUEST)) == Head(PATH)
    encoder.header_table_size = 4096
    made.skip(encoder.encode([*REQUEST, ("x-skipped", "1")]))
    for number in (1, 1, 2, 2):
        block = encoder.encode([*REQUEST, ("x-indexed", f"{number}")])
        assert made.read(block) == Head(PATH)
    made.settings_acknowledged()
    encoder.header_table_size = 0
    assert made.read(encoder.encode(REQUEST)) == Head(PATH)


def test_a_path_that_is_spelled_out_is_not_remembered() -> None:
    spelled = b"".join(literal(n.encode(), v.encode()) for n, v in REQUEST)
    assert find_end_of_path(spelled) is None
    made = reader()
    made.skip(obedient_peer().encode(REQUEST))
    assert made.read(spelled) == made.read(spelled) == Head(PATH)


@given(metadata, values.filter(bool))
def test_the_path_ends_where_the_decoder_says(more: list[tuple[str, str]], path: str) -> None:
    encoder = obedient_peer()
    encoder.encode([])
    fields = [(":method", "POST"), *more, (":path", path)]
    before = encoder.encode(fields)
    block = before + encoder.encode([("x-behind", "1")])
    assert find_end_of_path(block) == len(before)


def test_a_block_too_large_is_refused_while_it_comes() -> None:
    collector = BlockCollector()
    collector.begin(0, 1, bytes(limits.HEADER_BLOCK_BYTES))
    with pytest.raises(ConnectionFault) as fault:
        collector.add(1, b"x")
    assert fault.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_a_block_too_large_when_decoded_is_refused() -> None:
    fields = [*REQUEST, ("x-large", "x" * limits.HEADER_BLOCK_BYTES)]
    with pytest.raises(ConnectionFault) as fault:
        reader().read(obedient_peer().encode(fields))
    assert fault.value.code is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    ("change", "head"),
    [
        ((":method", "GET"), Head("", grpc=False)),
        (("content-type", "application/grpc+proto"), Head(PATH)),
        (("content-type", "application/grpc;charset=utf-8"), Head(PATH)),
        (("content-type", "application/grpc-web"), Head(PATH, grpc=False)),
        (("content-type", "text/plain"), Head(PATH, grpc=False)),
        (("content-length", "12"), Head(PATH, content_length=12)),
    ],
    ids=lambda value: "=".join(value) if isinstance(value, tuple) else "",
)
def test_what_a_head_says(change: tuple[str, str], head: Head) -> None:
    fields: dict[str, str] = {**dict(REQUEST), change[0]: change[1]}
    assert check_request([(n.encode(), v.encode()) for n, v in fields.items()]) == head


@pytest.mark.parametrize("missing", [":method", ":scheme", ":path"])
def test_a_request_names_method_scheme_and_path(missing: str) -> None:
    fields = [(n.encode(), v.encode()) for n, v in REQUEST if n != missing]
    with pytest.raises(MalformedHeaders):
        check_request(fields)


@pytest.mark.parametrize("length", ["", "-1", "+1", "1x", "1, 1", "9" * 20, "9" * 5000])
def test_a_content_length_is_a_number_that_can_be(length: str) -> None:
    block = obedient_peer().encode([*REQUEST, ("content-length", length)])
    with pytest.raises(MalformedHeaders):
        reader().read(block)


@given(st.text(max_size=2000))
@example("100% sure: ä, \n, ~")
def test_our_trailers_are_read_by_a_decoder(details: str) -> None:
    decoded: Any = dict(hpack.Decoder().decode(trailers(Status.INTERNAL, details)))
    assert decoded["grpc-status"] == "13"
    assert unquote(decoded.get("grpc-message", "")) == details[: headers.DETAILS_BYTES]


@given(st.binary(min_size=1, max_size=40), st.binary(max_size=5000))
def test_our_literals_are_read_by_a_decoder(name: bytes, value: bytes) -> None:
    assert list(hpack.Decoder().decode(literal(name, value), raw=True)) == [(name, value)]
