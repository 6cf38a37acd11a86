"""The simulators behave as the providers do, as the providers' own SDKs see them."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import orjson
import pytest
from anthropic.types import message_create_params
from openai.types.chat import completion_create_params

from gateway_simulators import (
    Simulator,
    ThreadedSimulator,
    anthropic_checks,
    completion_tokens,
    openai_checks,
    prompt_tokens,
)
from gateway_simulators.answers import Call

KEY = "sk-simulated-0123456789"
USER = [{"role": "user", "content": "Hello there"}]
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]
BOTH = [{"role": "user", "content": "The weather in both Paris and Rome?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
ANTHROPIC_TOOLS = [{"name": "get_weather", "input_schema": SCHEMA}]
OPENAI_HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
ANTHROPIC_HEADERS = {
    "x-api-key": KEY,
    "anthropic-version": "2023-06-01",
    "content-type": "application/json",
}


@pytest.fixture
async def oai() -> AsyncIterator[Simulator]:
    async with Simulator("openai", key=KEY) as simulator:
        yield simulator


@pytest.fixture
async def ant() -> AsyncIterator[Simulator]:
    async with Simulator("anthropic", key=KEY) as simulator:
        yield simulator


# The SDKs' parameters are typed dictionaries of literals; plain dictionaries read better.
@pytest.fixture
async def oai_sdk(oai: Simulator) -> AsyncIterator[Any]:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{oai.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
async def ant_sdk(ant: Simulator) -> AsyncIterator[Any]:
    """Sends the key as x-api-key: version 2.12 of the SDK sends a bearer token by itself."""
    headers: Any = {"x-api-key": KEY, "Authorization": anthropic.Omit()}
    async with anthropic.AsyncAnthropic(
        api_key=KEY, base_url=ant.url, max_retries=0, default_headers=headers
    ) as client:
        yield client


async def post(
    simulator: Simulator, document: object, headers: dict[str, str] | None = None
) -> httpx.Response:
    """A raw request to the simulator's only path."""
    openai_shaped = simulator.shape.name == "openai"
    headers = headers or (OPENAI_HEADERS if openai_shaped else ANTHROPIC_HEADERS)
    content = document if isinstance(document, bytes) else orjson.dumps(document)
    async with httpx.AsyncClient() as client:
        return await client.post(
            simulator.url + simulator.shape.path, content=content, headers=headers
        )


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": USER} | more


def message(**more: Any) -> dict[str, Any]:
    return {"model": "claude-x", "messages": USER, "max_tokens": 100} | more


# ------------------------------------------------------------------ OpenAI's SDK


async def test_openai_sdk_chat_answers_and_counts(oai_sdk: Any) -> None:
    answer = await oai_sdk.chat.completions.create(**chat())
    assert answer.choices[0].message.content == "You said: Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == prompt_tokens(["Hello there"]) == 6
    assert answer.usage.completion_tokens == completion_tokens("You said: Hello there")
    assert answer._request_id.startswith("req_")


async def test_openai_sdk_stream_joins_to_the_same_text(oai_sdk: Any) -> None:
    stream = await oai_sdk.chat.completions.create(
        **chat(stream=True, stream_options={"include_usage": True})
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "You said: Hello there"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 6 + completion_tokens(text)
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_openai_stream_has_no_usage_unless_asked(oai: Simulator) -> None:
    answer = await post(oai, chat(stream=True))
    assert b'"usage"' not in answer.content
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize(("messages", "cities"), [(WEATHER, ["Paris"]), (BOTH, ["Paris", "Rome"])])
async def test_openai_sdk_tools(oai_sdk: Any, messages: Any, cities: list[str]) -> None:
    client = oai_sdk
    answer = await client.chat.completions.create(**chat(messages=messages, tools=OPENAI_TOOLS))
    calls = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [orjson.loads(c.function.arguments) for c in calls] == [{"city": c} for c in cities]
    expected = [Call(c.function.name, c.function.arguments) for c in calls]
    assert answer.usage.completion_tokens == completion_tokens("", expected)
    results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in calls]
    turn = answer.choices[0].message.model_dump(exclude_none=True, exclude={"annotations"})
    final = await client.chat.completions.create(
        **chat(messages=[*messages, turn, *results], tools=OPENAI_TOOLS)
    )
    assert final.choices[0].message.content == "The tool said: " + "; ".join(["sunny"] * len(calls))


