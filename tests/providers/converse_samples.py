"""Requests of Bedrock's clients, answers and streams of Bedrock, that several tests read."""

from __future__ import annotations

from typing import Any

import orjson

from gateway_simulators.bedrock_shape import frame

CONVERSE_TOOLS: dict[str, Any] = {
    "model": "m",
    "stream": False,
    "system": [{"text": "Be brief."}],
    "messages": [
        {"role": "user", "content": [
            {"text": "Paris and Rome?"},
            {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}]},
        {"role": "assistant", "content": [
            {"text": "I look."},
            {"toolUse": {"toolUseId": "c0", "name": "weather", "input": {"city": "Paris"}}},
            {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"city": "Rome"}}}]},
        {"role": "user", "content": [
            {"toolResult": {"toolUseId": "c0", "content": [{"text": "sun"}]}},
            {"toolResult": {"toolUseId": "c1", "status": "error",
                            "content": [{"json": {"sky": "rain"}}]}},
            {"text": "So?"}]},
    ],
    "inferenceConfig": {
        "maxTokens": 50, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
    "toolConfig": {
        "tools": [{"toolSpec": {
            "name": "weather", "description": "Tells it.",
            "inputSchema": {"json": {"type": "object", "properties": {
                "city": {"type": "string", "description": "Its name."}}}}}}],
        "toolChoice": {"any": {}},
    },
}  # fmt: skip

CONVERSE_ANSWER: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"text": "Let me see."},
        {"citationsContent": {"content": [{"text": "It is so."}], "citations": [
            {"title": "quoted", "location": {"web": {"url": "https://example.org"}}}]}},
        {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"bytes": "all"}}}]}},
    "stopReason": "tool_use",
    "usage": {"inputTokens": 10, "outputTokens": 9, "totalTokens": 27,
              "cacheReadInputTokens": 5, "cacheWriteInputTokens": 3},
    "metrics": {"latencyMs": 1},
    "trace": {"guardrail": {"modelOutput": ["traced"]}},
}  # fmt: skip


def event(name: str, document: dict[str, Any]) -> bytes:
    headers = {":event-type": name, ":message-type": "event"}
    return frame(headers, orjson.dumps(document))


def delta(index: int, **told: Any) -> tuple[str, dict[str, Any]]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": told}


CONVERSE_EVENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("messageStart", {"role": "assistant", "p": "abc"}),
    delta(0, reasoningContent={"text": "hm"}),
    delta(0, reasoningContent={"signature": "s"}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    delta(1, text="Let me "),
    delta(1, text="see."),
    delta(1, citation={"title": "quoted", "sourceContent": [{"text": "Let"}]}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("contentBlockStart", {"contentBlockIndex": 2, "start": {
        "toolUse": {"toolUseId": "t1", "name": "look"}}}),
    delta(2, toolUse={"input": '{"at"'}),
    delta(2, toolUse={"input": ':"x"}'}),
    ("contentBlockStop", {"contentBlockIndex": 2}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", {"usage": CONVERSE_ANSWER["usage"], "metrics": {"latencyMs": 1},
                  "trace": {"guardrail": {"modelOutput": ["traced"]}}}),
)  # fmt: skip
CONVERSE_FRAMES = tuple(event(name, told) for name, told in CONVERSE_EVENTS)
CONVERSE_STREAM = b"".join(CONVERSE_FRAMES)
