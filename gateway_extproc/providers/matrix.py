"""What of each client's dialect reaches which provider, from the code: ``docs/dialects.md``.

Nothing here is a claim: every cell is the outcome of a translation.  A feature is asked for with a
value that stands nowhere else; where that value arrives the cell says ``full``, where the request
passes without it ``lossy``, and where it is refused with 400 ``refused``.
``python -m gateway_extproc.providers.matrix`` prints the page; a test holds the file equal to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.errors import RequestError
from gateway_extproc.providers.dropping import write
from gateway_extproc.providers.translate import DIALECTS, translator

Overlay = Mapping[str, Any]

CLIENTS: Final = {
    "openai": ("openai", "chat", "OpenAI chat completions (`POST /v1/chat/completions`)"),
    "responses": ("openai", "responses", "OpenAI responses (`POST /v1/responses`)"),
    "anthropic": ("anthropic", "messages", "Anthropic messages (`POST /v1/messages`)"),
    "gemini": (
        "gemini",
        "generate_content",
        "Gemini (`POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`)",
    ),
    "cohere": ("cohere", "cohere_chat", "Cohere (`POST /v2/chat`)"),
    "bedrock": (
        "bedrock",
        "converse",
        "Bedrock (`POST /model/{modelId}/converse` and `/model/{modelId}/converse-stream`)",
    ),
}
PROVIDERS: Final = tuple(DIALECTS)


def columns(client: str) -> tuple[str, ...]:
    """The providers of a client's table: those of a dialect with the other interface only, too."""
    return (*PROVIDERS, "openai:chat" if client == "responses" else "openai:responses")


INTRODUCTION: Final = """\
# Dialects

A client speaks the dialect of the endpoint that it calls, a provider the one that its section
names. Where both are the same the document passes with the fewest edits, so fields that this
gateway has never heard of survive. Where they differ it is translated, and what cannot be said in
the provider's dialect is refused with 400 and the field's name, never dropped in silence.

The tables are made by translating. Of requests: `full` means that the value arrived; `refused` that
the client gets 400; `droppable` that it gets 400, but where policy says `drop_unsupported` the
request passes without the field, and `listed` that it always does: then the answer names the field
in `x-gateway-dropped` and the decision record with each attempt. Of answers: `lossy` means that the
answer passes without it. A dash: the dialect has no word for it. The columns `openai:chat` and
`openai:responses` are providers of OpenAI's dialect that have only this one of its two interfaces
(`differences.lacks`).

Rendered from `gateway_extproc/providers/matrix.py`; do not edit. To write it anew:

    python -m gateway_extproc.providers.matrix > docs/dialects.md
"""

