"""Compressed answers (RFC 9110, 8.4), made plain within bounds.

Providers are asked for plain answers, but some servers and proxies compress all the same.  What
comes out is bounded by what came in, and by a size where there is one, at every step: a few bytes
that stand for gigabytes are refused before they are that.  Each piece of a stream gives all that it
holds, so events do not wait for the next one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final, Protocol

RATIO: Final = 200
"""Real answers shrink to some tenth of their size."""
FREE_BYTES: Final = 1024 * 1024
"""Up to here no ratio is looked at: a short text of one letter shrinks a thousandfold."""
WINDOW_BYTES: Final = 8 * 1024 * 1024
"""The largest window of zstd in HTTP (RFC 9659)."""
_GZIP, _ZLIB = 31, 15
_SLICE: Final = 64
"""What zstd is fed at a time: a block of 4 bytes may be 128 KiB, and it knows no bound."""


class CodingError(Exception):
    """Bytes that are not what the coding's name says, that end too early, or grow too large."""


class _Expander(Protocol):
    def expand(self, data: bytes, most: int) -> bytes:
        """All that is known of the text now; raises ``CodingError`` beyond ``most`` bytes."""

    @property
    def finished(self) -> bool: ...


class Decoder:
    """Decodes one answer; ``most_bytes`` bounds the whole, where it is read as a whole."""

    def __init__(self, expander: _Expander, most_bytes: int | None = None) -> None:
        self._expander, self._most = expander, most_bytes
        self._received = self._given = 0

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """What these bytes say; raises ``CodingError``, also where nothing ends at the ``last``."""
        self._received += len(data)
        most = max(FREE_BYTES, RATIO * self._received)
        if self._most is not None:
            most = min(most, self._most)
        plain = self._expander.expand(data, most - self._given) if data else b""
        self._given += len(plain)
        if last and not self._expander.finished:
            raise CodingError("cut off")
        return plain


def find_decoder(coding: str, most_bytes: int | None = None) -> Decoder | None:
    """A decoder for a ``content-encoding``; None for one that nobody here knows."""
    make = _CODINGS.get(coding.strip().lower())
    return None if make is None else Decoder(make(), most_bytes)


class _Zlib:
    """gzip, of several members as RFC 1952 allows, and zlib's own format ("deflate")."""

    def __init__(self, window_bits: int) -> None:
        self._bits = window_bits
        self._inner = zlib.decompressobj(window_bits)

    @property
    def finished(self) -> bool:
        return self._inner.eof

    def expand(self, data: bytes, most: int) -> bytes:
        plain = bytearray()
        try:
            while data:
                if self._inner.eof:
                    self._inner = zlib.decompressobj(self._bits)
                plain += self._inner.decompress(data, most - len(plain) + 1)
                if len(plain) > most:
                    raise CodingError("too large")
                data = self._inner.unused_data or self._inner.unconsumed_tail
        except zlib.error as error:
            raise CodingError(str(error)) from None
        return bytes(plain)


class _Brotli:
    def __init__(self) -> None:
        import brotli

        self._inner, self._error = brotli.Decompressor(), brotli.error

    @property
    def finished(self) -> bool:
        return bool(self._inner.is_finished())

    def expand(self, data: bytes, most: int) -> bytes:
        if self.finished:
            raise CodingError("more than an answer")
        plain = bytearray()
        try:
            while True:
                limit = most - len(plain) + 1
                plain += self._inner.process(data, output_buffer_limit=limit)
                if len(plain) > most:
                    raise CodingError("too large")
                if self._inner.can_accept_more_data() or self._inner.is_finished():
                    return bytes(plain)
                data = b""
        except self._error as error:
            raise CodingError(str(error)) from None


class _Zstd:
    def __init__(self) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
        self._inner = self._decompressor.decompressobj()

    @property
    def finished(self) -> bool:
        return self._inner.eof

    def expand(self, data: bytes, most: int) -> bytes:
        plain = bytearray()
        try:
            for start in range(0, len(data), _SLICE):
                rest = data[start : start + _SLICE]
                while rest:
                    if self._inner.eof:
                        self._inner = self._decompressor.decompressobj()
                    plain += self._inner.decompress(rest)
                    if len(plain) > most:
                        raise CodingError("too large")
                    rest = self._inner.unused_data if self._inner.eof else b""
        except self._error as error:
            raise CodingError(str(error)) from None
        return bytes(plain)


class _Nothing:
    """After an answer went wrong: whatever else comes says nothing."""

    finished = True

    def expand(self, data: bytes, most: int) -> bytes:
        return b""


def nothing_more() -> Decoder:
    """What takes the place of a decoder whose answer went wrong."""
    return Decoder(_Nothing())


_CODINGS: Final[dict[str, Callable[[], _Expander]]] = {
    "gzip": lambda: _Zlib(_GZIP),
    "x-gzip": lambda: _Zlib(_GZIP),
    "deflate": lambda: _Zlib(_ZLIB),
    "br": _Brotli,
    "zstd": _Zstd,
}
