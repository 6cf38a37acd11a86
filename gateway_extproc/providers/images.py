"""Which images which provider can be shown; the gateway itself fetches and converts nothing."""

from __future__ import annotations

import mimetypes
from typing import Final

from gateway_extproc.core.chat import Image, Path
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers.checks import name_of
from gateway_extproc.providers.fields import cannot

BEDROCK_FORMATS: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}


def shown(image: Image, path: Path, target: str) -> Image:
    """The image; raises ``RequestError`` naming ``path`` where ``target`` cannot be shown it."""
    by_address = image.url is not None
    if target == "bedrock" and (by_address or image.media_type not in BEDROCK_FORMATS):
        raise cannot(path, target)
    if target in ("gemini", "vertex") and by_address and type_of(image.url) is None:
        raise cannot(path, target)
    return image


def type_of(url: str | None) -> str | None:
    """The media type that an address ends in; Gemini wants it beside the address."""
    kind, _ = mimetypes.guess_type((url or "").partition("?")[0])
    return kind if kind is not None and kind.startswith("image/") else None


def image_of_url(url: str, path: Path) -> Image:
    """An image by its address, or by value from a ``data:`` URL; raises ``RequestError``."""
    if not url.startswith("data:"):
        return Image(url=url)
    head, comma, data = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    if not comma or encoding != "base64" or not media_type:
        raise invalid(name_of(path), "a data URL with a media type, in base64")
    return Image(media_type=media_type, data=data)
