"""Compressed bodies without a library: gzip from Python's own, the others as stored blocks.

A stored block is as good as any to a decoder.  The bombs are what a hostile server would send.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

GZIP: Final = 31
"""zlib's ``wbits`` for gzip's header and the largest window."""

Pieces = Iterable[bytes]


def gzip(pieces: Pieces) -> Iterator[bytes]:
    """Each piece flushed, so that a decoder can give it at once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, GZIP)
    for piece in pieces:
        yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


def brotli(pieces: Pieces) -> Iterator[bytes]:
    """RFC 7932: a stream header of one bit (window 16), then uncompressed meta-blocks."""
    first = True
    for piece in _parts(pieces, 60_000):
        head = [(0, 1)] * first + [(0, 1), (0, 2), (len(piece) - 1, 16), (1, 1)]
        yield _bits(head) + piece
        first = False
    yield _bits([(0, 1)] * first + [(1, 1), (1, 1)])


def zstd(pieces: Pieces) -> Iterator[bytes]:
    """RFC 8878: a frame of raw blocks, with a window of 128 KiB."""
    yield _ZSTD_FRAME
    for piece in _parts(pieces, 100_000):
        yield (len(piece) << 3).to_bytes(3, "little") + piece
    yield (1).to_bytes(3, "little")


CODINGS: Final[dict[str, Callable[[Pieces], Iterator[bytes]]]] = {
    "gzip": gzip,
    "br": brotli,
    "zstd": zstd,
}

_ZSTD_FRAME: Final = b"\x28\xb5\x2f\xfd\x00\x38"


def bombs() -> dict[str, bytes]:
    """Some KB that become 64 MiB of spaces, or more."""
    run = (1 << 1 | (128 * 1024) << 3).to_bytes(3, "little") + b" "  # a block of one byte
    return {
        "gzip": b"".join(gzip([b" " * (64 << 20)])),
        "br": base64.b64decode(
            "y///PwAkQOKxQHLv//j//weABEAcFoDu/R////8AkACIwwLQvf/j//8fABIAcVgAuvd//P//A0ACIA4LQPf+j///"
            "fwBIAMRhAeje//H//w8ACYA4LADd+z/+//8BIAEQhwWge/83"
        ),
        "zstd": _ZSTD_FRAME + run * 2000 + (1).to_bytes(3, "little"),
    }


def _parts(pieces: Pieces, size: int) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]


def _bits(fields: Iterable[tuple[int, int]]) -> bytes:
    """(value, width) pairs from the lowest bit on, filled up to a byte."""
    value = width = 0
    for field, size in fields:
        value |= field << width
        width += size
    return value.to_bytes((width + 7) // 8, "little")