NOTES: Final = """\
## What is listed, lossy or near

- A result of a tool that failed carries a mark at Anthropic, Gemini and Bedrock. OpenAI and Cohere
  have none, so the text begins with `Error: `, and the mark is listed.
- OpenAI's words of effort become a budget of tokens at Gemini and Cohere (none 0, minimal 512, low
  1,024, medium 8,192, high 24,576; never more than the answer's cap), as in Google's own interface
  for OpenAI's clients. `xhigh` has no budget there.
- Cohere has no word for one tool by its name: it is told that a call is required, and offered that
  tool only. `top_p` 1 and 0 become its bounds, `p` 0.99 and 0.01.
- Thoughts of other models are left out, in both directions, but for Anthropic clients of Gemini's
  models that ask for thinking: they read them in `thinking` blocks without a signature.
- `cache_control`, identifiers of end users and labels say how to pay or whom to blame, not what to
  answer; where the provider has no place for them they are left out, and listed.
- An answer by JSON schema follows it at Anthropic and Bedrock always, at OpenAI with `strict`; a
  schema of Anthropic's clients is strict there, and OpenAI refuses one that its strict mode cannot.
- No tool at all (`tool_choice: none`) cannot be said to Bedrock: a model that is not told of tools
  may answer otherwise than one that is told not to call them.
- Several answers at once, and log probabilities, go between OpenAI's chat and Gemini (log
  probabilities to responses, too); log probabilities in whole answers only, because the pieces of
  streams do not match.
- Citations and annotations of an answer reach clients of the same dialect only: they come from
  tools of the provider, which cannot be asked for in another dialect. Of a Cohere client's earlier
  turns other providers are told what was said, not what it cited.
- What Cohere's models plan before they call tools (`tool_plan`) is text to other clients, and what
  other models say before their calls is a plan at Cohere. Its clients read it as content.

## There and back

Generated conversations, whole answers and streams go from each dialect to each other one and back,
and keep their texts, calls, results, stop reason and usage; between OpenAI's dialect and Gemini's
also several answers and log probabilities. `make round-trips` sends 10,000 of each kind through
every pair; a few dozen run with every test.

## What it costs

`make bench-translate` measures the CPU of one core: a request of 1 KB is translated in 11 to 14 us
(in its own dialect about 1), a chunk of a stream, its JSON read and written, in 4 to 9.

## Signatures of Gemini's thoughts

Gemini's thinking models sign their function calls and want the signature back with the call. Other
dialects have no field for it, so it travels inside of the call's id (`...__signed__...`), which
clients send back as they got it. No process remembers anything. At a provider of another dialect
the plain id is used again; only where an OpenAI client's conversation goes on at an OpenAI provider
untranslated does the long id reach it.

## Providers

| dialect | `base_url` | `credential_file` | `region` |
|---|---|---|---|
| `openai` | `https://api.openai.com/v1` | the key | free |
| `anthropic` | `https://api.anthropic.com/v1` | the key | free |
| `gemini` | `https://generativelanguage.googleapis.com/v1beta` | the key | free |
| `vertex` | `https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/LOCATION/publishers/google` | an access token; whoever mounts the file keeps it fresh | free |
| `bedrock` | `https://bedrock-runtime.REGION.amazonaws.com` | access key id, secret access key and, if it has one, session token: JSON, or the ini format of AWS's own files (the first profile counts) | the AWS region; required, because signatures name it |
| `cohere` | `https://api.cohere.com` | the key | free |

Requests to Bedrock are signed with Signature Version 4 after everything else is decided: the
signature covers method, path, host, content type, time and the final body, of a fallback anew.

## Clients of Gemini

The key stands in `x-goog-api-key` or in the query (`?key=`). A key in the query is taken out before
anything is decided, recorded or logged, and never sent on; two keys are refused. `v1beta`, `v1` and
`v1alpha` mean the same. With `alt=sse` a stream is server-sent events, without it one JSON array.
Fields may be written in camelCase or in snake_case, as at Google; both at once are refused.

## Clients of Bedrock

The model's id stands in the path, escaped; an ARN may be a model's name. AWS's SDKs send the gateway's
key as they send a Bedrock API key (`AWS_BEARER_TOKEN_BEDROCK`), and only over https; a signature
proves nothing here. The name of an exception stands in `x-amzn-errortype`, the reason code in
`x-gateway-reason`. Exceptions inside of a stream are messages of their own, with checksums like all
others. `latencyMs` of other providers is 0. Refused everywhere are `s3Location`, which the provider
would read with the gateway's own permissions, and `projectIdentifier`. Of
`additionalModelRequestFields` other providers can be told `top_k` and `thinking`.

## Clients of Cohere

`documents`, `citation_options` and `safety_mode` are told to Cohere's models only. An answer that a
filter or a rule ended has the finish reason `ERROR_TOXIC`, an error inside of a stream stands where
Cohere puts it: in the `error` of `message-end`, and its code beside it. An answer whose texts a
guard changed, or put masked values back into, loses its citations: they quote other words. Tokens are counted as they
are billed (`billed_units`). `POST /v2/rerank` and `POST /v1/rerank` are one interface, which Cohere's
models serve as OpenAI-compatible servers do; of the fields of the first version `return_documents`,
`rank_fields` and `max_chunks_per_doc` are refused for them. `POST /v2/embed` passes as it is.
"""  # noqa: E501 (rows of a table)


class Feature(NamedTuple):
    """Something a client can ask for: what it adds to each dialect's plain request.

    ``kept`` holds texts of which one stands in the provider's document where it arrived.
    """

    name: str
    kept: tuple[str, ...]
    asked: Mapping[str, Overlay]


_PIXEL: Final = "iVBORw0KGgo="
_PDF: Final = f"data:application/pdf;base64,{_PIXEL}"
_SCHEMA: Final = {"type": "object", "properties": {"marked": {"type": "string"}}}


def _openai_user(*parts: Overlay) -> Overlay:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def _items(*parts: Overlay) -> Overlay:
    return {"input": [{"role": "user", "content": list(parts)}]}


def _gemini_config(**config: Any) -> Overlay:
    return {"generationConfig": {"maxOutputTokens": 9000, **config}}


def _inference(**config: Any) -> Overlay:
    return {"inferenceConfig": {"maxTokens": 9000, **config}}


def _bedrock_user(*blocks: Overlay) -> Overlay:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def _bedrock_tools(choice: Overlay | None = None, **spec: Any) -> Overlay:
    described = {"name": "marked", "inputSchema": {"json": _SCHEMA}, **spec}
    config: dict[str, Any] = {"tools": [{"toolSpec": described}]}
    return {"toolConfig": config if choice is None else {**config, "toolChoice": choice}}


