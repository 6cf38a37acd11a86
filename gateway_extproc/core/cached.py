"""An answer that is kept, as it is written down, and what the cache knows of one request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Final, Literal

import orjson

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.usage import Usage

Form = Literal["whole", "stream", "usage_stream"]
"""One document, or events; ``usage_stream`` tells usage because the client asked for it."""

Status = Literal["off", "bypass", "miss", "hit", "stored"]
Kind = Literal["", "exact", "semantic", "flight"]

_VERSION: Final = b"\x01"
_HEADER_AT: Final = 5


def form_of(request: LlmRequest) -> Form:
    """The form in which a client wants its answer; Anthropic's streams always tell usage."""
    if not request.stream:
        return "whole"
    told = request.wants_usage or request.dialect == "anthropic"
    return "usage_stream" if told else "stream"


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer in its client's dialect; ``stored_s`` is Unix seconds, ``cost_nanos`` its price.

    ``dropped`` names what of the request its provider was not told.
    """

    form: Form
    body: bytes = field(repr=False)
    stored_s: float
    usage: Usage | None = None
    cost_nanos: int = 0
    model: str = ""
    stop_reason: str = ""
    dropped: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """One byte of version, four of the header's length, the header as JSON, the body."""
        usage = self.usage
        header = orjson.dumps(
            {
                "form": self.form,
                "stored_s": self.stored_s,
                "cost_nanos": self.cost_nanos,
                "model": self.model,
                "stop_reason": self.stop_reason,
                "dropped": self.dropped,
                "usage": usage and {one.name: getattr(usage, one.name) for one in fields(usage)},
            }
        )
        return b"".join((_VERSION, len(header).to_bytes(4, "big"), header, self.body))


def decode_answer(data: bytes) -> CachedAnswer | None:
    """What ``encode`` wrote; None for anything else, such as another version's."""
    end = _HEADER_AT + int.from_bytes(data[1:_HEADER_AT], "big")
    if data[:1] != _VERSION or end > len(data):
        return None
    try:
        header = orjson.loads(data[_HEADER_AT:end])
        usage, dropped = header.pop("usage"), tuple(header.pop("dropped", ()))
        spent = Usage(**usage) if usage else None
        return CachedAnswer(body=data[end:], usage=spent, dropped=dropped, **header)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


class StreamCopy:
    """What a client is sent, piece by piece, up to ``max_bytes``; None once it was more."""

    __slots__ = ("_left", "_parts")

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self._parts: list[bytes] = []

    def add(self, data: bytes) -> None:
        """Takes the next piece."""
        self._left -= len(data)
        if self._left < 0:
            self._parts.clear()
        else:
            self._parts.append(data)

    @property
    def body(self) -> bytes | None:
        """All pieces, or None."""
        return b"".join(self._parts) if self._left >= 0 else None


@dataclass(slots=True)
class CacheNote:
    """What became of one request in the cache; written by the stages cache and remember.

    ``reason`` says why the cache was left aside; ``saved`` is what the stored answer had used;
    ``entry`` is what shall be kept of this answer; ``land`` tells those who wait for it, with
    None where there is nothing for them; ``learn`` remembers the question for others like it.
    """

    status: Status = "off"
    reason: str = ""
    kind: Kind = ""
    similarity: float = 0.0
    age_s: float = 0.0
    saved: Usage | None = None
    store: bool = False
    copy: StreamCopy | None = None
    entry: CachedAnswer | None = None
    land: Callable[[CachedAnswer | None], None] | None = None
    learn: Callable[[], None] | None = None
