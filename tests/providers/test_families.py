"""The table of families: what each server of OpenAI's dialect is sent, and what it answers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway_extproc.config.families import FAMILIES, Differences, FamilyName, family_of
from gateway_extproc.config.load import load
from gateway_extproc.config.mistakes import ConfigError
from gateway_extproc.config.quotaheaders import headers_of
from gateway_extproc.config.routes import families_of
from gateway_extproc.core.chat import UsageReport
from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.usage import Usage
from gateway_extproc.envoyconf.noting import script
from gateway_extproc.providers.families import adapted, headers_for, path_at
from gateway_extproc.providers.openai.usage import read_usage
from gateway_extproc.providers.problems import provider_refusal
from gateway_extproc.providers.translate import translator
from providers.samples import ANTHROPIC_REQUEST, OPENAI_REQUEST, chunks, read
from support.config import document

NEW, OLD = "max_completion_tokens", "max_tokens"


def sent(family: str, **fields: Any) -> dict[str, Any]:
    asked = read("openai", {**OPENAI_REQUEST, **fields})
    way = translator("openai", "openai", "chat")
    before = orjson.dumps(asked.document)
    written = adapted(
        way.request(asked, "t", 500, force_usage=True), FAMILIES[family], asked, "openai"
    )
    assert orjson.dumps(asked.document) == before
    return dict(written)


@pytest.mark.parametrize(
    ("family", "asked", "written"),
    [
        ("openai", {}, {NEW: 500}),
        ("openai", {OLD: 9}, {OLD: 9}),
        ("openai", {NEW: 9}, {NEW: 9}),
        ("openai", {OLD: 9, NEW: 9}, {OLD: 9, NEW: 9}),
        ("azure", {}, {NEW: 500}),
        ("groq", {}, {NEW: 500}),
        ("compatible", {}, {OLD: 500}),
        ("compatible", {NEW: 9}, {NEW: 9}),
        ("vllm", {NEW: 9000}, {NEW: 500}),
        ("mistral", {NEW: 9}, {OLD: 9}),
        ("mistral", {OLD: 9, NEW: 9}, {OLD: 9}),
        ("ollama", {NEW: 9}, {OLD: 9}),
        ("deepseek", {}, {OLD: 500}),
    ],
)
def test_the_cap_has_the_spelling_that_the_server_knows(
    family: str, asked: dict[str, int], written: dict[str, int]
) -> None:
    document = sent(family, **asked)
    assert {key: document[key] for key in (OLD, NEW) if key in document} == written


def test_the_cap_of_clients_of_other_dialects_is_spelled_so_too() -> None:
    asked = read("anthropic", ANTHROPIC_REQUEST)
    way = translator("anthropic", "openai", "messages")
    for family, key in (("openai", NEW), ("mistral", OLD)):
        document = adapted(
            way.request(asked, "t", 500, force_usage=False), FAMILIES[family], asked, "openai"
        )
        assert {k: document[k] for k in (OLD, NEW) if k in document} == {key: 100}


@pytest.mark.parametrize(
    ("family", "field", "value"),
    [
        ("mistral", "logit_bias", {"5": 1}),
        ("mistral", "logprobs", True),
        ("groq", "n", 2),
        ("groq", "logprobs", True),
        ("ollama", "tool_choice", "required"),
        ("deepseek", "n", 3),
        ("deepseek", "parallel_tool_calls", False),
        ("deepseek", "seed", 0),
    ],
)
def test_what_a_server_would_ignore_is_refused_by_name(family: str, field: str, value: Any) -> None:
    with pytest.raises(RequestError) as refused:
        sent(family, **{field: value})
    refusal = refused.value.refusal
    assert (refusal.status, refusal.reason, refusal.param) == (400, "unsupported_parameter", field)


def test_what_asks_for_nothing_and_hints_are_left_out() -> None:
    document = sent(
        "mistral", logprobs=False, logit_bias={}, user="u", stream=True, seed=5,
        stream_options={"include_usage": True}, metadata={"a": "b"},
    )  # fmt: skip
    assert document == {
        "model": "t", "messages": OPENAI_REQUEST["messages"], "stream": True, "random_seed": 5,
        OLD: 500,
    }  # fmt: skip
    assert sent("groq", n=1, user="u")["user"] == "u"
    assert "n" not in sent("groq", n=1)


def test_a_developer_is_the_system_where_the_role_is_not_known() -> None:
    turns = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    assert sent("deepseek", messages=turns)["messages"][0] == {**turns[0], "role": "system"}
    assert sent("openai", messages=turns)["messages"] == turns


@pytest.mark.parametrize(
    ("url", "family", "path"),
    [
        ("https://api.openai.com/v1", "openai", "/v1/chat/completions"),
        ("https://x.openai.azure.com", "azure",
         "/openai/deployments/my%20model%2F1/chat/completions?api-version=2024-10-21"),
        ("https://x.openai.azure.com/openai/v1/", "azure-v1", "/openai/v1/chat/completions"),
        ("https://api.mistral.ai/v1", "mistral", "/v1/chat/completions"),
        ("https://api.groq.com/openai/v1", "groq", "/openai/v1/chat/completions"),
        ("https://api.together.xyz/v1", "together", "/v1/chat/completions"),
        ("https://api.deepseek.com", "deepseek", "/chat/completions"),
        ("https://openrouter.ai/api/v1", "openrouter", "/api/v1/chat/completions"),
        ("https://api.openai.com.example.org/v1", "compatible", "/v1/chat/completions"),
        ("http://vllm.internal:8000/v1", "compatible", "/v1/chat/completions"),
    ],
)  # fmt: skip
def test_a_host_tells_its_family(url: str, family: FamilyName, path: str) -> None:
    found = family_of(url, None, None)
    assert found is FAMILIES[family]
    base = url.partition("://")[2].partition("/")[2]
    base = f"/{base}" if base else ""
    assert path_at(found, base, "/chat/completions", "my model/1") == path


@pytest.mark.parametrize(
    ("family", "headers"),
    [
        ("openai", (("authorization", "Bearer s"),)),
        ("azure", (("api-key", "s"),)),
        ("portkey", (("x-portkey-api-key", "s"),)),
        ("kong", (("apikey", "s"),)),
    ],
)
def test_the_credential_stands_where_the_server_looks(
    family: str, headers: tuple[tuple[str, str], ...]
) -> None:
    assert headers_for(FAMILIES[family], "s") == headers


def test_every_field_of_a_family_can_be_said_otherwise() -> None:
    own = Differences.model_validate(
        {
            "path": "/ai{base}/{model}{interface}", "query": "version=7",
            "credential_header": "authorization", "headers": {"x-portkey-config": "pc-1"},
            "caps": ("max_tokens",), "renamed": {"seed": "random_seed"},
            "left_out": ("user",), "refused": ("n",), "lacks": ("images",),
            "developer_role": False, "checks_values": False,
        }
    )  # fmt: skip
    family = family_of("https://x.openai.azure.com", None, own)
    assert path_at(family, "/b", "/embeddings", "m") == "/ai/b/m/embeddings?version=7"
    assert headers_for(family, "s") == (("x-portkey-config", "pc-1"),
                                        ("authorization", "Bearer s"))  # fmt: skip
    assert (family.name, family.lacks) == ("azure", frozenset({"images"}))
    assert family.refused == frozenset({"n"})
    assert not family.checks_values
    assert family_of("https://api.openai.com/v1", "vllm", Differences()) == FAMILIES["vllm"]


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ({"family": "azul"}, "providers[0].family"),
        ({"differences": {"path": "/x"}}, "providers[0].differences.path"),
        ({"differences": {"path": "{interface}?a=b"}}, "providers[0].differences.path"),
        ({"differences": {"path": "{interface}{secret}"}}, "providers[0].differences.path"),
        ({"differences": {"query": "a b"}}, "providers[0].differences.query"),
        ({"differences": {"headers": {"host": "x"}}}, "providers[0].differences.headers.host"),
        ({"differences": {"headers": {"a": "b\r\nc"}}}, "providers[0].differences.headers.a"),
        ({"differences": {"caps": []}}, "providers[0].differences.caps"),
        ({"differences": {"lacks": ["poems"]}}, "providers[0].differences.lacks"),
    ],
)
def test_a_mistake_in_a_family_is_told_with_its_path(provider: dict[str, Any], path: str) -> None:
    text = document()
    text["providers"][0] |= provider
    with pytest.raises(ConfigError) as found:
        load(orjson.dumps(text).decode())
    assert any(mistake.path.startswith(path) for mistake in found.value.mistakes), (
        found.value.mistakes
    )


def test_only_servers_of_openais_dialect_have_families() -> None:
    text = document()
    text["providers"][1] |= {"family": "vllm", "differences": {"query": "a=b"}}
    with pytest.raises(ConfigError) as found:
        load(orjson.dumps(text).decode())
    assert [mistake.path for mistake in found.value.mistakes] == [
        "providers[1].family", "providers[1].differences",
    ]  # fmt: skip
    assert set(families_of(load(orjson.dumps(document()).decode()))) == {"east"}


# ------------------------------------------------------------------ what servers answer


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        # vLLM before it nested its errors
        (400, {"object": "error", "message": "too long", "type": "BadRequestError", "param": None,
               "code": 400}, ("too long", "BadRequestError", "400", None)),
        # Mistral
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "logit_bias"],
                           "msg": "Extra inputs are not permitted", "input": {}}]},
         ("Extra inputs are not permitted", "invalid_request_error", None, "logit_bias")),
        (422, {"object": "error", "message": {"detail": [{"loc": ["body", "messages", 0],
                                                          "msg": "bad role"}]},
               "type": "invalid_request_error", "param": None, "code": None},
         ("bad role", "invalid_request_error", None, "messages.0")),
        (400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model",
               "param": None, "code": "1500"}, ("Invalid model: x", "invalid_model", "1500", None)),
        # FastAPI servers
        (404, {"detail": "Not Found"}, ("Not Found", "invalid_request_error", None, None)),
        # Ollama
        (404, {"error": "model 'x' not found"}, ("model 'x' not found", "invalid_request_error",
                                                 None, None)),
        (404, {"error": {"message": "m", "type": "not_found_error", "param": None, "code": None}},
         ("m", "not_found_error", None, None)),
        # OpenRouter
        (402, {"error": {"code": 402, "message": "Insufficient credits",
                         "metadata": {"provider_name": "Somebody"}}, "user_id": "user_1"},
         ("Insufficient credits", "invalid_request_error", "402", None)),
        # LiteLLM
        (429, {"error": {"message": "slow", "type": "None", "param": "None", "code": "429"}},
         ("slow", "rate_limit_error", "429", None)),
        # Kong, Portkey, Azure API Management
        (429, {"message": "API rate limit exceeded"}, ("API rate limit exceeded",
                                                       "rate_limit_error", None, None)),
        (400, {"status": "failure", "message": "Invalid config"},
         ("Invalid config", "invalid_request_error", None, None)),
        (404, {"statusCode": 404, "message": "Resource not found"},
         ("Resource not found", "invalid_request_error", None, None)),
        # Azure's content filter
        (400, {"error": {"message": "filtered", "type": None, "param": "prompt",
                         "code": "content_filter", "status": 400,
                         "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
         ("filtered", "invalid_request_error", "content_filter", "prompt")),
        # nothing to read
        (422, {"detail": [7]}, ("The provider answered with an error.", "invalid_request_error",
                                None, None)),
        (500, {"detail": {}}, ("The provider answered with an error.", "api_error", None, None)),
    ],
)  # fmt: skip
def test_every_familys_errors_are_read(
    status: int, body: dict[str, Any], told: tuple[Any, ...]
) -> None:
    refusal = provider_refusal(status, body)
    assert (refusal.message, refusal.type, refusal.code, refusal.param) == told
    assert (refusal.status, refusal.reason) == (status, "provider_error")


def test_usage_is_read_wherever_a_family_puts_it() -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    base = {"id": "c", "object": "chat.completion.chunk", "model": "m", "created": 1}
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    for tail in (
        [{**base, "choices": [last], "x_groq": {"id": "req_1", "usage": usage}}],
        [{**base, "choices": [last], "usage": usage}],  # Mistral, DeepSeek
        [{**base, "choices": [last]}, {**base, "choices": [], "usage": {**usage, "cost": 0.1}}],
    ):
        stream = b": OPENROUTER PROCESSING\n\n" + b"".join(
            b"data: %b\n\n" % orjson.dumps(one) for one in tail
        )
        found = chunks(translator("openai", "openai", "chat").reader(), [stream])
        reports = [e for one in found for e in one.events if isinstance(e, UsageReport)]
        assert reports == [UsageReport(Usage(4, 2))]
    assert read_usage({**usage, "prompt_cache_hit_tokens": 3}) == Usage(4, 2, 3)


def test_mistral_tells_its_quota_in_headers_of_its_own() -> None:
    names = [told.remaining for told in headers_of("openai", (), "mistral")]
    assert names[0] == "x-ratelimitbysize-remaining-minute"
    assert "x-ratelimit-remaining-tokens" in names
    assert headers_of("openai", ()) == headers_of("openai", (), "vllm")
    text = document()
    text["providers"][0]["family"] = "mistral"
    config = load(orjson.dumps(text).decode())
    assert '"x-ratelimitbysize-remaining-minute"' in script(config, config.providers[0])