def _tools(**more: Any) -> Mapping[str, Overlay]:
    """A function for each dialect; ``more`` stands beside the tools, by dialect."""
    function = {"name": "marked", "description": "d", "parameters": _SCHEMA}
    declared = {"name": "marked", "description": "d", "parametersJsonSchema": _SCHEMA}
    asked: dict[str, Overlay] = {
        "openai": {"tools": [{"type": "function", "function": function}]},
        "responses": {"tools": [{"type": "function", **function}]},
        "anthropic": {"tools": [{"name": "marked", "description": "d", "input_schema": _SCHEMA}]},
        "gemini": {"tools": [{"functionDeclarations": [declared]}]},
        "cohere": {"tools": [{"type": "function", "function": function}]},
        "bedrock": _bedrock_tools(),
    }
    return {name: {**asked[name], **more[name]} for name in more} if more else asked


def _conversation(*, failed: bool) -> Mapping[str, Overlay]:
    """A call and its result."""
    question = {"role": "user", "content": "q"}
    call = {"type": "function", "id": "c1", "function": {"name": "marked", "arguments": "{}"}}
    use = {"type": "tool_use", "id": "c1", "name": "marked", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "told4711"}
    response = {"error" if failed else "output": "told4711"}
    told: dict[str, Any] = {"toolUseId": "c1", "content": [{"text": "told4711"}]}
    if failed:
        told["status"] = "error"
    asked: dict[str, Overlay] = {
        "openai": {
            "messages": [
                question,
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "told4711"},
            ]
        },
        "responses": {
            "input": [
                question,
                {"type": "function_call", "call_id": "c1", "name": "marked", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "told4711"},
            ]
        },
        "anthropic": {
            "messages": [
                question,
                {"role": "assistant", "content": [use]},
                {"role": "user", "content": [{**result, "is_error": True} if failed else result]},
            ]
        },
        "gemini": {
            "contents": [
                {"role": "user", "parts": [{"text": "q"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "marked", "args": {}}}]},
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"name": "marked", "response": response}}],
                },
            ]
        },
    }
    called = {"toolUse": {"toolUseId": "c1", "name": "marked", "input": {}}}
    asked["bedrock"] = {
        "messages": [
            {"role": "user", "content": [{"text": "q"}]},
            {"role": "assistant", "content": [called]},
            {"role": "user", "content": [{"toolResult": told}]},
        ]
    }
    said = {"role": "assistant", "tool_calls": [call]}
    asked["cohere"] = {"messages": [question, said, asked["openai"]["messages"][2]]}
    if failed:
        del asked["openai"], asked["cohere"], asked["responses"]
    return {name: {**_tools()[name], **overlay} for name, overlay in asked.items()}


