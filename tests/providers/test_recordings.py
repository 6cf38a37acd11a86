"""Real exchanges with OpenAI and Azure pass through the readers (data outside of the project)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.chat import End, Start, Stop, StreamError, TextDelta
from gateway_extproc.providers.translate import DIALECTS, translator
from providers.samples import chunks, read, written

BESIDE_THE_PROJECT = Path(__file__).parents[3] / "shared" / "data"
DATA = Path(os.environ.get("GATEWAY_TEST_DATA", BESIDE_THE_PROJECT))
FOLDER = DATA / "openai-recordings"
FILES = sorted(FOLDER.glob("*chat-*.json")) if FOLDER.is_dir() else []


def exchanges() -> list[Any]:
    return [
        pytest.param(exchange, id=path.stem)
        for path in FILES
        for exchange in json.loads(path.read_text())["exchanges"]
    ]


@pytest.mark.skipif(not FILES, reason="no recordings: set GATEWAY_TEST_DATA to their folder")
@pytest.mark.parametrize("exchange", exchanges())
def test_a_recorded_exchange_passes(exchange: dict[str, Any]) -> None:
    sent = {"model": "deployment-in-the-path", **json.loads(exchange["request"]["body"])}
    status, body = exchange["response"]["status"], exchange["response"]["body"]
    if status == 400:
        refusal = DIALECTS["openai"].read_error(400, json.loads(body))
        error = json.loads(body)["error"]
        assert (refusal.message, refusal.type) == (error["message"], error["type"])
        return
    asked = read("openai", sent)
    way = translator("openai", "openai", "chat")
    if status != 200:
        assert DIALECTS["openai"].read_error(status, json.loads(body)).status == status
    elif asked.stream:
        found = chunks(way.reader(), [body.encode()])
        events = [event for one in found for event in one.events]
        assert isinstance(events[0], Start)
        assert isinstance(events[-1], End)
        assert any(isinstance(event, TextDelta) for event in events)
        assert any(isinstance(event, Stop) for event in events)
        assert not any(isinstance(event, StreamError) for event in events)
        assert written(way.writer(asked), found) == body.encode()
    else:
        release = way.answer(json.loads(body), body.encode())
        assert release.refusal is None
        assert release.usage is not None
        content = json.loads(body)["choices"][0]["message"]["content"]
        assert not content or release.texts[0].text == content
