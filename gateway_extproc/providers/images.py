"""Which images, documents and sounds which provider can be given.  Nothing is fetched here."""

from __future__ import annotations

import mimetypes
from typing import Final

from gateway_extproc.core.chat import File, Image, Path, Sound
from gateway_extproc.providers.fields import cannot
from gateway_extproc.providers.wording import TOLD

BEDROCK_FORMATS: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
PDF: Final = "application/pdf"
SOUNDS: Final = {"wav": "audio/wav", "mp3": "audio/mp3"}
"""Kinds of sound that OpenAI takes, and Gemini's names for them."""
SOUND_KINDS: Final = {
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3",
}  # fmt: skip

_READERS: Final = frozenset(
    {"openai", "openai:chat", "openai:responses", "anthropic", "gemini", "vertex", "bedrock"}
)
"""Dialects that take a PDF by value."""
_LISTENERS: Final = frozenset({"openai", "openai:chat", "gemini", "vertex", "bedrock"})
"""Dialects that take a sound by value."""


def shown(image: Image, path: Path, target: str, *, detail: Path | None = None) -> Image:
    """The image; raises ``RequestError`` naming ``path`` where ``target`` cannot be shown it.

    ``detail`` is where the request says how closely to look.
    """
    by_address = image.url is not None
    if target == "bedrock" and (by_address or image.media_type not in BEDROCK_FORMATS):
        raise cannot(path, target)
    if target in ("gemini", "vertex") and by_address and type_of(image.url) is None:
        raise cannot(path, target)
    if image.detail is not None and "detail" not in TOLD.get(target, ()):
        raise cannot(path if detail is None else detail, target)
    return image


def readable(file: File, path: Path, target: str) -> File:
    """The document; raises ``RequestError`` naming ``path`` where ``target`` cannot be given it."""
    if target not in _READERS or file.media_type != PDF:
        raise cannot(path, target)
    return file


def audible(sound: Sound, path: Path, target: str) -> Sound:
    """The sound; raises ``RequestError`` naming ``path`` where ``target`` cannot be given it."""
    if target not in _LISTENERS or sound.kind not in SOUNDS:
        raise cannot(path, target)
    return sound


def type_of(url: str | None) -> str | None:
    """The media type that an address ends in; Gemini wants it beside the address."""
    kind, _ = mimetypes.guess_type((url or "").partition("?")[0])
    return kind if kind is not None and kind.startswith("image/") else None
