"""Documents, sounds, strict tools and schemas between dialects, held against the SDKs' types."""

from __future__ import annotations

from typing import Any

import anthropic.types as at
import botocore.session
import orjson
import pytest
from botocore.validate import validate_parameters
from google.genai import types
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params as response_params
from pydantic import TypeAdapter

from gateway_extproc.core.errors import RequestError
from gateway_extproc.providers.translate import translator
from providers.samples import read

PDF = "JVBERi0xLjQ="
SCHEMA: dict[str, Any] = {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
    "additionalProperties": False,
}  # fmt: skip
DOCUMENTS: dict[str, dict[str, Any]] = {
    "openai": {"model": "m", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "Sum it up."},
        {"type": "file", "file": {
            "filename": "report (1).pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}]}]},
    "responses": {"model": "m", "input": [{"role": "user", "content": [
        {"type": "input_text", "text": "Sum it up."},
        {"type": "input_file", "filename": "report (1).pdf",
         "file_data": f"data:application/pdf;base64,{PDF}"}]}]},
    "anthropic": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "Sum it up."},
        {"type": "document", "title": "report (1).pdf", "source": {
            "type": "base64", "media_type": "application/pdf", "data": PDF}}]}]},
    "gemini": {"model": "m", "contents": [{"role": "user", "parts": [
        {"text": "Sum it up."},
        {"inlineData": {"mimeType": "application/pdf", "displayName": "report (1).pdf",
                        "data": PDF}}]}]},
}  # fmt: skip
PROVIDERS = ["openai:chat", "openai:responses", "anthropic", "gemini", "bedrock"]


def ask(client: str, provider: str, document: dict[str, Any]) -> dict[str, Any]:
    asked = read(client, document)
    way = translator(asked.dialect, provider, asked.endpoint)
    sent = dict(way.request(asked, "t", 9, force_usage=True))
    check(provider, sent)
    return sent


def check(provider: str, sent: dict[str, Any]) -> None:
    """Raises for what the provider's own SDK would not send."""
    match provider:
        case "openai:chat":
            TypeAdapter(chat_params.CompletionCreateParamsNonStreaming).validate_python(sent)
        case "openai:responses":
            TypeAdapter(response_params.ResponseCreateParamsNonStreaming).validate_python(sent)
        case "anthropic":
            params: Any = at.message_create_params.MessageCreateParamsNonStreaming
            TypeAdapter(params).validate_python(sent)
        case "gemini":
            for content in sent["contents"]:
                types.Content.model_validate(content)
        case _:
            model = botocore.session.get_session().get_service_model("bedrock-runtime")
            shape = model.operation_model("Converse").input_shape
            validate_parameters({"modelId": "m", **sent}, shape)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("client", list(DOCUMENTS))
def test_a_document_goes_over_with_its_name(client: str, provider: str) -> None:
    sent = ask(client, provider, DOCUMENTS[client])
    text = orjson.dumps(sent).decode()
    assert PDF in text
    assert "report (1)" in text
    assert "Sum it up." in text


def test_documents_of_one_name_are_told_apart_for_bedrock() -> None:
    parts = DOCUMENTS["openai"]["messages"][0]["content"]
    document = {
        **DOCUMENTS["openai"],
        "messages": [{"role": "user", "content": [*parts, parts[1]]}],
    }
    content = ask("openai", "bedrock", document)["messages"][0]["content"]
    names = [block["document"]["name"] for block in content if "document" in block]
    assert names == ["report (1) pdf", "report (1) pdf 1"]


