"""Tokens of sounds and images are told apart in every shape of usage."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_extproc.core.usage import Usage
from gateway_extproc.providers.gemini import usage as gemini
from gateway_extproc.providers.openai import usage as openai
from gateway_extproc.providers.openai.responses.answer import read_usage as read_response
from gateway_extproc.providers.openai.transcripts import read_sound_usage
from gateway_extproc.providers.translate import translator

ALL = Usage(
    100, 80, audio_prompt_tokens=60, audio_completion_tokens=50,
    image_prompt_tokens=30, image_completion_tokens=20,
)  # fmt: skip
CHAT = {
    "prompt_tokens": 100, "completion_tokens": 80, "total_tokens": 180,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 60, "image_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 50, "image_tokens": 20},
}  # fmt: skip
GEMINI = {
    "promptTokenCount": 100, "candidatesTokenCount": 80, "totalTokenCount": 180,
    "promptTokensDetails": [
        {"modality": "AUDIO", "tokenCount": 60}, {"modality": "IMAGE", "tokenCount": 30},
    ],
    "candidatesTokensDetails": [
        {"modality": "AUDIO", "tokenCount": 50}, {"modality": "IMAGE", "tokenCount": 20},
    ],
}  # fmt: skip


def test_openais_chat_tells_both_ways() -> None:
    assert openai.read_usage(CHAT) == ALL
    assert openai.write_usage(ALL) == CHAT


def test_gemini_tells_both_ways() -> None:
    assert gemini.read_usage(GEMINI) == ALL
    assert gemini.write_usage(ALL) == GEMINI
    text = {"modality": "TEXT", "tokenCount": 9}
    plain = {"promptTokenCount": 9, "promptTokensDetails": [text], "thoughtsTokenCount": 2}
    assert gemini.read_usage(plain) == Usage(9, 2, 0, 2)


@pytest.mark.parametrize("odd", [None, 5, "x", [5], [{"modality": ["AUDIO"], "tokenCount": 5}],
                                 [{"modality": "AUDIO", "tokenCount": -1}]])  # fmt: skip
def test_what_makes_no_sense_counts_for_nothing(odd: Any) -> None:
    assert gemini.read_usage({"promptTokenCount": 9, "promptTokensDetails": odd}) == Usage(9)
    assert openai.read_usage({"prompt_tokens": 9, "prompt_tokens_details": odd}) == Usage(9)


@pytest.mark.parametrize("spelling", ["input_token_details", "input_tokens_details"])
def test_a_transcript_tells_the_tokens_of_its_sound(spelling: str) -> None:
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 6,
             spelling: {"text_tokens": 4, "audio_tokens": 10}}  # fmt: skip
    assert read_sound_usage({"text": "", "usage": usage}) == Usage(14, 6, audio_prompt_tokens=10)


def test_a_response_tells_its_images() -> None:
    usage = {
        "input_tokens": 14,
        "output_tokens": 6,
        "input_tokens_details": {"cached_tokens": 3, "image_tokens": 8},
        "output_tokens_details": {"reasoning_tokens": 2},
    }
    assert read_response(usage) == Usage(14, 6, 3, 2, image_prompt_tokens=8)


@pytest.mark.parametrize(
    ("details", "drawn"),
    [({}, 6), ({"output_tokens_details": {"image_tokens": 5, "text_tokens": 1}}, 5)],
)
def test_what_an_image_is_made_of_are_images_tokens(details: dict[str, Any], drawn: int) -> None:
    usage = {"input_tokens": 14, "output_tokens": 6,
             "input_tokens_details": {"text_tokens": 4, "image_tokens": 10}, **details}  # fmt: skip
    way = translator("openai", "openai", "images")
    release = way.answer({"created": 1, "data": [], "usage": usage}, b"")
    assert release.usage == Usage(14, 6, image_prompt_tokens=10, image_completion_tokens=drawn)