REQUESTS: Final = (
    Feature("text", ("q4711",), {
        "openai": {"messages": [{"role": "user", "content": "q4711"}]},
        "responses": {"input": "q4711"},
        "anthropic": {"messages": [{"role": "user", "content": "q4711"}]},
        "gemini": {"contents": [{"parts": [{"text": "q4711"}]}]},
        "cohere": {"messages": [{"role": "user", "content": "q4711"}]},
        "bedrock": _bedrock_user({"text": "q4711"}),
    }),
    Feature("system prompt", ("s4711",), {
        "bedrock": {"system": [{"text": "s4711"}]},
        "openai": {"messages": [{"role": "developer", "content": "s4711"},
                                {"role": "user", "content": "q"}]},
        "responses": {"instructions": "s4711"},
        "anthropic": {"system": "s4711"},
        "gemini": {"systemInstruction": {"parts": [{"text": "s4711"}]}},
        "cohere": {"messages": [{"role": "system", "content": "s4711"},
                                {"role": "user", "content": "q"}]},
    }),
    Feature("image by value", (_PIXEL,), {
        "bedrock": _bedrock_user({"image": {"format": "png", "source": {"bytes": _PIXEL}}}),
        "openai": _openai_user(
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}"}}),
        "responses": _items(
            {"type": "input_image", "image_url": f"data:image/png;base64,{_PIXEL}"}),
        "anthropic": _openai_user({"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": _PIXEL}}),
        "gemini": {"contents": [{"parts": [
            {"inlineData": {"mimeType": "image/png", "data": _PIXEL}}]}]},
        "cohere": _openai_user(
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}"}}),
    }),
    Feature("image by address", ("https://example.org/4711.png",), {
        "openai": _openai_user(
            {"type": "image_url", "image_url": {"url": "https://example.org/4711.png"}}),
        "responses": _items(
            {"type": "input_image", "image_url": "https://example.org/4711.png"}),
        "anthropic": _openai_user({"type": "image", "source": {
            "type": "url", "url": "https://example.org/4711.png"}}),
        "gemini": {"contents": [{"parts": [{"fileData": {
            "mimeType": "image/png", "fileUri": "https://example.org/4711.png"}}]}]},
        "cohere": _openai_user(
            {"type": "image_url", "image_url": {"url": "https://example.org/4711.png"}}),
    }),
    Feature("document (PDF)", (_PIXEL,), {
        "bedrock": _bedrock_user(
            {"document": {"format": "pdf", "name": "a", "source": {"bytes": _PIXEL}}}),
        "openai": _openai_user(
            {"type": "file", "file": {"filename": "a.pdf", "file_data": _PDF}}),
        "responses": _items({"type": "input_file", "filename": "a.pdf", "file_data": _PDF}),
        "anthropic": _openai_user({"type": "document", "source": {
            "type": "base64", "media_type": "application/pdf", "data": _PIXEL}}),
        "gemini": {"contents": [{"parts": [
            {"inlineData": {"mimeType": "application/pdf", "data": _PIXEL}}]}]},
    }),
    Feature("sound", (_PIXEL,), {
        "bedrock": _bedrock_user({"audio": {"format": "wav", "source": {"bytes": _PIXEL}}}),
        "openai": _openai_user(
            {"type": "input_audio", "input_audio": {"data": _PIXEL, "format": "wav"}}),
        "gemini": {"contents": [{"parts": [
            {"inlineData": {"mimeType": "audio/wav", "data": _PIXEL}}]}]},
    }),
    Feature("tools", ('"marked":{"type":"string"}',), _tools()),
    Feature("strict tools", ('"strict":true', '"strict_tools":true', "VALIDATED"), {
        "openai": {"tools": [{"type": "function", "function": {
            "name": "marked", "parameters": _SCHEMA, "strict": True}}]},
        "responses": {"tools": [{
            "type": "function", "name": "marked", "parameters": _SCHEMA, "strict": True}]},
        "anthropic": {"tools": [{"name": "marked", "input_schema": _SCHEMA, "strict": True}]},
        "gemini": _tools(gemini={"toolConfig": {
            "functionCallingConfig": {"mode": "VALIDATED"}}})["gemini"],
        "cohere": {**_tools()["cohere"], "strict_tools": True},
        "bedrock": _bedrock_tools(strict=True),
    }),
    Feature("tool choice: required", ('"required"', '"any"', "ANY", "REQUIRED"), _tools(
        openai={"tool_choice": "required"},
        responses={"tool_choice": "required"},
        anthropic={"tool_choice": {"type": "any"}},
        gemini={"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        cohere={"tool_choice": "REQUIRED"},
        bedrock=_bedrock_tools({"any": {}}),
    )),
    Feature("tool choice: one by name", (
        '"name":"marked"}', '["marked"]', '"tool_choice":"REQUIRED"',
    ), _tools(
        openai={"tool_choice": {"type": "function", "function": {"name": "marked"}}},
        responses={"tool_choice": {"type": "function", "name": "marked"}},
        anthropic={"tool_choice": {"type": "tool", "name": "marked"}},
        gemini={"toolConfig": {"functionCallingConfig": {
            "mode": "ANY", "allowedFunctionNames": ["marked"]}}},
        bedrock=_bedrock_tools({"tool": {"name": "marked"}}),
    )),
    Feature("tool choice: none", ('"none"', "NONE"), _tools(
        openai={"tool_choice": "none"},
        responses={"tool_choice": "none"},
        anthropic={"tool_choice": {"type": "none"}},
        gemini={"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
        cohere={"tool_choice": "NONE"},
    )),
    Feature("no parallel calls", (
        '"parallel_tool_calls":false', '"disable_parallel_tool_use":true',
    ), _tools(
        openai={"parallel_tool_calls": False},
        responses={"parallel_tool_calls": False},
        anthropic={"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    )),
    Feature("calls and results", ("told4711",), _conversation(failed=False)),
    Feature("results that failed", (
        '"is_error":true', '{"error":"told4711"}', '"status":"error"',
    ), _conversation(failed=True)),
    Feature("temperature, top_p", ("0.4711",), {
        "openai": {"temperature": 0.5, "top_p": 0.4711},
        "responses": {"temperature": 0.5, "top_p": 0.4711},
        "anthropic": {"top_p": 0.4711},
        "gemini": _gemini_config(temperature=0.5, topP=0.4711),
        "cohere": {"temperature": 0.5, "p": 0.4711},
        "bedrock": _inference(temperature=0.5, topP=0.4711),
    }),
    Feature("temperature above 1", ("1.4711",), {
        "openai": {"temperature": 1.4711},
        "responses": {"temperature": 1.4711},
        "gemini": _gemini_config(temperature=1.4711),
        "cohere": {"temperature": 1.4711},
    }),
    Feature("top_k", ("471",), {
        "anthropic": {"top_k": 471},
        "gemini": _gemini_config(topK=471),
        "cohere": {"k": 471},
        "bedrock": {"additionalModelRequestFields": {"top_k": 471}},
    }),
    Feature("stop sequences", ("stop4711",), {
        "openai": {"stop": ["stop4711"]},
        "anthropic": {"stop_sequences": ["stop4711"]},
        "gemini": _gemini_config(stopSequences=["stop4711"]),
        "cohere": {"stop_sequences": ["stop4711"]},
        "bedrock": _inference(stopSequences=["stop4711"]),
    }),
    Feature("seed", ("4711",), {
        "openai": {"seed": 4711}, "gemini": _gemini_config(seed=4711), "cohere": {"seed": 4711},
    }),
    Feature("penalties", ("0.4711",), {
        "openai": {"presence_penalty": 0.4711},
        "gemini": _gemini_config(presencePenalty=0.4711),
        "cohere": {"presence_penalty": 0.4711},
    }),
    Feature("several answers", ('"n":2', '"candidateCount":2'), {
        "openai": {"n": 2}, "gemini": _gemini_config(candidateCount=2)}),
    Feature("log probabilities", (
        '"logprobs":true', '"responseLogprobs":true', "message.output_text.logprobs",
    ), {
        "responses": {"include": ["message.output_text.logprobs"]},
        "openai": {"logprobs": True}, "gemini": _gemini_config(responseLogprobs=True),
        "cohere": {"logprobs": True},
    }),
    Feature("logit bias", ("4711",), {"openai": {"logit_bias": {"4711": 1}}}),
    Feature("JSON mode", ("json_object", "application/json"), {
        "openai": {"response_format": {"type": "json_object"}},
        "responses": {"text": {"format": {"type": "json_object"}}},
        "gemini": _gemini_config(responseMimeType="application/json"),
        "cohere": {"response_format": {"type": "json_object"}},
    }),
    Feature("answer by JSON schema", (
        '"marked":{"type":"string"}', r'\"marked\":{\"type\":\"string\"}',
    ), {
        "responses": {"text": {"format": {
            "type": "json_schema", "name": "n", "schema": _SCHEMA}}},
        "bedrock": {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {
            "jsonSchema": {"schema": orjson.dumps(_SCHEMA).decode()}}}}},
        "openai": {"response_format": {
            "type": "json_schema", "json_schema": {"name": "n", "schema": _SCHEMA}}},
        "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}},
        "gemini": _gemini_config(responseMimeType="application/json", responseJsonSchema=_SCHEMA),
        "cohere": {"response_format": {"type": "json_object", "json_schema": _SCHEMA}},
    }),
    Feature("thinking: effort in words", (
        '"low"', '"thinkingBudget":1024', '"token_budget":1024',
    ), {
        "responses": {"reasoning": {"effort": "low"}},
        "openai": {"reasoning_effort": "low"},
        "gemini": _gemini_config(thinkingConfig={"thinkingLevel": "low"}),
    }),
    Feature("thinking: budget of tokens", ("4711",), {
        "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 4711}},
        "gemini": _gemini_config(thinkingConfig={"thinkingBudget": 4711}),
        "cohere": {"thinking": {"type": "enabled", "token_budget": 4711}},
        "bedrock": {"additionalModelRequestFields": {
            "thinking": {"type": "enabled", "budget_tokens": 4711}}},
    }),
    Feature("thinking: none", ('"disabled"', '"thinkingBudget":0', '"effort":"none"', '"none"'), {
        "openai": {"reasoning_effort": "none"},
        "responses": {"reasoning": {"effort": "none"}},
        "anthropic": {"thinking": {"type": "disabled"}},
        "gemini": _gemini_config(thinkingConfig={"thinkingBudget": 0}),
        "cohere": {"thinking": {"type": "disabled"}},
        "bedrock": {"additionalModelRequestFields": {"thinking": {"type": "disabled"}}},
    }),
    Feature("thinking: to be read", (
        '"type":"enabled"', '"summary":"auto"', '"includeThoughts":true',
    ), {
        "responses": {"reasoning": {"summary": "auto"}},
        "gemini": _gemini_config(thinkingConfig={"includeThoughts": True}),
    }),
    Feature("how long an answer shall be", ('"verbosity":"low"',), {
        "openai": {"verbosity": "low"}, "responses": {"text": {"verbosity": "low"}}}),
    Feature("how closely to look", ('"detail":"low"',), {
        "openai": _openai_user({"type": "image_url", "image_url": {
            "url": f"data:image/png;base64,{_PIXEL}", "detail": "low"}}),
        "responses": _items({"type": "input_image", "detail": "low",
                             "image_url": f"data:image/png;base64,{_PIXEL}"}),
    }),
    Feature("cache control", ("ephemeral", "cachePoint"), {
        "bedrock": {"system": [{"text": "s"}, {"cachePoint": {"type": "default"}}]},
        "anthropic": {"system": [
            {"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
        "gemini": {"cachedContent": "ephemeral"},
    }),
    Feature("end user's id", ("u4711",), {
        "openai": {"user": "u4711"}, "responses": {"user": "u4711"},
        "anthropic": {"metadata": {"user_id": "u4711"}},
        "bedrock": {"requestMetadata": {"user": "u4711"}},
    }),
    Feature("tools of the provider", ("4711",), {
        "responses": {"tools": [{"type": "web_search", "search_context_size": "4711"}]},
        "openai": {"web_search_options": {"search_context_size": "4711"}},
        "anthropic": {"tools": [{"type": "web_search_4711", "name": "web_search"}]},
        "gemini": {"tools": [{"googleSearch": {"marked": "4711"}}]},
        "bedrock": {"toolConfig": {"tools": [{"systemTool": {"name": "search_4711"}}]}},
    }),
    Feature("safety settings", ("4711",), {
        "gemini": {"safetySettings": [{"category": "4711"}]}, "cohere": {"safety_mode": "4711"},
        "bedrock": {"guardrailConfig": {"guardrailIdentifier": "4711"}},
    }),
    Feature("documents to cite", ("doc4711",), {"cohere": {"documents": ["doc4711"]}}),
)  # fmt: skip

PLAIN: Final[Mapping[str, Overlay]] = {
    "openai": {"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "q"}]},
    "responses": {"model": "m", "input": "q"},
    "anthropic": {"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "q"}]},
    "gemini": {"model": "m", "contents": [{"parts": [{"text": "q"}]}], **_gemini_config()},
    "cohere": {"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "q"}]},
    "bedrock": {"model": "m", **_bedrock_user({"text": "q"}), **_inference()},
}

_OPENAI_USAGE: Final = {"prompt_tokens": 20, "completion_tokens": 9}
_ANTHROPIC_USAGE: Final = {"input_tokens": 20, "output_tokens": 9}
_GEMINI_USAGE: Final = {"promptTokenCount": 20, "candidatesTokenCount": 9}
_BEDROCK_USAGE: Final = {"inputTokens": 20, "outputTokens": 9}


def _openai_answer(
    finish: str = "stop", usage: Overlay | None = None, **message: Any
) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "a", **message}}
    return {"choices": [{**choice, "finish_reason": finish}], "usage": usage or _OPENAI_USAGE}


def _response(*items: Overlay, usage: Overlay | None = None, **more: Any) -> dict[str, Any]:
    output = list(items) or [_message({"type": "output_text", "text": "a"})]
    told = usage or {"input_tokens": 20, "output_tokens": 9}
    return {"status": "completed", "output": output, "usage": told, **more}


def _message(*parts: Overlay) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(parts)}


def _anthropic_answer(
    *blocks: Overlay, stop: str = "end_turn", usage: Overlay | None = None
) -> dict[str, Any]:
    content = list(blocks) or [{"type": "text", "text": "a"}]
    return {"content": content, "stop_reason": stop, "usage": usage or _ANTHROPIC_USAGE}


def _gemini_answer(
    *parts: Overlay, finish: str = "STOP", usage: Overlay | None = None, **candidate: Any
) -> dict[str, Any]:
    content = {"parts": list(parts) or [{"text": "a"}]}
    told = {"content": content, "finishReason": finish, **candidate}
    return {"candidates": [told], "usageMetadata": usage or _GEMINI_USAGE}


def _bedrock_answer(
    *blocks: Overlay, stop: str = "end_turn", usage: Overlay | None = None
) -> dict[str, Any]:
    message = {"content": list(blocks) or [{"text": "a"}]}
    return {"output": {"message": message}, "stopReason": stop, "usage": usage or _BEDROCK_USAGE}


def _cohere_answer(
    *parts: Overlay, finish: str = "COMPLETE", usage: Overlay | None = None, **message: Any
) -> dict[str, Any]:
    content = list(parts) or [{"type": "text", "text": "a"}]
    told = {"billed_units": _ANTHROPIC_USAGE, **(usage or {})}
    said = {"role": "assistant", "content": content, **message}
    return {"id": "i", "finish_reason": finish, "message": said, "usage": told}


_CALL: Final = {"id": "c1", "type": "function", "function": {"name": "f4711", "arguments": "{}"}}

ANSWERS: Final = (
    Feature("text", ("a4711",), {
        "openai": _openai_answer(content="a4711"),
        "responses": _response(_message({"type": "output_text", "text": "a4711"})),
        "anthropic": _anthropic_answer({"type": "text", "text": "a4711"}),
        "gemini": _gemini_answer({"text": "a4711"}),
        "bedrock": _bedrock_answer({"text": "a4711"}),
        "cohere": _cohere_answer({"type": "text", "text": "a4711"}),
    }),
    Feature("tool calls", ("f4711",), {
        "openai": _openai_answer("tool_calls", tool_calls=[_CALL]),
        "responses": _response({
            "type": "function_call", "call_id": "c1", "name": "f4711", "arguments": "{}"}),
        "anthropic": _anthropic_answer(
            {"type": "tool_use", "id": "c1", "name": "f4711", "input": {}}, stop="tool_use"),
        "gemini": _gemini_answer({"functionCall": {"name": "f4711", "args": {}}}),
        "bedrock": _bedrock_answer(
            {"toolUse": {"toolUseId": "c1", "name": "f4711", "input": {}}}, stop="tool_use"),
        "cohere": _cohere_answer(tool_calls=[_CALL], finish="TOOL_CALL"),
    }),
    Feature("cut at the cap", (
        '"length"', '"max_tokens"', "MAX_TOKENS", '{"reason":"max_output_tokens"}',
    ), {
        "responses": _response(
            status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        "openai": _openai_answer("length"),
        "anthropic": _anthropic_answer(stop="max_tokens"),
        "gemini": _gemini_answer(finish="MAX_TOKENS"),
        "bedrock": _bedrock_answer(stop="max_tokens"),
        "cohere": _cohere_answer(finish="MAX_TOKENS"),
    }),
    Feature("filtered", ("content_filter", '"refusal"', "SAFETY", "ERROR_TOXIC", "content_filtered",
                         "guardrail_intervened"), {
        "openai": _openai_answer("content_filter"),
        "responses": _response(
            status="incomplete", incomplete_details={"reason": "content_filter"}),
        "anthropic": _anthropic_answer(stop="refusal"),
        "gemini": _gemini_answer(finish="SAFETY"),
        "bedrock": _bedrock_answer(stop="guardrail_intervened"),
        "cohere": _cohere_answer(finish="ERROR_TOXIC"),
    }),
    Feature("refusal", ("no4711",), {
        "responses": _response(_message({"type": "refusal", "refusal": "no4711"})),
        "openai": _openai_answer(content=None, refusal="no4711")}),
    Feature("thoughts", ("hm4711",), {
        "openai": _openai_answer(reasoning_content="hm4711"),
        "responses": _response(
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm4711"}]}),
        "anthropic": _anthropic_answer(
            {"type": "thinking", "thinking": "hm4711", "signature": "s"},
            {"type": "text", "text": "a"}),
        "gemini": _gemini_answer({"text": "hm4711", "thought": True}, {"text": "a"}),
        "bedrock": _bedrock_answer(
            {"reasoningContent": {"reasoningText": {"text": "hm4711"}}}, {"text": "a"}),
        "cohere": _cohere_answer(
            {"type": "thinking", "thinking": "hm4711"}, {"type": "text", "text": "a"}),
    }),
    Feature("usage: cached tokens", (
        '"cacheReadInputTokens":7',
        '"cached_tokens":7', '"cache_read_input_tokens":7', '"cachedContentTokenCount":7',
    ), {
        "openai": _openai_answer(
            usage={**_OPENAI_USAGE, "prompt_tokens_details": {"cached_tokens": 7}}),
        "responses": _response(usage={
            "input_tokens": 20, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 7}}),
        "anthropic": _anthropic_answer(usage={**_ANTHROPIC_USAGE, "cache_read_input_tokens": 7}),
        "gemini": _gemini_answer(usage={**_GEMINI_USAGE, "cachedContentTokenCount": 7}),
        "bedrock": _bedrock_answer(usage={**_BEDROCK_USAGE, "cacheReadInputTokens": 7}),
        "cohere": _cohere_answer(usage={"cached_tokens": 7}),
    }),
    Feature("usage: reasoning tokens", (
        '"reasoning_tokens":6', '"thoughtsTokenCount":6', '"thinking_tokens":6',
    ), {
        "openai": _openai_answer(
            usage={**_OPENAI_USAGE, "completion_tokens_details": {"reasoning_tokens": 6}}),
        "responses": _response(usage={
            "input_tokens": 20, "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 6}}),
        "anthropic": _anthropic_answer(
            usage={**_ANTHROPIC_USAGE, "output_tokens_details": {"thinking_tokens": 6}}),
        "gemini": _gemini_answer(usage={**_GEMINI_USAGE, "thoughtsTokenCount": 6}),
    }),
    Feature("log probabilities", ("l4711",), {
        "openai": {"choices": [{
            "index": 0, "message": {"content": "a"}, "finish_reason": "stop",
            "logprobs": {"content": [{"token": "l4711", "logprob": -0.5}]}}]},
        "responses": _response(_message({"type": "output_text", "text": "a", "logprobs": [
            {"token": "l4711", "logprob": -0.5, "top_logprobs": []}]})),
        "gemini": _gemini_answer(logprobsResult={
            "chosenCandidates": [{"token": "l4711", "logProbability": -0.5}]}),
        "cohere": {**_cohere_answer(), "logprobs": [{"text": "l4711", "token_ids": [1]}]},
    }),
    Feature("citations", ("k4711",), {
        "openai": _openai_answer(annotations=[{"type": "url_citation", "url": "k4711"}]),
        "anthropic": _anthropic_answer(
            {"type": "text", "text": "a", "citations": [{"cited_text": "k4711"}]}),
        "gemini": _gemini_answer(groundingMetadata={"webSearchQueries": ["k4711"]}),
        "cohere": _cohere_answer(citations=[{"text": "k4711", "sources": []}]),
    }),
)  # fmt: skip


def request_outcome(feature: Feature, client: str, provider: str) -> str:
    """What becomes of a feature of a request on its way to a provider."""
    overlay = feature.asked.get(client)
    if overlay is None:
        return "–"
    dialect, endpoint, _ = CLIENTS[client]
    try:
        asked = DIALECTS[dialect].read_request(endpoint, {**PLAIN[client], **overlay})
    except RequestError:
        return "refused"
    for drop, otherwise in ((False, ""), (True, "droppable")):
        try:
            sent, dropped = _write(asked, provider, drop=drop)
        except RequestError:
            continue
        kept = _kept(feature, sent)
        return otherwise or ("listed" if kept == "lossy" and dropped else kept)
    return "refused"


def _write(asked: LlmRequest, provider: str, *, drop: bool) -> tuple[Any, tuple[str, ...]]:
    way = translator(asked.dialect, provider, asked.endpoint)
    return write(way, asked, provider, "m", 9000, drop=drop)


def answer_outcome(feature: Feature, client: str, provider: str) -> str:
    """What becomes of a feature of an answer on its way to a client."""
    dialect, endpoint, _ = CLIENTS[client]
    document = feature.asked.get(_language(dialect, endpoint, provider))
    if document is None:
        return "–"
    release = translator(dialect, provider, endpoint).answer({**document}, b"")
    return "refused" if release.document is None else _kept(feature, release.document)


def _language(dialect: str, endpoint: str, provider: str) -> str:
    """In which of the languages below a provider answers."""
    if provider == "openai:responses" or (endpoint == "responses" and provider == "openai"):
        return "responses"
    return {"vertex": "gemini", "openai:chat": "openai"}.get(provider, provider)


def _kept(feature: Feature, document: Any) -> str:
    text = orjson.dumps(document).decode()
    return "full" if any(mark in text for mark in feature.kept) else "lossy"


def page() -> str:
    """The whole page."""
    return "\n".join((INTRODUCTION, *_tables(), NOTES))


def _tables() -> Iterator[str]:
    for client, (_, _, title) in CLIENTS.items():
        yield f"## Clients of {title}\n"
        yield "What a client asks for, and who can be told:\n"
        yield from _table(client, REQUESTS, request_outcome)
        yield "What a provider answers, and what of it the client reads:\n"
        yield from _table(client, ANSWERS, answer_outcome)


def _table(client: str, features: tuple[Feature, ...], outcome: Any) -> Iterator[str]:
    providers = columns(client)
    yield f"| feature | {' | '.join(providers)} |"
    yield "|---" * (len(providers) + 1) + "|"
    for feature in features:
        cells = [outcome(feature, client, provider) for provider in providers]
        if set(cells) != {"–"}:
            yield f"| {feature.name} | {' | '.join(cells)} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(page())