async def test_openai_sdk_streams_tool_calls_in_pieces(oai_sdk: Any) -> None:
    async with oai_sdk.chat.completions.stream(**chat(messages=BOTH, tools=OPENAI_TOOLS)) as stream:
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"city":"Paris"}', '{"city":"Rome"}']
    assert final.choices[0].finish_reason == "tool_calls"


async def test_openai_sdk_sees_the_providers_errors(oai_sdk: Any) -> None:
    with pytest.raises(openai.AuthenticationError) as wrong_key:
        await oai_sdk.with_options(api_key="sk-wrong-0123456789").chat.completions.create(**chat())
    assert wrong_key.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as no_model:
        await oai_sdk.chat.completions.create(**chat(model="unknown-model"))
    assert no_model.value.code == "model_not_found"


# --------------------------------------------------------------- Anthropic's SDK


async def test_anthropic_sdk_message_answers_and_counts(ant_sdk: Any) -> None:
    answer = await ant_sdk.messages.create(**message(system="Be kind."))
    assert answer.content[0].text == "You said: Hello there"
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens == prompt_tokens(["Be kind.", "Hello there"])
    assert answer.usage.output_tokens == completion_tokens("You said: Hello there")


async def test_anthropic_sdk_stream_joins_to_the_same_text(ant_sdk: Any) -> None:
    async with ant_sdk.messages.stream(**message()) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == "You said: Hello there"
    assert final.usage.output_tokens == completion_tokens(text)


async def test_anthropic_stream_names_every_event(ant: Simulator) -> None:
    answer = await post(ant, message(stream=True))
    names = re.findall(r"event: (\w+)", answer.text)
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(names[3:-3]) == {"content_block_delta"}


async def test_anthropic_sdk_tools(ant_sdk: Any) -> None:
    client = ant_sdk
    async with client.messages.stream(**message(messages=BOTH, tools=ANTHROPIC_TOOLS)) as stream:
        first = await stream.get_final_message()
    assert first.stop_reason == "tool_use"
    assert [block.input for block in first.content] == [{"city": "Paris"}, {"city": "Rome"}]
    whole = await client.messages.create(**message(messages=BOTH, tools=ANTHROPIC_TOOLS))
    assert [block.input for block in whole.content] == [block.input for block in first.content]
    calls = [
        {"type": "tool_use", "id": b.id, "name": b.name, "input": b.input} for b in first.content
    ]
    results = [
        {"type": "tool_result", "tool_use_id": b.id, "content": "sunny"} for b in first.content
    ]
    turns = [
        *BOTH,
        {"role": "assistant", "content": calls},
        {"role": "user", "content": results},
    ]
    final = await client.messages.create(**message(messages=turns, tools=ANTHROPIC_TOOLS))
    assert final.content[0].text == "The tool said: sunny; sunny"


async def test_anthropic_sdk_sees_the_providers_errors(ant_sdk: Any) -> None:
    with pytest.raises(anthropic.AuthenticationError):
        await ant_sdk.with_options(default_headers={"x-api-key": "sk-wrong"}).messages.create(
            **message()
        )
    with pytest.raises(anthropic.NotFoundError) as error:
        await ant_sdk.messages.create(**message(model="unknown-model"))
    body: Any = error.value.body
    assert body["error"]["type"] == "not_found_error"
    assert body["request_id"].startswith("req_")


