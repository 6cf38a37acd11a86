"""Compressed answers: every coding, every cut, within bounds."""

from __future__ import annotations

import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.providers.codings import FREE_BYTES, CodingError, find_decoder
from support.codings import CODINGS, bombs

TEXT = 'data: {"a": "– Grüße"}\n\n'.encode() * 50


def real(coding: str, text: bytes) -> bytes:
    """As the libraries compress it, where ``support.codings`` stores it."""
    if coding == "br":
        return bytes(brotli.compress(text))
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=5).compress(text)
    return zlib.compress(text) if coding == "deflate" else b"".join(CODINGS["gzip"]([text]))


def plain(coding: str, *pieces: bytes, most: int | None = None) -> bytes:
    decoder = find_decoder(coding, most)
    assert decoder is not None
    out = b"".join(decoder.feed(piece, last=False) for piece in pieces)
    return out + decoder.feed(b"", last=True)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "X-GZIP", " Br "])
def test_what_libraries_compress_is_read(coding: str) -> None:
    packed = real(coding.strip().lower(), TEXT)
    assert plain(coding, packed) == TEXT
    assert plain(coding, *[bytes([byte]) for byte in packed]) == TEXT
    assert plain(coding, real(coding.strip().lower(), b"")) == b""


@pytest.mark.parametrize("coding", CODINGS)
@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=600), st.data())
def test_any_cut_gives_the_same_text(coding: str, text: bytes, data: st.DataObject) -> None:
    for packed in (real(coding, text), b"".join(CODINGS[coding]([text[:7], text[7:]]))):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(packed)), max_size=5)))
        pieces = [packed[a:b] for a, b in zip([0, *cuts], [*cuts, len(packed)], strict=True)]
        assert plain(coding, *pieces) == text


@pytest.mark.parametrize("coding", CODINGS)
def test_a_flushed_piece_gives_all_that_it_holds(coding: str) -> None:
    events = [b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"]
    decoder = find_decoder(coding)
    assert decoder is not None
    packed = list(CODINGS[coding](events))
    given = [decoder.feed(piece, last=False) for piece in packed]
    assert [one for one in given if one] == events
    assert decoder.feed(b"", last=True) == b""


def test_gzip_and_zstd_may_have_several_members() -> None:
    for coding in ("gzip", "zstd"):
        assert plain(coding, real(coding, b"one, ") + real(coding, b"two")) == b"one, two"


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
def test_what_ends_too_early_or_too_late_is_refused(coding: str) -> None:
    packed = real(coding, TEXT)
    for wrong in (packed[:-1], packed[: len(packed) // 2], packed[:1], b"", packed + b"more",
                  b"no such coding", b"x" + packed):  # fmt: skip
        with pytest.raises(CodingError):
            plain(coding, wrong)


def test_a_flipped_bit_is_noticed_where_the_coding_has_a_sum() -> None:
    packed = bytearray(real("gzip", TEXT))
    packed[-6] ^= 1
    with pytest.raises(CodingError):
        plain("gzip", bytes(packed))


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_refused_before_it_takes_memory(coding: str) -> None:
    bomb = bombs()[coding]
    tracemalloc.start()
    try:
        for pieces in ([bomb], [bytes([byte]) for byte in bomb[:5000]]):
            with pytest.raises(CodingError):
                plain(coding, *pieces)
        assert tracemalloc.get_traced_memory()[1] < 40 * FREE_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("coding", CODINGS)
def test_a_whole_answer_has_a_bound_of_its_own(coding: str) -> None:
    packed = real(coding, TEXT)
    assert plain(coding, packed, most=len(TEXT)) == TEXT
    with pytest.raises(CodingError):
        plain(coding, packed, most=len(TEXT) - 1)


def test_a_window_that_http_does_not_allow_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=25)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(b"x") + packer.flush()
    with pytest.raises(CodingError):
        plain("zstd", packed)


@pytest.mark.parametrize("coding", ["identity", "compress", "gzip, br", "", "gzip;q=1"])
def test_other_codings_have_no_decoder(coding: str) -> None:
    assert find_decoder(coding) is None
