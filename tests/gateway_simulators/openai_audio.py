"""OpenAI's sound: transcriptions and translations of forms, and speech.

A file that begins with ``say:`` is heard to say what follows; of any other its size is told.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import orjson

from gateway_simulators.answers import count_tokens, pieces
from gateway_simulators.connection import Request
from gateway_simulators.openai_checks import bad_json, invalid
from gateway_simulators.shape import SSE

JSON: Final = "application/json"
_NAMES: Final = re.compile(rb'(?:^|;) *(name|filename)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Said:
    """An answer of any media type: whole, or in pieces."""

    type: str
    body: bytes | Iterator[bytes]


@dataclass(frozen=True, slots=True)
class FormPart:
    """One part of a form."""

    filename: str | None
    type: str
    data: bytes


def read_parts(request: Request) -> list[tuple[str, FormPart]]:
    """The parts of a form, cut by hand: another reading than the gateway's."""
    kind = dict(request.headers).get("content-type", "")
    media_type, _, boundary = kind.partition("; boundary=")
    if media_type != "multipart/form-data" or not boundary:
        raise invalid(f"Unsupported content type: '{kind}'.", code="unsupported_content_type")
    first, *parts, last = (b"\r\n" + request.body).split(b"\r\n--" + boundary.encode())
    if first or last.strip() != b"--":
        raise invalid("The form is broken.")
    found = []
    for part in parts:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields: dict[str, str] = {}
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b": ")
            fields[name.decode().lower()] = value.decode()
        options = {
            key.decode(): value.decode()
            for key, value in _NAMES.findall(
                fields["content-disposition"].encode().removeprefix(b"form-data")
            )
        }
        found.append(
            (
                options["name"],
                FormPart(options.get("filename"), fields.get("content-type", ""), data),
            )
        )
    return found


def hear(data: bytes) -> str:
    text = data.decode(errors="replace")
    return text.removeprefix("say:").strip() if text.startswith("say:") else f"{len(data)} bytes"


def transcribe(request: Request, width: int) -> Said:
    parts = read_parts(request)
    fields = {name: part.data.decode() for name, part in parts if part.filename is None}
    files = [part for name, part in parts if name == "file" and part.filename]
    if len(files) != 1 or not fields.get("model"):
        raise invalid("'file' and 'model' are required.", param="file")
    text = hear(files[0].data)
    if fields.get("prompt", "").startswith("say:"):
        text = fields["prompt"].removeprefix("say:").strip()
    if fields.get("stream") == "true":
        return Said(SSE, _transcribing(text, _usage(fields["model"], text), width))
    return _written(fields, text)


def _usage(model: str, text: str) -> dict[str, Any]:
    if model.startswith("whisper"):
        return {"type": "duration", "seconds": 7}
    tokens = count_tokens(text)
    return {"type": "tokens", "input_tokens": 20, "output_tokens": tokens,
            "total_tokens": 20 + tokens, "input_token_details": {"audio_tokens": 20}}  # fmt: skip


def _written(fields: Mapping[str, str], text: str) -> Said:
    match fields.get("response_format", "json"):
        case "text":
            return Said("text/plain; charset=utf-8", f"{text}\n".encode())
        case "srt":
            cue = f"1\n00:00:00,000 --> 00:00:06,500\n{text}\n\n"
            return Said("text/plain; charset=utf-8", cue.encode())
        case "vtt":
            cue = f"WEBVTT\n\n00:00.000 --> 00:06.500\n{text}\n\n"
            return Said("text/vtt; charset=utf-8", cue.encode())
        case "verbose_json":
            words = [{"word": word, "start": 0.0, "end": 1.0} for word in text.split()]
            segment = {"id": 0, "start": 0.0, "end": 6.5, "text": text, "tokens": [1, 2]}
            document = {
                "task": "transcribe", "language": "english", "duration": 6.5, "text": text,
                "segments": [segment], "words": words, "usage": _usage(fields["model"], text),
            }  # fmt: skip
            return Said(JSON, orjson.dumps(document))
    return Said(JSON, orjson.dumps({"text": text, "usage": _usage(fields["model"], text)}))


def _transcribing(text: str, usage: Mapping[str, Any], width: int) -> Iterator[bytes]:
    for piece in pieces(text, width):
        yield _data({"type": "transcript.text.delta", "delta": piece, "logprobs": []})
    yield _data({"type": "transcript.text.done", "text": text, "usage": usage, "logprobs": []})


def sound_of(text: str) -> bytes:
    """Bytes that are the same for the same text, and no UTF-8."""
    return b"ID3\xff\xfb" + blake2b(text.encode()).digest() * 700


def speak(request: Request, width: int) -> Said:
    document = orjson.loads(request.body)
    if not isinstance(document, dict) or not document.get("input"):
        raise bad_json()
    sound = sound_of(document["input"])
    halves = (sound[:9000], sound[9000:])
    if document.get("stream_format") == "sse":
        return Said(SSE, _speaking(halves, document["input"]))
    if document.get("voice") == "json":  # a server that answers something else
        return Said(JSON, orjson.dumps({"text": "a secret"}))
    return Said("audio/mpeg", iter(halves))


def _speaking(halves: tuple[bytes, ...], text: str) -> Iterator[bytes]:
    for half in halves:
        yield _data({"type": "speech.audio.delta", "audio": base64.b64encode(half).decode()})
    tokens = count_tokens(text)
    usage = {"input_tokens": tokens, "output_tokens": 30, "total_tokens": tokens + 30}
    yield _data({"type": "speech.audio.done", "usage": usage})


def _data(document: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(document)


AUDIO: Final = {
    "/v1/audio/transcriptions": transcribe,
    "/v1/audio/translations": transcribe,
    "/v1/audio/speech": speak,
}
