"""What a request needs, read off its document in both dialects."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_extproc.providers.translate import DIALECTS
from gateway_extproc.routing.needs import needs_of, wants_structure

URL = {"url": "https://pictures.example/a.png"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}


def openai(content: Any = "hi", **fields: Any) -> frozenset[str]:
    document = {"model": "m", "messages": [{"role": "user", "content": content}], **fields}
    return needs_of(DIALECTS["openai"].read_request("chat", document))


def anthropic(content: Any = "hi", **fields: Any) -> frozenset[str]:
    document = {
        "model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}], **fields,
    }  # fmt: skip
    return needs_of(DIALECTS["anthropic"].read_request("messages", document))


def cohere(content: Any = "hi", **fields: Any) -> frozenset[str]:
    document = {"model": "m", "messages": [{"role": "user", "content": content}], **fields}
    return needs_of(DIALECTS["cohere"].read_request("cohere_chat", document))


def bedrock(*blocks: Any, **fields: Any) -> frozenset[str]:
    content = [{"text": "hi"}, *blocks]
    document = {"model": "m", "messages": [{"role": "user", "content": content}], **fields}
    return needs_of(DIALECTS["bedrock"].read_request("converse", document))


IMAGE = {"image": {"format": "png", "source": {"bytes": "AA=="}}}
FORMAT = {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}"}}}


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (openai(), set()),
        (openai(stream=True), {"streaming"}),
        (openai(tools=[TOOL]), {"tools"}),
        (openai(tools=[TOOL], stream=True), {"tools", "streaming"}),
        (openai([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": URL}]),
         {"vision"}),
        (openai([{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]),
         {"audio"}),
        (openai(response_format=SCHEMA), {"json_schema"}),
        (openai(response_format={"type": "json_object"}), {"json_schema"}),
        (openai(response_format={"type": "text"}), set()),
        (openai(reasoning_effort="high"), {"reasoning"}),
        (openai(reasoning_effort="none"), set()),
        (anthropic(), set()),
        (anthropic(stream=True), {"streaming"}),
        (anthropic([{"type": "image", "source": {"type": "url", **URL}}]), {"vision"}),
        (anthropic(tools=[{"name": "look", "input_schema": {"type": "object"}}]), {"tools"}),
        (cohere([{"type": "image_url", "image_url": URL}], stream=True), {"vision", "streaming"}),
        (cohere(tools=[TOOL], response_format={"type": "json_object"}), {"tools", "json_schema"}),
        (cohere(thinking={"type": "enabled"}), {"reasoning"}),
        (bedrock(), set()),
        (bedrock(IMAGE), {"vision"}),
        (bedrock({"toolResult": {"toolUseId": "c", "content": [IMAGE]}}), {"vision"}),
        (bedrock({"audio": {"format": "wav", "source": {"bytes": "AA=="}}}), {"audio"}),
        (bedrock(outputConfig={"textFormat": FORMAT}), {"json_schema"}),
    ],
)  # fmt: skip
def test_a_request_needs_what_its_document_asks_for(
    needs: frozenset[str], expected: set[str]
) -> None:
    assert needs == expected


def test_an_image_in_a_tools_result_has_to_be_seen_too() -> None:
    image = {"type": "image", "source": {"type": "url", **URL}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [image]}
    call = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
    document = {
        "model": "m", "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "look"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ],
    }  # fmt: skip
    assert needs_of(DIALECTS["anthropic"].read_request("messages", document)) == {"vision"}


@pytest.mark.parametrize("document", [{}, {"response_format": None}, {"output_config": {}}])
def test_no_structure_is_wanted_where_none_is_named(document: dict[str, Any]) -> None:
    assert not wants_structure(document)
