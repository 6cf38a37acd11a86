"""Reading and writing ``multipart/form-data`` (RFC 7578): how clients send files.

A form is a document like any other: a field is a text, a file is ``{"filename", "content_type",
"data"}`` with ``data`` as bytes, and a field that stands several times is a list.  It is written
anew for a provider: what a parser could read in two ways (two names of one part, encodings,
continued lines) never gets there.  A file's bytes stay as they are.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any, Final

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from gateway_extproc.core.chat import Document
from gateway_extproc.core.errors import RequestError, refuse

FORM: Final = "multipart/form-data"

MOST_PARTS: Final = 64
"""More fields than any interface has."""
FIELD_BYTES: Final = 1024 * 1024
"""A field that is no file is a text; this is a long one."""
NAME_BYTES: Final = 512
"""Of a field's or a file's name."""

_BOUNDARY: Final = re.compile(r'; *boundary=(?:"([^"\\]{1,70})"|([^\s";,]{1,70})) *(?:;|$)', re.I)
_MEDIA_TYPE: Final = re.compile(
    r"[\w.+-]{1,64}/[\w.+-]{1,64}(; *[\w.+-]{1,32}=[\w.+-]{1,64})*", re.A
)
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\"\\]+")
_PLAIN: Final = frozenset({"", "7bit", "8bit", "binary"})
"""Encodings of a part that leave its bytes as they are; all others are deprecated."""
_ONCE: Final = ("Content-Disposition", "Content-Type", "Content-Transfer-Encoding")


def boundary_of(content_type: str) -> str | None:
    """The boundary that a ``content-type`` header names; None where it names none, or several."""
    found = _BOUNDARY.search(content_type)
    if found is None or content_type.lower().count("boundary=") != 1:
        return None
    return found[1] or found[2]


def read_form(body: bytes, boundary: str) -> dict[str, Any]:
    """The form in ``body``; raises ``RequestError`` that says what is wrong."""
    parser = PushMultipartParser(
        boundary, len(body), max_header_count=8, max_segment_count=MOST_PARTS, strict=True
    )
    form: dict[str, Any] = {}
    part: MultipartSegment | None = None
    pieces: list[bytes] = []
    try:
        with parser:
            for event in parser.parse(body):
                if event is None:
                    assert part is not None
                    _add(form, part, b"".join(pieces))
                elif isinstance(event, MultipartSegment):
                    part, pieces = event, []
                else:
                    pieces.append(bytes(event))
    except ParserLimitReached as error:
        raise _invalid(f"The form has too many or too long parts: {error}.") from None
    except MultipartError as error:
        raise _invalid(f"The request's body is not a valid form: {error}.") from None
    return form


def _add(form: dict[str, Any], part: MultipartSegment, data: bytes) -> None:
    name = part.name or ""
    if len(name.encode()) > NAME_BYTES or not _NAME.fullmatch(name):
        raise _invalid("A part of the form has no name, or one with quotes or control characters.")
    headers = [header for header, _ in part.headerlist]
    if any(headers.count(header) > 1 for header in _ONCE):
        raise _invalid(f"The part '{name[:64]}' has a header twice.")
    encoding = dict(part.headerlist).get("Content-Transfer-Encoding", "").strip().lower()
    if encoding not in _PLAIN:
        raise _invalid(f"The part '{name[:64]}' is encoded; send its bytes as they are.")
    value = _text(name, data) if part.filename is None else _file(name, part, data)
    if name not in form:
        form[name] = value
    elif type(form[name]) is list:
        form[name].append(value)
    else:
        form[name] = [form[name], value]


def _text(name: str, data: bytes) -> str:
    if len(data) > FIELD_BYTES:
        raise _invalid(f"The field '{name[:64]}' is longer than {FIELD_BYTES} bytes.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _invalid(f"The field '{name[:64]}' is not UTF-8.") from None


def _file(name: str, part: MultipartSegment, data: bytes) -> dict[str, Any]:
    filename = part.filename or ""
    if len(filename.encode()) > NAME_BYTES or (filename and not _NAME.fullmatch(filename)):
        raise _invalid(f"The name of the file '{name[:64]}' has quotes or control characters.")
    kind = dict(part.headerlist).get("Content-Type", "").strip()
    if kind and not _MEDIA_TYPE.fullmatch(kind):
        raise _invalid(f"The content-type of the file '{name[:64]}' is no media type.")
    return {"filename": filename, "content_type": kind, "data": data}


def is_file(value: Any) -> bool:
    """Whether a field of a form is a file."""
    return type(value) is dict


def write_form(form: Document, boundary: str) -> bytes:
    """The form as bytes; ``boundary`` is one that nobody could foresee."""
    mark = b"--" + boundary.encode() + b"\r\n"
    pieces: list[bytes] = []
    for name, value in _parts(form):
        pieces += (mark, b"Content-Disposition: form-data; name=", _quoted(name))
        if is_file(value):
            pieces += (b"; filename=", _quoted(value["filename"]))
            if value["content_type"]:
                pieces += (b"\r\nContent-Type: ", value["content_type"].encode())
            pieces += (b"\r\n\r\n", value["data"], b"\r\n")
        else:
            pieces += (b"\r\n\r\n", value.encode(), b"\r\n")
    return b"".join((*pieces, mark[:-2], b"--\r\n"))


def form_type(body: bytes) -> str:
    """The content-type of a body that ``write_form`` made."""
    return f"{FORM}; boundary={body[2 : body.index(13)].decode()}"


def _parts(form: Document) -> Iterator[tuple[str, Any]]:
    for name, value in form.items():
        for item in value if type(value) is list else (value,):
            yield name, item


def _quoted(text: str) -> bytes:
    """As the HTML standard writes names; a guard may have put anything into one."""
    safe = text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    return b'"' + safe.encode() + b'"'


def to_json(value: Any) -> Any:
    """What JSON has no word for: a file's bytes, as base64 (``default`` of orjson)."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)


def from_json(form: Document) -> dict[str, Any]:
    """A form that went through JSON, its files as bytes again."""
    return {
        name: [_file_again(item) for item in value] if type(value) is list else _file_again(value)
        for name, value in form.items()
    }


def _file_again(value: Any) -> Any:
    return {**value, "data": base64.b64decode(value["data"])} if is_file(value) else value


def _invalid(message: str) -> RequestError:
    return RequestError(refuse("invalid_form", message))
