"""Requests, answers and streams of Gemini that several tests read."""

from __future__ import annotations

from typing import Any

import orjson

GEMINI_TOOLS: dict[str, Any] = {
    "model": "m",
    "stream": False,
    "alt": "json",
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "Weather in Paris and Rome?"}]},
        {
            "role": "model",
            "parts": [
                {"text": "Let me see."},
                {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Paris"}}},
                {"functionCall": {"id": "c2", "name": "weather", "args": {"city": "Rome"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "c1",
                        "name": "weather",
                        "response": {"output": "sunny"},
                    }
                },
                {
                    "functionResponse": {
                        "id": "c2",
                        "name": "weather",
                        "response": {"error": "no data"},
                    }
                },
                {"text": "And now?"},
            ],
        },
    ],
    "tools": [
        {
            "functionDeclarations": [
                {
                    "name": "weather",
                    "description": "The weather of a city.",
                    "parametersJsonSchema": {
                        "type": "object",
                        "properties": {"city": {"type": "string"}},
                    },
                }
            ]
        }
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
    "generationConfig": {
        "maxOutputTokens": 100,
        "temperature": 0.5,
        "topP": 0.9,
        "stopSequences": ["END"],
    },
}

GEMINI_ANSWER: dict[str, Any] = {
    "candidates": [
        {
            "content": {
                "parts": [
                    {"text": "I think.", "thought": True},
                    {"text": "Let me see."},
                    {
                        "functionCall": {"id": "f1", "name": "weather", "args": {"city": "Paris"}},
                        "thoughtSignature": "YS9iK2M9PQ==",
                    },
                ],
                "role": "model",
            },
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 18,
        "cachedContentTokenCount": 5,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 2,
        "totalTokenCount": 27,
    },
    "modelVersion": "gemini-x",
    "responseId": "r1",
}


def part(part: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    """One document of a stream."""
    candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    head = {"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "r1"}
    return {**head, **more}


def events(*documents: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(document) + b"\r\n\r\n" for document in documents)


GEMINI_DOCUMENTS = (
    part({"text": "I think.", "thought": True}),
    part({"text": "Let "}),
    part({"text": "me see."}),
    part(GEMINI_ANSWER["candidates"][0]["content"]["parts"][2]),
    part({"text": ""}, "STOP", usageMetadata=GEMINI_ANSWER["usageMetadata"]),
)
GEMINI_STREAM = events(*GEMINI_DOCUMENTS)