# ------------------------------------------------------------------- the checks


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"{", None),
        (chat(messages=[]), "empty_array"),
        ({"model": "gpt-4o"}, "missing_required_parameter"),
        (chat(messages=[{"role": "robot", "content": "x"}]), "invalid_value"),
        (chat(messages=[{"role": "user", "content": [{"type": "text"}]}]), None),
        (chat(messages=[{"role": "tool", "content": "x", "tool_call_id": "c"}]), None),
        (chat(top_k=3), "unknown_parameter"),
        (chat(max_tokens=0), "integer_below_min_value"),
        (chat(max_tokens="5"), "invalid_type"),
        (chat(temperature=3), "decimal_out_of_range"),
        (chat(tools=[{"name": "x", "input_schema": {}}]), None),
        (chat(stream_options={"include_usage": True}), None),
        (chat(tool_choice="auto"), None),
        (chat(stop=[1]), "invalid_type"),
    ],
)
async def test_openai_refuses_a_bad_body(oai: Simulator, document: Any, code: str | None) -> None:
    answer = await post(oai, document)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert code is None or error["code"] == code
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("document", "begins"),
    [
        (b"{", "The request body"),
        ({"model": "c", "messages": USER}, "max_tokens: Field required"),
        (message(max_tokens=1.5), "max_tokens:"),
        (message(messages=[]), "messages:"),
        (message(messages=[{"role": "tool", "content": "x"}]), "messages.0.role:"),
        (message(messages=[{"role": "user", "content": ""}]), "messages.0:"),
        (message(messages=[{"role": "user", "content": "x", "name": "n"}]), "messages.0.name:"),
        (message(stream_options={"include_usage": True}), "stream_options: Extra"),
        (message(temperature=1.5), "temperature:"),
        (message(tools=OPENAI_TOOLS), "tools.0:"),
        (message(tool_choice={"type": "auto"}), "tool_choice:"),
        (
            message(
                messages=[
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}
                ]
            ),
            "messages.0.content: unexpected",
        ),
    ],
)
async def test_anthropic_refuses_a_bad_body(ant: Simulator, document: Any, begins: str) -> None:
    answer = await post(ant, document)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["message"].startswith(begins)


def test_the_known_fields_hold_all_that_the_sdks_send() -> None:
    openai_sends = completion_create_params.CompletionCreateParamsBase.__annotations__
    anthropic_sends = message_create_params.MessageCreateParamsBase.__annotations__
    assert set(openai_sends) <= openai_checks.FIELDS
    assert set(anthropic_sends) <= anthropic_checks.FIELDS


async def test_anthropic_requires_its_version_header(ant: Simulator) -> None:
    headers = {k: v for k, v in ANTHROPIC_HEADERS.items() if k != "anthropic-version"}
    answer = await post(ant, message(), headers)
    assert answer.status_code == 400
    assert "anthropic-version" in answer.json()["error"]["message"]


async def test_path_method_and_media_type_are_checked(oai: Simulator) -> None:
    async with httpx.AsyncClient(base_url=oai.url, headers=OPENAI_HEADERS) as client:
        assert (await client.post("/v1/messages")).status_code == 404
        assert (await client.get("/v1/chat/completions")).status_code == 405
        wrong = await client.post(
            "/v1/chat/completions", content=b"{}", headers={"content-type": "text/plain"}
        )
    assert wrong.json()["error"]["code"] == "unsupported_content_type"


@pytest.mark.parametrize("name", ["cookie", "x-gateway-tenant", "x-forwarded-for", "x-api-key"])
async def test_a_header_that_must_not_arrive_is_a_violation(oai: Simulator, name: str) -> None:
    oai.faults.set(status=503)
    answer = await post(oai, chat(), OPENAI_HEADERS | {name: "secret-value"})
    assert answer.status_code == 400
    assert name in answer.json()["error"]["message"]
    assert "secret-value" not in answer.text
    assert [violation.header for violation in oai.violations] == [name]


async def test_the_callers_bearer_is_a_violation_at_anthropic(ant: Simulator) -> None:
    answer = await post(ant, message(), ANTHROPIC_HEADERS | {"authorization": "Bearer x"})
    assert answer.status_code == 400
    assert [violation.header for violation in ant.violations] == ["authorization"]


# ------------------------------------------------------------------ the answers


async def test_say_is_answered_verbatim_and_no_usage_hides_it(oai: Simulator) -> None:
    messages = [{"role": "user", "content": "no usage, say: 4111 1111 1111 1111"}]
    answer = (await post(oai, chat(messages=messages))).json()
    assert answer["choices"][0]["message"]["content"] == "4111 1111 1111 1111"
    assert "usage" not in answer


async def test_max_tokens_and_stop_end_the_answer(oai: Simulator, ant: Simulator) -> None:
    choice = (await post(oai, chat(max_completion_tokens=2))).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("You said", "length")
    cut = (await post(ant, message(max_tokens=2))).json()
    assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", 2)
    stopped = (await post(ant, message(stop_sequences=[":"]))).json()
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", ":")


async def test_the_same_request_gets_the_same_answer(oai: Simulator) -> None:
    first, second = [await post(oai, chat(n=2)) for _ in range(2)]
    assert first.content == second.content
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert [choice["index"] for choice in first.json()["choices"]] == [0, 1]


