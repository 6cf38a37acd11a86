"""Images, files, calls and schemas as OpenAI's two interfaces for chat share them."""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway_extproc.core.chat import AnswerFormat, Document, File, Image, Path
from gateway_extproc.core.errors import invalid
from gateway_extproc.providers.checks import name_of, optional, string
from gateway_extproc.providers.fields import cannot, refuse_unknown

EFFORTS: Final = frozenset({"none", "minimal", "low", "medium", "high", "xhigh"})


def data_url(url: str, path: Path) -> tuple[str, str]:
    """Media type and base64 data of a data URL; raises ``RequestError``."""
    head, comma, data = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    if not comma or encoding != "base64" or not media_type:
        raise invalid(name_of(path), "a data URL with a media type, in base64")
    return media_type, data


def read_image(url: str, path: Path, detail: str | None = None) -> Image:
    """An image by address, or by value in a data URL."""
    if not url.startswith("data:"):
        return Image(url=url, detail=detail)
    media_type, data = data_url(url, path)
    return Image(media_type=media_type, data=data, detail=detail)


def read_file(part: Document, path: Path, target: str) -> File:
    """A document by value in ``file_data``; ids of stored files are refused."""
    refuse_unknown(part, path, target, known=("type", "file_data", "filename", "file"))
    data, at = part.get("file_data"), (*path, "file_data")
    if type(data) is not str or not data:
        raise invalid(name_of(at), "the file itself, as a data URL")
    if not data.startswith("data:"):
        raise invalid(name_of(at), "a data URL with a media type, in base64")
    media_type, data = data_url(data, at)
    optional(string)(part.get("filename"), name_of((*path, "filename")))
    return File(media_type, data, part.get("filename") or None)


def read_effort(effort: Any, path: Path, target: str) -> str | None:
    """OpenAI's word for the amount of thinking."""
    if effort is not None and (type(effort) is not str or effort not in EFFORTS):
        raise cannot(path, target)
    return effort


def read_verbosity(value: Any, path: Path) -> str | None:
    """OpenAI's word for the length of an answer; None for the usual one."""
    optional(string)(value, name_of(path))
    return None if value == "medium" else value


def image_url(image: Image) -> str:
    """The address, or the value as a data URL."""
    return image.url or f"data:{image.media_type};base64,{image.data}"


def check_arguments(arguments: str, path: Path) -> str:
    """The arguments of a call; raises ``RequestError`` unless they are an object's JSON text."""
    try:
        is_object = isinstance(orjson.loads(arguments or "{}"), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise invalid(name_of(path), "a JSON object as text")
    return arguments or "{}"


def read_schema(described: Any, path: Path, target: str) -> AnswerFormat:
    """The schema that an answer shall follow.

    Its name and description are words for OpenAI's models: the name goes on where there is a
    place for it.
    """
    if type(described) is not dict:
        raise cannot(path, target)
    known = ("type", "name", "description", "schema", "strict")
    refuse_unknown(described, path, target, known=known)
    schema = described.get("schema")
    if type(schema) is not dict:
        raise invalid(name_of((*path, "schema")), "a JSON schema")
    return AnswerFormat(schema, described.get("name") or "answer", described.get("strict"))
