"""An interface that only providers of its own dialect serve: data, and one translator for all.

Such a request is checked, its texts are found, and it goes on with another model and a cap;
the answer comes back as it is.  A provider of another dialect is no target for it
(``core.endpoint.Endpoint.providers``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway_extproc.core.chat import Document, LlmRequest, Path, Role, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.core.ports import AnswerReader, AnswerWriter, Release
from gateway_extproc.providers import checks
from gateway_extproc.providers.problems import Unreadable, unreadable

Clock = Callable[[], int]
"""Seconds since the epoch, for what an answer dates."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a dialect.

    ``path`` stands below the provider's base path.  ``read`` raises ``RequestError`` with the
    field.  ``edit`` gives what differs in the provider's document: (request, target model, cap,
    whether usage must be reported).  ``answer`` raises ``Unreadable``.  ``reader`` and ``writer``
    are there where the interface streams.
    """

    endpoint: str
    path: str
    read: Callable[[Document], LlmRequest]
    edit: Callable[[LlmRequest, str, int, bool], dict[str, Any]]
    answer: Callable[[Document, bytes], Release]
    reader: Callable[[], AnswerReader] | None = None
    writer: Callable[[LlmRequest, int], AnswerWriter] | None = None


class Passed:
    """Passes an interface's documents on (``core.ports.Translator``)."""

    def __init__(self, interface: Interface, now: Clock) -> None:
        self._interface, self._now = interface, now

    def request(
        self, request: LlmRequest, model: str, max_tokens: int, *, force_usage: bool
    ) -> Document:
        edits = self._interface.edit(request, model, max_tokens, force_usage)
        return {**request.document, **edits}

    def path(self, base_path: str, model: str = "", *, stream: bool = False) -> str:
        return base_path.rstrip("/") + self._interface.path

    def answer(
        self, document: Document, raw: bytes, model: str = "", asked: LlmRequest | None = None
    ) -> Release:
        try:
            return self._interface.answer(document, raw)
        except Unreadable:
            return Release(refusal=unreadable())

    def reader(self) -> AnswerReader:
        assert self._interface.reader is not None
        return self._interface.reader()

    def writer(self, request: LlmRequest) -> AnswerWriter:
        assert self._interface.writer is not None
        return self._interface.writer(request, self._now())


def only_model(
    request: LlmRequest, model: str, max_tokens: int, force_usage: bool
) -> dict[str, Any]:
    """The edit of an interface that has no cap and no stream."""
    return {"model": model}


def read_plain(
    dialect: str,
    endpoint: str,
    document: Document,
    fields: dict[str, checks.Check],
    roles: dict[str, Role],
    media: int = 0,
) -> LlmRequest:
    """A request whose answer no model writes: fields checked, every other string a text.

    Fields of ``fields`` are checked and carry no text; a text of a field in ``roles`` speaks in
    that voice, of one that this gateway has never heard of in the user's.
    """
    for key, check in fields.items():
        checks.optional(check)(document.get(key), key)
    model = document.get("model")
    checks.name(model, "model")
    if document.get("stream"):
        raise invalid("stream", "false or nothing: this interface does not stream here")
    texts = [
        TextAt(path, roles.get(key, "user"), text)
        for key, value in document.items()
        if key not in fields and key not in ("model", "stream")
        for path, text in checks.string_leaves(value, (key,))
    ]
    return LlmRequest(
        dialect, endpoint, model, stream=False, max_tokens=None, wants_usage=False,  # type: ignore[arg-type]
        document=document, texts=tuple(texts), completions=0, media=media,
    )  # fmt: skip


def answer_leaves(value: Any, path: Path) -> tuple[TextAt, ...]:
    """Every string inside a part of an answer, as texts."""
    return tuple(TextAt(at, "assistant", text) for at, text in checks.string_leaves(value, path))