async def test_connections_are_kept_alive(oai: Simulator) -> None:
    reader, writer = await asyncio.open_connection(oai.host, oai.port)
    for _ in range(3):
        writer.write(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length.group(1)))
    writer.close()
    assert len(oai.requests) == 3


# ------------------------------------------------------------------- the faults


@pytest.mark.parametrize("status", [429, 500, 503, 529])
async def test_status_fault_has_the_providers_shape(
    oai: Simulator, ant: Simulator, status: int
) -> None:
    for simulator in (oai, ant):
        simulator.faults.set(status=status, retry_after="2", times=1)
    first = await post(oai, chat())
    assert (first.status_code, first.headers["retry-after"]) == (status, "2")
    assert "code" in first.json()["error"]
    second = await post(ant, message())
    assert second.status_code == status
    assert second.json()["type"] == "error"
    assert (await post(oai, chat())).status_code == 200
    assert [request.outcome for request in oai.requests] == ["fault", "answered"]


@pytest.mark.parametrize("kind", ["context_window", "content_policy"])
async def test_refusal_fault_is_told_in_the_providers_words(
    oai: Simulator, ant: Simulator, kind: str
) -> None:
    for simulator in (oai, ant):
        simulator.faults.set(refusal=kind)
    first, second = await post(oai, chat()), await post(ant, message())
    assert (first.status_code, second.status_code) == (400, 400)
    codes = {
        "context_window": "context_length_exceeded", "content_policy": "content_policy_violation"
    }  # fmt: skip
    assert first.json()["error"]["code"] == codes[kind]
    assert second.json()["error"]["type"] == "invalid_request_error"


async def test_silent_fault_sends_a_head_and_no_body(oai: Simulator) -> None:
    oai.faults.set(silent=True)
    for stream in (True, False):
        async with (
            httpx.AsyncClient(timeout=0.2) as client,
            client.stream(
                "POST",
                oai.url + "/v1/chat/completions",
                json=chat(stream=stream),
                headers=OPENAI_HEADERS,
            ) as answer,
        ):
            assert answer.status_code == 200
            with pytest.raises(httpx.ReadTimeout):
                await answer.aread()
        await eventually(lambda: oai.requests[-1].outcome == "client_left")


async def test_reset_fault_is_a_tcp_reset(oai: Simulator) -> None:
    oai.faults.set(reset=True)
    reader, writer = await asyncio.open_connection(oai.host, oai.port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()


async def test_hang_fault_sends_nothing_and_sees_the_client_leave(oai: Simulator) -> None:
    oai.faults.set(hang=True)
    with pytest.raises(httpx.ReadTimeout):
        async with httpx.AsyncClient(timeout=0.1) as client:
            await client.post(oai.url + "/v1/chat/completions", headers=OPENAI_HEADERS)
    await eventually(lambda: oai.requests[0].outcome == "client_left")


async def test_truncate_fault_sends_exactly_so_many_events(oai: Simulator) -> None:
    oai.faults.set(truncate_after_events=3)
    events, error = await read_events(oai, chat(stream=True))
    assert (events, type(error)) == (3, httpx.RemoteProtocolError)
    oai.faults.set(truncate_after_events=3, truncate_clean=True)
    assert await read_events(oai, chat(stream=True)) == (3, None)


async def test_truncate_fault_cuts_a_whole_answer_in_half(oai: Simulator) -> None:
    oai.faults.set(truncate_after_events=0)
    with pytest.raises(httpx.RemoteProtocolError):
        await post(oai, chat())
    oai.faults.set(truncate_after_events=0, truncate_clean=True)
    with pytest.raises(ValueError):
        (await post(oai, chat())).json()


async def test_error_event_fault_reaches_the_sdks(
    oai: Simulator, oai_sdk: Any, ant: Simulator, ant_sdk: Any
) -> None:
    for simulator in (oai, ant):
        simulator.faults.set(error_event_after=4)
    stream = await oai_sdk.chat.completions.create(**chat(stream=True))
    with pytest.raises(openai.APIError):
        [chunk async for chunk in stream]
    stream = await ant_sdk.messages.create(**message(stream=True))
    with pytest.raises(anthropic.APIStatusError):
        [event async for event in stream]


async def test_garbage_fault_is_200_and_no_json(oai: Simulator) -> None:
    oai.faults.set(garbage=True)
    answer = await post(oai, chat())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError):
        answer.json()