@pytest.mark.parametrize(
    ("client", "provider", "part", "param"),
    [
        ("openai", "anthropic", {"type": "file", "file": {"file_id": "f-1"}},
         "messages[0].content[0].type"),
        ("openai", "anthropic", {"type": "file", "file": {
            "filename": "a.docx", "file_data": "data:application/msword;base64,AA=="}},
         "messages[0].content[0].type"),
        ("openai", "anthropic", {"type": "file", "file": {"file_data": "AA=="}},
         "messages[0].content[0].file.file_data"),
        ("openai", "anthropic", {"type": "input_audio", "input_audio": {
            "data": "AA==", "format": "wav"}}, "messages[0].content[0].type"),
        ("openai", "gemini", {"type": "input_audio", "input_audio": {
            "data": "AA==", "format": "flac"}}, "messages[0].content[0].type"),
        ("openai", "gemini", {"type": "input_audio", "input_audio": {"data": 1}},
         "messages[0].content[0].input_audio"),
        ("anthropic", "gemini", {"type": "document", "source": {
            "type": "url", "url": "https://example.org/a.pdf"}}, "messages[0].content[0].type"),
        ("anthropic", "openai:chat", {
            "type": "document", "citations": {"enabled": True},
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
         "messages[0].content[0].citations"),
        ("anthropic", "openai:chat", {"type": "document", "context": "c", "source": {
            "type": "base64", "media_type": "application/pdf", "data": PDF}},
         "messages[0].content[0].context"),
    ],
)  # fmt: skip
def test_what_cannot_be_given_is_refused_by_name(
    client: str, provider: str, part: dict[str, Any], param: str
) -> None:
    document = {**DOCUMENTS[client], "messages": [{"role": "user", "content": [part]}]}
    with pytest.raises(RequestError) as caught:
        ask(client, provider, document)
    assert (caught.value.refusal.status, caught.value.refusal.param) == (400, param)


@pytest.mark.parametrize(("kind", "mime"), [("wav", "audio/wav"), ("mp3", "audio/mp3")])
def test_sounds_go_between_openai_and_gemini(kind: str, mime: str) -> None:
    part = {"type": "input_audio", "input_audio": {"data": "AA==", "format": kind}}
    document = {**DOCUMENTS["openai"], "messages": [{"role": "user", "content": [part]}]}
    sent = ask("openai", "gemini", document)
    assert sent["contents"][0]["parts"] == [{"inlineData": {"mimeType": mime, "data": "AA=="}}]
    back = ask("gemini", "openai:chat", {"model": "m", **sent})
    assert back["messages"][0]["content"] == [part]


def test_sounds_reach_bedrock() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}}
    document = {**DOCUMENTS["openai"], "messages": [{"role": "user", "content": [part]}]}
    content = ask("openai", "bedrock", document)["messages"][0]["content"]
    assert content == [{"audio": {"format": "mp3", "source": {"bytes": "AA=="}}}]


TOOLS: dict[str, Any] = {
    "openai": {"tools": [{"type": "function", "function": {
        "name": "weather", "parameters": SCHEMA, "strict": True}}]},
    "responses": {"tools": [{
        "type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]},
    "anthropic": {"tools": [{"name": "weather", "input_schema": SCHEMA, "strict": True}]},
}  # fmt: skip


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("client", list(TOOLS))
def test_strict_tools_stay_strict(client: str, provider: str) -> None:
    sent = ask(client, provider, {**DOCUMENTS[client], **TOOLS[client]})
    text = orjson.dumps(sent).decode()
    assert ("VALIDATED" if provider == "gemini" else '"strict":true') in text


FORMATS: dict[str, Any] = {
    "openai": {"response_format": {"type": "json_schema", "json_schema": {
        "name": "place", "schema": SCHEMA, "strict": True}}},
    "responses": {"text": {"format": {
        "type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}},
    "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
}  # fmt: skip


@pytest.mark.parametrize("client", list(FORMATS))
def test_a_schema_of_the_answer_goes_everywhere(client: str) -> None:
    document = {**DOCUMENTS[client], **FORMATS[client]}
    name = "answer" if client == "anthropic" else "place"
    bedrock = ask(client, "bedrock", document)["outputConfig"]["textFormat"]
    described = bedrock["structure"]["jsonSchema"]
    assert (bedrock["type"], described["name"]) == ("json_schema", name)
    assert orjson.loads(described["schema"]) == SCHEMA
    assert ask(client, "gemini", document)["generationConfig"]["responseJsonSchema"] == SCHEMA
    chat = ask(client, "openai:chat", document)["response_format"]["json_schema"]
    assert chat == {"name": name, "schema": SCHEMA, "strict": True}
    wanted = ask(client, "openai:responses", document)["text"]["format"]
    assert wanted == {"type": "json_schema", "name": name, "schema": SCHEMA, "strict": True}
    if client != "anthropic":
        sent = ask(client, "anthropic", document)["output_config"]
        assert sent == FORMATS["anthropic"]["output_config"]


def test_no_thinking_at_all_goes_to_anthropic() -> None:
    sent = ask("openai", "anthropic", {**DOCUMENTS["openai"], "reasoning_effort": "none"})
    assert sent["thinking"] == {"type": "disabled"}
