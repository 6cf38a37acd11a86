"""Sound: transcriptions and translations (a form with a file), and speech (bytes as an answer).

The rules are those of OpenAI's API reference.  No guard hears a sound: of requests the prompt and
every other text is looked at, of answers the transcript, in whatever form it comes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from typing import Any, Final

from gateway_extproc.core.chat import Document, LlmRequest, Path, TextAt
from gateway_extproc.core.errors import invalid
from gateway_extproc.core.form import is_file
from gateway_extproc.core.ports import Release
from gateway_extproc.core.usage import Usage
from gateway_extproc.providers import checks
from gateway_extproc.providers.interface import Interface, answer_leaves, only_model, read_plain
from gateway_extproc.providers.openai.transcripts import (
    TranscriptWriter,
    read_sound_usage,
    transcript_reader,
)
from gateway_extproc.providers.openai.voices import speech_reader, speech_writer
from gateway_extproc.providers.problems import Unreadable
from gateway_extproc.providers.reading import text_of

SOUND_BYTES_A_SECOND: Final = 16_000
"""Of an MP3 at 128 kbit/s: what is reserved for a file, before anybody says how long it is."""

TEXT_FORMATS: Final = frozenset({"text", "srt", "vtt"})
_FORMATS: Final = {
    "transcriptions": ("json", "text", "srt", "verbose_json", "vtt", "diarized_json"),
    "translations": ("json", "text", "srt", "verbose_json", "vtt"),
}
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,12})?", re.ASCII)


def _fits(pattern: re.Pattern[str], expected: str) -> checks.Check:
    def checked(value: Any, param: str) -> None:
        if type(value) is not str or not pattern.fullmatch(value):
            raise invalid(param, expected)

    return checked


def _sound(value: Any, param: str) -> None:
    if not is_file(value) or not value["data"]:
        raise invalid(param, "one file that is not empty")


def _words(value: Any, param: str) -> None:
    for word in value if type(value) is list else (value,):
        if type(word) is not str or not _WORD.fullmatch(word):
            raise invalid(param, "words")


_ONCE: Final[dict[str, checks.Check]] = {
    "model": checks.name,
    "file": _sound,
    "language": _fits(_WORD, "a language's code"),
    "prompt": checks.string,
    "response_format": checks.string,
    "stream": _fits(re.compile("true|false"), "true or false"),
    "temperature": _fits(_NUMBER, "a number from 0 to 1"),
}
"""Fields that stand once, or not at all."""
_MORE: Final[dict[str, checks.Check]] = {"timestamp_granularities[]": _words, "include[]": _words}
_NO_TEXT: Final = frozenset(_ONCE) - {"prompt", "file"} | frozenset(_MORE)


def _reader(endpoint: str) -> Any:
    def read(document: Document) -> LlmRequest:
        return _read_sound(endpoint, document)

    return read


def _read_sound(endpoint: str, form: Document) -> LlmRequest:
    for key in form:
        if key not in _ONCE and key.partition("[")[0].strip() in _ONCE:
            raise invalid(key, f"'{key.partition('[')[0]}', without brackets and only once")
    for key in ("model", "file"):
        _ONCE[key](form.get(key), key)
    for key, check in (_ONCE | _MORE).items():
        checks.optional(check)(form.get(key), key)
    named = form.get("response_format", "json")
    if named not in _FORMATS[endpoint]:
        raise invalid("response_format", " or ".join(_FORMATS[endpoint]))
    stream = form.get("stream") == "true"
    if stream and (endpoint != "transcriptions" or named not in ("json", "text")):
        raise invalid("stream", "false: only transcriptions as json or text stream here")
    texts = [TextAt(at, "user", text) for at, text in _texts(form)]
    seconds = ceil(len(form["file"]["data"]) / SOUND_BYTES_A_SECOND)
    return LlmRequest(
        "openai", endpoint, form["model"], stream, max_tokens=None, wants_usage=True,
        document=form, texts=tuple(texts), completions=0, media=1,
        answers="text" if named in TEXT_FORMATS and not stream else "json",
        beside=Usage(seconds=seconds),
    )  # fmt: skip


def _texts(form: Document) -> Iterator[tuple[Path, str]]:
    """Every text of a form, the names of its files included."""
    for key, value in form.items():
        if key in _NO_TEXT:
            continue
        listed = type(value) is list
        for index, item in enumerate(value if listed else (value,)):
            path: Path = (key, index) if listed else (key,)
            if not is_file(item):
                yield path, item
            elif item["filename"]:
                yield (*path, "filename"), item["filename"]


# ------------------------------------------------------------------------- transcripts

_CUE: Final = re.compile(r"--> *(?:(\d{1,3}):)?(\d\d):(\d\d)[.,](\d{3})", re.ASCII)


def _heard(document: Document, raw: bytes) -> Release:
    """A transcript; a plain one comes as ``{"text": ...}`` without anything else.

    What repeats its text word by word, or in segments, leaves with it when a guard changes it:
    what was found may stand across two of them.
    """
    text = document.get("text")
    if type(text) is not str:
        raise Unreadable
    usage = read_sound_usage(document)
    if len(document) == 1 and usage is None:
        usage = _length(text)
    others = tuple(
        leaf
        for key, value in document.items()
        if key not in ("text", "usage", "task", "language", "words")
        for leaf in answer_leaves(value, (key,))
    )
    return Release(
        document=document,
        raw=raw,
        texts=(TextAt(("text",), "assistant", text), *others),
        echoes=tuple((key,) for key in ("words", "segments", "logprobs") if document.get(key)),
        usage=usage,
        model=text_of(document, "model"),
        stop_reason="stop",
    )


def _length(text: str) -> Usage | None:
    """Subtitles say when the last of them ends."""
    cues = _CUE.findall(text)
    if not cues:
        return None
    hours, minutes, seconds, milliseconds = (int(figure or 0) for figure in cues[-1])
    told = hours * 3600 + minutes * 60 + seconds + (milliseconds > 0)
    return Usage(seconds=told, source="estimated") if told else None


# ------------------------------------------------------------------------------ speech

_SPEECH: Final[dict[str, checks.Check]] = {
    "response_format": _fits(_WORD, "the name of a format"),
    "speed": checks.number(0.25, 4),
    "stream_format": _fits(re.compile("audio|sse"), "'audio' or 'sse'"),
}


def _read_speech(document: Document) -> LlmRequest:
    checks.name(document.get("input"), "input")
    plain = read_plain("openai", "speech", document, _SPEECH, {"instructions": "system"})
    stream = document.get("stream_format") == "sse"
    return replace(
        plain,
        stream=stream,
        wants_usage=True,
        answers="json" if stream else "bytes",
        beside=Usage(characters=len(document["input"])),
    )


def _no_document(document: Document, raw: bytes) -> Release:
    """Speech is never one JSON object."""
    raise Unreadable


AUDIO: Final = (
    *(
        Interface(
            endpoint, f"/audio/{endpoint}", _reader(endpoint), only_model, _heard,
            transcript_reader, lambda request, created: TranscriptWriter(),
        )
        for endpoint in _FORMATS
    ),
    Interface(
        "speech", "/audio/speech", _read_speech, only_model, _no_document,
        speech_reader, lambda request, created: speech_writer(request),
    ),
)  # fmt: skip