async def test_delays_are_kept(oai: Simulator) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    oai.faults.set(delay_ms=50)
    await post(oai, chat())
    assert loop.time() - began >= 0.05
    began = loop.time()
    oai.faults.set(chunk_delay_ms=10)
    events, _ = await read_events(oai, chat(stream=True))
    assert loop.time() - began >= 0.01 * (events - 1)


async def test_a_client_that_leaves_a_stream_is_recorded(oai: Simulator) -> None:
    oai.faults.set(chunk_delay_ms=20)
    url = oai.url + "/v1/chat/completions"
    body = orjson.dumps(chat(stream=True))
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", url, content=body, headers=OPENAI_HEADERS) as answer,
    ):
        await anext(answer.aiter_bytes())
    await eventually(lambda: oai.requests[0].outcome == "client_left")


# ------------------------------------------------------------- the HTTP interface


async def test_the_control_interface_shows_and_sets(oai: Simulator) -> None:
    await post(oai, chat())
    await post(oai, chat(), OPENAI_HEADERS | {"cookie": "a=b"})
    async with httpx.AsyncClient(base_url=f"{oai.url}/_simulator") as client:
        recorded = (await client.get("/requests")).json()["requests"]
        assert [entry["status"] for entry in recorded] == [200, 400]
        assert recorded[0]["json"] == chat()
        assert (await client.get("/violations")).json()["violations"][0]["header"] == "cookie"
        assert (await client.put("/faults", json={"status": 503})).json()["status"] == 503
        assert (await post(oai, chat())).status_code == 503
        await client.delete("/faults")
        assert (await post(oai, chat())).status_code == 200
        await client.delete("/requests")
        assert (await client.get("/requests")).json() == {"requests": []}
        mistakes: list[Any] = [{"statsu": 1}, {"status": True}, {"times": -1}, []]
        for wrong in mistakes:
            assert (await client.put("/faults", json=wrong)).status_code == 400
        assert (await client.get("/nothing")).status_code == 404


async def test_malformed_http_is_answered_and_closed(oai: Simulator) -> None:
    reader, writer = await asyncio.open_connection(oai.host, oai.port)
    writer.write(b"nonsense\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 400")
    writer.close()


def test_a_threaded_simulator_serves_sync_tests() -> None:
    with ThreadedSimulator("openai", key=KEY) as simulator:
        client: Any = openai.OpenAI(api_key=KEY, base_url=f"{simulator.url}/v1", max_retries=0)
        answer = client.chat.completions.create(**chat())
        assert answer.choices[0].message.content == "You said: Hello there"
        assert simulator.requests[0].header("host") == f"127.0.0.1:{simulator.port}"
        client.close()


def test_a_threaded_simulator_reports_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        simulator = ThreadedSimulator("openai", port=taken.getsockname()[1])
        with pytest.raises(OSError), simulator:
            pass


def test_the_command_serves_both_until_sigterm(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(KEY + "\n")
    ports = [free_port(), free_port()]
    command = [sys.executable, "-m", "gateway_simulators"]
    command += ["--openai", f"127.0.0.1:{ports[0]}", "--openai-key-file", str(key_file)]
    command += ["--anthropic", f"127.0.0.1:{ports[1]}"]
    root = Path(__file__).resolve().parents[1]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        paths = ("/v1/chat/completions", "/v1/messages")
        for port, path in zip(ports, paths, strict=True):
            assert httpx.post(f"http://127.0.0.1:{port}{path}").status_code == 401
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stdout.close()


# ---------------------------------------------------------------------- helpers


async def read_events(
    simulator: Simulator, document: dict[str, Any]
) -> tuple[int, Exception | None]:
    """How many SSE events came, and how the stream broke."""
    received = b""
    url = simulator.url + simulator.shape.path
    body = orjson.dumps(document)
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", url, content=body, headers=OPENAI_HEADERS) as answer,
    ):
        try:
            async for data in answer.aiter_bytes():
                received += data
        except httpx.HTTPError as error:
            return received.count(b"\n\n"), error
    return received.count(b"\n\n"), None


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the simulator offers no event to wait for
            await asyncio.sleep(0.01)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
