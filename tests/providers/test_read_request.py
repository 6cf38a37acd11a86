"""What both dialects accept, what they refuse and how they name it, and which texts they find."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from gateway_extproc.core.document import replace_at
from gateway_extproc.core.errors import RequestError
from gateway_extproc.providers.translate import ANTHROPIC
from providers.samples import ANTHROPIC_REQUEST, OPENAI_REQUEST, read

USER = {"role": "user", "content": "hi"}
DEEP: dict[str, Any] = {}
for _ in range(200):
    DEEP = {"a": DEEP}


def assistant(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "assistant", **fields}]


def tool_call(**fields: Any) -> list[dict[str, Any]]:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, **fields}
    return assistant(content=None, tool_calls=[call])


def part(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [fields]}]


OPENAI_MISTAKES: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": None}),
    ("model", {"model": ""}),
    ("model", {"model": 7}),
    ("messages", {"messages": None}),
    ("messages", {"messages": []}),
    ("messages", {"messages": "hi"}),
    ("messages[0]", {"messages": ["hi"]}),
    ("messages[1].role", {"messages": [USER, {"content": "x"}]}),
    ("messages[0].role", {"messages": [{"role": "wizard", "content": "x"}]}),
    ("messages[0].role", {"messages": [{"role": ["user"], "content": "x"}]}),
    ("messages[0].content", {"messages": [{"role": "user"}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": None}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": 3}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": []}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": {"text": "x"}}]}),
    ("messages[0].content", {"messages": assistant(content=None)}),
    ("messages[0].content", {"messages": assistant(content=None, tool_calls=[])}),
    ("messages[0].content[0]", {"messages": [{"role": "user", "content": ["x"]}]}),
    ("messages[0].content[0].type", {"messages": part(text="x")}),
    ("messages[0].content[0].type", {"messages": part(type="input_text", text="x")}),
    ("messages[0].content[0].text", {"messages": part(type="text")}),
    ("messages[0].content[0].text", {"messages": part(type="text", text=1)}),
    ("messages[0].content[0].image_url", {"messages": part(type="image_url", image_url="u")}),
    ("messages[0].content[0].image_url.url", {"messages": part(type="image_url", image_url={})}),
    ("messages[0].content[0].input_audio", {"messages": part(type="input_audio")}),
    ("messages[0].name", {"messages": [{**USER, "name": 1}]}),
    ("messages[0].refusal", {"messages": assistant(content="x", refusal=1)}),
    ("messages[0].tool_call_id", {"messages": [{"role": "tool", "content": "x"}]}),
    ("messages[0].tool_calls", {"messages": assistant(content="x", tool_calls={})}),
    ("messages[0].tool_calls[0]", {"messages": assistant(content="x", tool_calls=[1])}),
    ("messages[0].tool_calls[0].id", {"messages": tool_call(id=None)}),
    ("messages[0].tool_calls[0].type", {"messages": tool_call(type="magic")}),
    ("messages[0].tool_calls[0].function", {"messages": tool_call(function=None)}),
    ("messages[0].tool_calls[0].function.name", {"messages": tool_call(function={})}),
    (
        "messages[0].tool_calls[0].function.arguments",
        {"messages": tool_call(function={"name": "f", "arguments": {}})},
    ),
    ("tools", {"tools": {}}),
    ("tools[0]", {"tools": ["x"]}),
    ("tools[0].type", {"tools": [{"function": {"name": "f"}}]}),
    ("tools[0].function", {"tools": [{"type": "function"}]}),
    ("tools[0].function.name", {"tools": [{"type": "function", "function": {}}]}),
    (
        "tools[0].function.parameters",
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
    ),
    (
        "tools[0].function",
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": DEEP}}]},
    ),
    ("tool_choice", {"tool_choice": "sometimes"}),
    ("tool_choice.function", {"tool_choice": {"type": "function"}}),
    ("stream", {"stream": "true"}),
    ("stream", {"stream": 1}),
    ("stream_options", {"stream_options": True}),
    ("stream_options.include_usage", {"stream_options": {"include_usage": 1}}),
    ("temperature", {"temperature": True}),
    ("temperature", {"temperature": "1"}),
    ("temperature", {"temperature": 2.1}),
    ("temperature", {"temperature": -0.1}),
    ("top_p", {"top_p": 1.5}),
    ("frequency_penalty", {"frequency_penalty": 3}),
    ("presence_penalty", {"presence_penalty": -3}),
    ("n", {"n": 0}),
    ("n", {"n": True}),
    ("n", {"n": 1.0}),
    ("max_tokens", {"max_tokens": 0}),
    ("max_tokens", {"max_tokens": 10.5}),
    ("max_completion_tokens", {"max_completion_tokens": -1}),
    ("max_completion_tokens", {"max_completion_tokens": False}),
    ("max_tokens", {"max_tokens": 5, "max_completion_tokens": 6}),
    ("stop", {"stop": 1}),
    ("stop", {"stop": []}),
    ("stop", {"stop": ["a", "b", "c", "d", "e"]}),
    ("stop[1]", {"stop": ["a", 2]}),
    ("logprobs", {"logprobs": 1}),
    ("top_logprobs", {"top_logprobs": 21}),
    ("logit_bias", {"logit_bias": []}),
    ("seed", {"seed": "x"}),
    ("user", {"user": 1}),
    ("response_format", {"response_format": "json"}),
    ("response_format.type", {"response_format": {}}),
    ("parallel_tool_calls", {"parallel_tool_calls": "no"}),
]


def block(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [fields]}]}


ANTHROPIC_MISTAKES: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": None}),
    ("max_tokens", {"max_tokens": None}),
    ("max_tokens", {"max_tokens": 0}),
    ("max_tokens", {"max_tokens": True}),
    ("messages", {"messages": None}),
    ("messages", {"messages": []}),
    ("messages[0]", {"messages": [1]}),
    ("messages[0].role", {"messages": [{"role": "developer", "content": "x"}]}),
    ("messages[0].content", {"messages": [{"role": "user"}]}),
    ("messages[0].content[0]", {"messages": [{"role": "user", "content": ["x"]}]}),
    ("messages[0].content[0].type", block(text="x")),
    ("messages[0].content[0].type", block(type="tool_use", id="t", name="f", input={})),
    ("messages[0].content[0].text", block(type="text")),
    ("messages[0].content[0].source", block(type="image")),
    ("messages[0].content[0].tool_use_id", block(type="tool_result")),
    ("messages[0].content[0].content", block(type="tool_result", tool_use_id="t", content=1)),
    (
        "messages[0].content[0].content[0].type",
        block(type="tool_result", tool_use_id="t", content=[{"type": "tool_use"}]),
    ),
    (
        "messages[0].content[0].input",
        {
            "messages": [
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f"}]}
            ]
        },
    ),
    ("system", {"system": 1}),
    ("system[0].type", {"system": [{"text": "x"}]}),
    ("tools", {"tools": {}}),
    ("tools[0].name", {"tools": [{"input_schema": {}}]}),
    ("tools[0].input_schema", {"tools": [{"name": "f"}]}),
    ("tool_choice.type", {"tool_choice": {"type": "maybe"}}),
    ("tool_choice.name", {"tool_choice": {"type": "tool"}}),
    ("stop_sequences", {"stop_sequences": "x"}),
    ("temperature", {"temperature": 1.1}),
    ("top_k", {"top_k": 1.5}),
    ("stream", {"stream": 0}),
    ("thinking.type", {"thinking": {}}),
    ("metadata.user_id", {"metadata": {"user_id": 1}}),
]


@pytest.mark.parametrize(("param", "fields"), OPENAI_MISTAKES)
def test_every_mistake_of_an_openai_client_names_its_field(
    param: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(RequestError) as caught:
        read("openai", {**OPENAI_REQUEST, **fields})
    assert caught.value.refusal.param == param
    assert caught.value.refusal.reason == "invalid_request"
    assert caught.value.refusal.status == 400


@pytest.mark.parametrize(("param", "fields"), ANTHROPIC_MISTAKES)
def test_every_mistake_of_an_anthropic_client_names_its_field(
    param: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(RequestError) as caught:
        read("anthropic", {**ANTHROPIC_REQUEST, **fields})
    assert caught.value.refusal.param == param
    assert caught.value.refusal.status == 400


def test_a_missing_model_is_an_invalid_request() -> None:
    for dialect, document in (("openai", OPENAI_REQUEST), ("anthropic", ANTHROPIC_REQUEST)):
        with pytest.raises(RequestError) as caught:
            read(dialect, {key: value for key, value in document.items() if key != "model"})
        assert caught.value.refusal.param == "model"


def test_null_optional_fields_are_absent_and_unknown_fields_are_nobodys_business() -> None:
    nulls = dict.fromkeys(
        [
            "temperature",
            "max_tokens",
            "max_completion_tokens",
            "stop",
            "n",
            "tools",
            "stream",
            "stream_options",
            "seed",
            "user",
            "logprobs",
            "response_format",
            "tool_choice",
        ]
    )
    asked = read("openai", {**OPENAI_REQUEST, **nulls, "vendor_magic": [1]})
    assert (asked.max_tokens, asked.stream, asked.wants_usage) == (None, False, False)


def test_the_facts_of_an_openai_request_are_read() -> None:
    asked = read(
        "openai",
        {
            **OPENAI_REQUEST,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens": 9,
            "max_tokens": 9,
        },
    )
    assert (asked.dialect, asked.endpoint, asked.model) == ("openai", "chat", "m")
    assert (asked.stream, asked.wants_usage, asked.max_tokens) == (True, True, 9)


OPENAI_FULL: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "T1"}]},
        {"role": "developer", "content": "T2"},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "T3"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "file", "file": {"file_id": "f"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "refusal": "T4",
            "reasoning_content": "T5",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "T6"}},
                {"id": "d", "type": "custom", "custom": {"name": "g", "input": "T7"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "T8"},
        {"role": "function", "name": "f", "content": "T9"},
        {"role": "assistant", "function_call": {"name": "f", "arguments": "T10"}},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "T11",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "description": "T12", "enum": ["T13"]}
                    },
                },
            },
        },
        {"type": "magic", "prompt": "T14"},
    ],
    "functions": [{"name": "h", "description": "T15"}],
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "x", "description": "T16", "schema": {"title": "T17"}},
    },
    "prediction": {"type": "content", "content": "T18"},
}

ANTHROPIC_FULL: dict[str, Any] = {
    "model": "m",
    "max_tokens": 5,
    "system": [{"type": "text", "text": "T1", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "T2"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "T3", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "T4"},
                {
                    "type": "tool_use",
                    "id": "t",
                    "name": "f",
                    "input": {"a": "T5", "b": [{"c": "T6"}]},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [
                        {"type": "text", "text": "T7"},
                        {"type": "image", "source": {"type": "base64", "data": "x"}},
                        {"type": "search_result", "source": "T8", "title": "T9", "content": []},
                    ],
                },
                {"type": "tool_result", "tool_use_id": "u", "content": "T10"},
                {
                    "type": "document",
                    "title": "T11",
                    "source": {"type": "text", "media_type": "text/plain", "data": "T12"},
                },
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "x"},
                },
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {"type": "text", "text": "T13"},
            ],
        },
    ],
    "tools": [
        {
            "name": "f",
            "description": "T14",
            "input_schema": {"type": "object", "properties": {"a": {"description": "T15"}}},
        }
    ],
    "output_config": {"format": {"schema": {"description": "T16"}}},
}


@pytest.mark.parametrize(
    ("dialect", "document", "count"),
    [("openai", OPENAI_FULL, 18), ("anthropic", ANTHROPIC_FULL, 16)],
)
def test_every_text_is_found_where_it_stands(
    dialect: str, document: dict[str, Any], count: int
) -> None:
    before = deepcopy(document)
    asked = read(dialect, document)
    found = {at.text for at in asked.texts}
    assert {f"T{number}" for number in range(1, count + 1)} <= found
    masked = replace_at(document, [(at.path, f"<{at.text}>") for at in asked.texts])
    assert {at.text for at in read(dialect, {**masked, "tools": []}).texts} <= {
        f"<{text}>" for text in found
    }
    assert document == before


def test_texts_speak_in_the_voice_of_their_role() -> None:
    roles = {at.text: at.role for at in read("openai", OPENAI_FULL).texts}
    assert [roles[f"T{n}"] for n in (1, 2, 3, 4, 6, 8, 9, 10, 11)] == (
        [
            "system",
            "system",
            "user",
            "assistant",
            "assistant",
            "tool",
            "tool",
            "assistant",
            "system",
        ]
    )
    roles = {at.text: at.role for at in read("anthropic", ANTHROPIC_FULL).texts}
    assert [roles[f"T{n}"] for n in (1, 2, 4, 5, 7, 8, 10, 12, 13, 14)] == (
        [
            "system",
            "user",
            "assistant",
            "assistant",
            "tool",
            "tool",
            "tool",
            "user",
            "user",
            "system",
        ]
    )


def test_bytes_are_no_texts() -> None:
    assert "x" not in {at.text for at in read("anthropic", ANTHROPIC_FULL).texts}


def test_a_dialect_serves_its_own_endpoint_only() -> None:
    from gateway_extproc.providers.translate import DIALECTS

    for dialect, endpoint in (("openai", "messages"), ("anthropic", "chat")):
        with pytest.raises(RequestError) as caught:
            DIALECTS[dialect].read_request(endpoint, {})
        assert caught.value.refusal.status == 404


def test_an_anthropic_client_may_send_system_turns_among_the_messages() -> None:
    """API versions from 2026 on have them; guards see them as what they are."""
    document = {
        "model": "claude-haiku-4-5",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "go on"},
        ],
    }
    request = ANTHROPIC.read_request("messages", document)
    assert [(at.role, at.text) for at in request.texts][1] == ("system", "be brief")
    chat = ANTHROPIC.to_chat(document, "openai")
    assert [message.role for message in chat.messages] == ["system", "user", "user"]
