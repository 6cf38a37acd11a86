"""Requests, answers and streams of Cohere that several tests read."""

from __future__ import annotations

from typing import Any

from providers.samples import named

_WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Its name."}},
}

COHERE_TOOLS: dict[str, Any] = {
    "model": "m",
    "max_tokens": 50,
    "temperature": 0.5,
    "p": 0.9,
    "stop_sequences": ["END"],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "weather", "description": "Tells it.", "parameters": _WEATHER,
            },
        }
    ],
    "tool_choice": "REQUIRED",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Paris and Rome?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
            ],
        },
        {
            "role": "assistant",
            "tool_plan": "I look.",
            "tool_calls": [
                {"id": "c0", "type": "function",
                 "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
                {"id": "c1", "type": "function",
                 "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "c0", "content": "sun"},
        {"role": "tool", "tool_call_id": "c1", "content": [
            {"type": "document", "document": {"id": "1", "data": {"sky": "rain"}}}]},
        {"role": "user", "content": "So?"},
    ],
}  # fmt: skip

COHERE_ANSWER: dict[str, Any] = {
    "id": "a1",
    "finish_reason": "TOOL_CALL",
    "message": {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "Let me see."},
        ],
        "tool_plan": "I look.",
        "tool_calls": [
            {"id": "c0", "type": "function",
             "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
        ],
        "citations": [
            {"start": 0, "end": 3, "text": "Let", "sources": [
                {"type": "document", "id": "d", "document": {"snippet": "quoted"}}]},
        ],
    },
    "usage": {
        "billed_units": {"input_tokens": 18.0, "output_tokens": 9.0},
        "tokens": {"input_tokens": 80.0, "output_tokens": 12.0},
        "cached_tokens": 5.0,
    },
}  # fmt: skip


def message(kind: str, index: int | None = None, **told: Any) -> dict[str, Any]:
    place = {} if index is None else {"index": index}
    return {"type": kind, **place, "delta": {"message": told}}


COHERE_DOCUMENTS: tuple[dict[str, Any], ...] = (
    {"type": "message-start", "id": "a1", "delta": {"message": {
        "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}},
    message("tool-plan-delta", tool_plan="I "),
    message("tool-plan-delta", tool_plan="look."),
    message("content-start", 0, content={"type": "thinking", "thinking": ""}),
    message("content-delta", 0, content={"thinking": "hm"}),
    {"type": "content-end", "index": 0},
    message("content-start", 1, content={"type": "text", "text": ""}),
    message("content-delta", 1, content={"text": "Let me "}),
    message("content-delta", 1, content={"text": "see."}),
    message("citation-start", 0, citations=COHERE_ANSWER["message"]["citations"][0]),
    {"type": "citation-end", "index": 0},
    {"type": "content-end", "index": 1},
    message("tool-call-start", 0, tool_calls={
        "id": "c0", "type": "function", "function": {"name": "weather", "arguments": ""}}),
    message("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"city":'}}),
    message("tool-call-delta", 0, tool_calls={"function": {"arguments": '"Paris"}'}}),
    {"type": "tool-call-end", "index": 0},
    {"type": "message-end", "id": "a1", "delta": {
        "finish_reason": "TOOL_CALL", "usage": COHERE_ANSWER["usage"]}},
)  # fmt: skip
COHERE_STREAM = named(*COHERE_DOCUMENTS)
