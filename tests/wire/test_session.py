"""One ext_proc stream: every way out is an answer or an abort, and is recorded once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
import orjson
import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Verdict
from gateway_extproc.wire import codec
from gateway_extproc.wire.stream import StreamAborted
from support import bodies, envoy
from support.config import ANN, CAT, SECRETS
from support.parts import Bench
from support.stages import make_stage
from wire.conftest import Served

Serve = Callable[..., Any]

ASK = (envoy.request_headers(ANN), envoy.request_body(bodies.chat()))
STREAM = (envoy.request_headers(ANN), envoy.request_body(bodies.chat(stream=True)))
EVENTS = envoy.response_headers(kind="text/event-stream")


def error(reply: Any) -> tuple[int, str]:
    immediate = reply.immediate_response
    return immediate.status.code, orjson.loads(immediate.body)["error"]["code"]


async def recorded(served: Served) -> Exchange:
    await envoy.until(lambda: len(served.records) > 0)
    await asyncio.sleep(0.01)
    [exchange] = served.records
    assert served.bench.parts.load.in_flight == 0
    return exchange


async def test_the_phases_get_their_answers_in_order(served: Served) -> None:
    stream = served.stream()
    headers = await stream.ask(ASK[0])
    assert headers.WhichOneof("response") == "request_headers"
    body = await stream.ask(ASK[1])
    common = body.request_body.response
    assert orjson.loads(common.body_mutation.body)["model"] == "east-small"
    sent = envoy.headers_of(common.header_mutation)
    assert sent["authorization"] == f"Bearer {SECRETS['east']}"
    assert common.clear_route_cache
    answer = await stream.ask(envoy.response_headers())
    assert answer.WhichOneof("response") == "response_headers"
    last = await stream.ask(envoy.response_body(bodies.completion()))
    assert last.WhichOneof("response") == "response_body"
    assert await stream.read() is None
    assert await stream.status() == ("OK", "")
    exchange = await recorded(served)
    assert (exchange.outcome, exchange.response_ended) == ("allowed", True)
    assert exchange.delivered_bytes == len(bodies.completion())


async def test_the_plan_goes_into_dynamic_metadata(served: Served) -> None:
    stream = served.stream()
    await stream.ask(ASK[0])
    reply = await stream.ask(ASK[1])
    fields = reply.dynamic_metadata.fields
    groups = fields["gateway.route"].struct_value.fields["priority_groups"].list_value.values
    assert [group.struct_value.fields["name"].string_value for group in groups] == [
        "1/east",
        "2/west:fallback",
    ]
    note = fields["gateway.fallback"].struct_value.fields["original"].string_value
    assert orjson.loads(note)["document"] == orjson.loads(bodies.chat())
    log = fields["gateway"].struct_value.fields
    assert log["tenant"].string_value == "acme"
    assert len(log["decision_id"].string_value) == 32
    assert ANN not in str(reply)


async def test_a_refusal_is_the_streams_last_word(served: Served) -> None:
    stream = served.stream()
    reply = await stream.ask(envoy.request_headers("nonsense"))
    assert error(reply) == (401, "invalid_api_key")
    assert reply.immediate_response.details == "gateway_invalid_api_key"
    assert await stream.read() is None
    exchange = await recorded(served)
    assert (exchange.outcome, exchange.answer_status) == ("refused", 401)


async def test_a_request_without_body_is_decided_at_its_headers(served: Served) -> None:
    stream = served.stream()
    reply = await stream.ask(envoy.request_headers(ANN, path="/v1/models", method="GET", end=True))
    assert reply.immediate_response.status.code == 200
    assert b'"small"' in reply.immediate_response.body
    other = served.stream()
    assert error(await other.ask(envoy.request_headers(ANN, end=True))) == (400, "body_required")


async def test_a_request_without_body_may_go_to_a_provider(serve: Serve) -> None:
    """Its plan leaves with the answer to its headers, and its answer comes as it is."""
    passed = {"id": "jobs", "provider": "east", "methods": ["GET"], "paths": ["/v1/jobs"]}
    served = await serve(
        passthrough=[passed],
        roles=[{"id": "developer", "endpoints": ["passthrough:jobs"]}, {"id": "visitor"}],
    )
    stream = served.stream()
    reply = await stream.ask(envoy.request_headers(ANN, path="/v1/jobs", method="GET", end=True))
    common = reply.request_headers.response
    sent = envoy.headers_of(common.header_mutation)
    assert (sent[":path"], sent["authorization"]) == ("/v1/jobs", f"Bearer {SECRETS['east']}")
    assert sent["traceparent"]
    assert common.clear_route_cache
    assert not common.HasField("body_mutation")
    groups = reply.dynamic_metadata.fields["gateway.route"].struct_value.fields["priority_groups"]
    assert len(groups.list_value.values) == 1
    answer = await stream.ask(envoy.response_headers())
    assert answer.mode_override.response_body_mode == codec.BODY_MODES["streamed"]
    for piece, last in ((b'{"a":', False), (b"1}", True)):
        reply = await stream.ask(envoy.response_body(piece, end=last))
        assert not reply.response_body.response.HasField("body_mutation")
    exchange = await recorded(served)
    assert (exchange.outcome, exchange.delivered_bytes, exchange.usage) == ("allowed", 7, None)


# ---------------------------------------------------------------------- what must not come


@pytest.mark.parametrize(
    "messages",
    [
        (envoy.request_body(b"{}"),),
        (envoy.response_body(b"{}"),),
        (ASK[0], ASK[0]),
        (*ASK, ASK[1]),
        (*ASK, ASK[0]),
        (*ASK, envoy.response_body(b"{}")),
        (*ASK, envoy.response_headers(), envoy.response_headers()),
        (*ASK, envoy.response_headers(), ASK[1]),
        (b"",),
        (ASK[0], b""),
    ],
)
async def test_what_may_not_follow_aborts(served: Served, messages: tuple[bytes, ...]) -> None:
    assert "may not follow" in await served.stream().fails(*messages)


@pytest.mark.parametrize("before", [(), ASK[:1], ASK, (*ASK, envoy.response_headers())])
async def test_garbage_aborts(served: Served, before: tuple[bytes, ...]) -> None:
    assert "not an ext_proc message" in await served.stream().fails(*before, b"\xff\xff\xff")
    if before:
        assert (await recorded(served)).outcome == "aborted"


async def test_a_stream_without_a_message_aborts(served: Served) -> None:
    stream = served.stream()
    await stream.half_close()
    assert "before its first message" in await stream.fails()


async def test_a_partial_body_is_refused(served: Served) -> None:
    stream = served.stream()
    await stream.ask(ASK[0])
    reply = await stream.ask(envoy.request_body(bodies.chat(), end=False))
    assert error(reply) == (413, "body_too_large")
    assert await stream.read() is None


# ------------------------------------------------------------------ what goes wrong inside


def broken(phase: str) -> Callable[[Bench], None]:
    class Broken(Stage):
        name = "broken"

    async def fail(*args: Any, **more: Any) -> Verdict:
        raise ValueError("planted-4711")

    setattr(Broken, phase, fail)

    def adapt(bench: Bench) -> None:
        bench.stages.insert(6, Broken())

    return adapt


@pytest.mark.parametrize(
    ("phase", "messages"),
    [
        ("request_headers", ASK[:1]),
        ("request_body", ASK),
        ("response_headers", (*ASK, envoy.response_headers())),
        (
            "response_body",
            (*ASK, envoy.response_headers(), envoy.response_body(bodies.completion())),
        ),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_stage_that_raises_is_an_error_in_the_clients_language(
    serve: Serve, phase: str, messages: tuple[bytes, ...], path: str
) -> None:
    served = await serve(broken(phase))
    stream = served.stream()
    reply = None
    body = bodies.chat() if "chat" in path else bodies.messages()
    own = (envoy.request_headers(ANN, path=path), envoy.request_body(body))
    for message in (*own[: len(messages)], *messages[2:]):
        reply = await stream.ask(message)
    assert reply is not None
    assert reply.immediate_response.status.code == 500
    document = orjson.loads(reply.immediate_response.body)
    assert (document.get("type") == "error") is (path == "/v1/messages")
    assert "planted" not in str(reply)
    assert await stream.read() is None
    assert (await recorded(served)).outcome == "failed"


async def test_a_stage_that_raises_inside_a_stream_aborts_it(serve: Serve) -> None:
    served = await serve(broken("response_body"))
    details = await served.stream().fails(*STREAM, EVENTS, envoy.response_body(b"x", end=False))
    assert details == "gateway_error"
    assert (await recorded(served)).outcome == "failed"


class MemoryStream:
    """A stream whose every call is counted; ``abort`` raises, as it must."""

    def __init__(self, *messages: bytes) -> None:
        self.waiting = list(messages)
        self.written: list[bytes] = []
        self.aborts: list[str] = []

    async def read(self) -> bytes | None:
        return self.waiting.pop(0) if self.waiting else None

    async def write(self, message: bytes) -> None:
        self.written.append(message)

    async def abort(self, details: str) -> NoReturn:
        self.aborts.append(details)
        raise StreamAborted(details)


async def test_a_stream_is_aborted_once_and_without_a_traceback(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = await serve(broken("response_body"))
    stream = MemoryStream(*STREAM, EVENTS, envoy.response_body(b"x", end=False))
    with pytest.raises(StreamAborted):
        await served.bench.processor().serve(stream)
    assert stream.aborts == ["gateway_error"]
    assert "ext_proc response_body failed" not in caplog.text


async def test_a_peer_that_takes_no_answer_ends_the_stream_and_closes_it(served: Served) -> None:
    class Deaf(MemoryStream):
        async def write(self, message: bytes) -> None:
            raise OSError("gone")

    stream = Deaf(*ASK)
    with pytest.raises((OSError, StreamAborted)):
        await served.bench.processor().serve(stream)
    assert len(served.records) == 1
    assert served.bench.parts.load.in_flight == 0


# -------------------------------------------------------------------------- early ends

WHOLE = (*STREAM, EVENTS, envoy.response_body(bodies.completion_event("Hello " * 20), end=False))


@pytest.mark.parametrize("count", range(1, len(WHOLE) + 1))
async def test_a_client_that_leaves_is_closed_exactly_once(served: Served, count: int) -> None:
    stream = served.stream()
    for message in WHOLE[:count]:
        assert await stream.ask(message) is not None
    stream.cancel()
    exchange = await recorded(served)
    assert exchange.outcome == "aborted"
    # From the decision on a provider works for it, whether its answer has begun or not.
    assert (exchange.usage is not None) is (count >= 2)


@pytest.mark.parametrize("count", range(1, len(WHOLE) + 1))
async def test_a_half_closed_stream_is_closed_exactly_once(served: Served, count: int) -> None:
    stream = served.stream()
    for message in WHOLE[:count]:
        await stream.ask(message)
    await stream.half_close()
    assert await stream.read() is None
    assert (await recorded(served)).outcome == "aborted"


async def test_a_client_that_leaves_while_a_stage_waits_frees_its_slot(serve: Serve) -> None:
    entered = asyncio.Event()

    class Waiting(Stage):
        name = "waiting"

        async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
            entered.set()
            await asyncio.sleep(60)
            return CONTINUE

    served = await serve(lambda bench: bench.stages.insert(6, Waiting()))
    stream = served.stream()
    await stream.ask(ASK[0])
    await stream.send(ASK[1])
    await asyncio.wait_for(entered.wait(), 2)
    stream.cancel()
    assert (await recorded(served)).outcome == "aborted"


# ---------------------------------------------------------------------------- answers


async def test_a_stream_goes_through_and_is_metered(served: Served) -> None:
    stream = served.stream()
    for message in STREAM:
        await stream.ask(message)
    headers = await stream.ask(EVENTS)
    assert headers.mode_override.response_body_mode == codec.BODY_MODES["streamed"]
    out = b""
    for piece, end in ((bodies.completion_event("Hello"), False), (bodies.STREAM_END, True)):
        reply = await stream.ask(envoy.response_body(piece, end=end))
        mutation = reply.response_body.response.body_mutation
        kind = mutation.WhichOneof("mutation")
        out += {None: piece, "body": mutation.body, "clear_body": b""}[kind]
    assert b"Hello" in out
    assert out.endswith(b"data: [DONE]\n\n")
    assert await stream.read() is None
    exchange = await recorded(served)
    assert exchange.outcome == "allowed"
    assert exchange.usage is not None
    assert exchange.usage.source == "reported"
    assert exchange.delivered_bytes == len(out)


async def test_trailers_pass_unchanged(served: Served) -> None:
    stream = served.stream()
    for message in (*ASK, envoy.response_headers()):
        await stream.ask(message)
    reply = await stream.ask(envoy.response_trailers())
    assert reply.WhichOneof("response") == "response_trailers"


@pytest.mark.parametrize(
    ("path", "shape"), [("/v1/chat/completions", "error"), ("/v1/messages", "type")]
)
@pytest.mark.parametrize(
    ("status", "code"), [(413, 413), (408, 408), (400, 400), (500, 500), (503, 500)]
)
async def test_envoys_own_answer_before_the_decision_is_rewritten(
    served: Served, path: str, shape: str, status: int, code: int
) -> None:
    stream = served.stream()
    await stream.ask(envoy.request_headers(ANN, path=path))
    reply = await stream.ask(envoy.response_headers(status, "text/plain", cluster=""))
    assert reply.immediate_response.status.code == code
    assert next(iter(orjson.loads(reply.immediate_response.body))) == shape
    assert await stream.read() is None


async def test_an_answer_to_what_we_never_saw_passes(served: Served) -> None:
    stream = served.stream()
    reply = await stream.ask(envoy.response_headers(400, "text/plain", cluster=""))
    assert reply.WhichOneof("response") == "response_headers"
    assert await stream.read() is None
    assert await stream.status() == ("OK", "")
    assert served.records == []


async def test_an_answer_without_body_ends_the_stream(served: Served) -> None:
    stream = served.stream()
    for message in ASK:
        await stream.ask(message)
    reply = await stream.ask(envoy.response_headers(500, end=True))
    assert reply.immediate_response.status.code == 500
    assert await stream.read() is None


async def test_a_fallback_that_answered_is_known(served: Served) -> None:
    stream = served.stream()
    for message in ASK:
        await stream.ask(message)
    notes = {"1": "503", "2": "200"}
    await stream.ask(envoy.response_headers(cluster="west:fallback", count=2, notes=notes))
    stream.cancel()
    exchange = await recorded(served)
    assert exchange.answered_by is not None
    assert exchange.answered_by.provider == "west"
    assert [a.status for a in exchange.attempts] == [503, 200]


# --------------------------------------------------------------- upstream-level streams

FIRST = {
    ":method": "POST",
    ":path": "/v1/chat/completions",
    "authorization": f"Bearer {SECRETS['east']}",
    "x-envoy-attempt-count": "2",
}


async def note_of(served: Served) -> str:
    stream = served.stream()
    await stream.ask(ASK[0])
    fields = (await stream.ask(ASK[1])).dynamic_metadata.fields
    stream.cancel()
    note = fields["gateway.fallback"].struct_value.fields["original"].string_value
    return str(note)


async def test_a_fallback_is_made_anew(served: Served) -> None:
    note = await note_of(served)
    stream = served.stream()
    headers = await stream.ask(envoy.fallback_headers("west:fallback", note, FIRST))
    mutation = headers.request_headers.response.header_mutation
    assert envoy.headers_of(mutation)["x-api-key"] == SECRETS["west"]
    assert "authorization" in mutation.remove_headers
    body = await stream.ask(envoy.request_body(b"the body of the first attempt"))
    made = orjson.loads(body.request_body.response.body_mutation.body)
    assert made["model"] == "west-small"
    assert await stream.read() is None


@pytest.mark.parametrize("cluster", ["west:fallback", "nowhere", ""])
async def test_a_fallback_without_a_note_is_refused(served: Served, cluster: str) -> None:
    stream = served.stream()
    reply = await stream.ask(envoy.fallback_headers(cluster, "", FIRST))
    assert reply.immediate_response.status.code == 503
    assert SECRETS["west"] not in str(reply)
    assert await stream.read() is None


@pytest.mark.parametrize("note", ["not json", "[]", "{}", "null"])
async def test_a_fallback_with_a_broken_note_never_passes(served: Served, note: str) -> None:
    stream = served.stream()
    await stream.send(envoy.fallback_headers("west:fallback", note, FIRST))
    reply = None
    with contextlib.suppress(grpc.aio.AioRpcError):
        reply = await stream.read()
    refused = reply is not None and reply.HasField("immediate_response")
    code, _ = await stream.status()
    assert refused or code != "OK"


async def test_a_fallback_without_a_body_gets_no_credential(served: Served) -> None:
    """Headers alone would carry the provider's credential and whatever body Envoy has."""
    note = await note_of(served)
    stream = served.stream()
    await stream.send(envoy.fallback_headers("west:fallback", note, FIRST, end_of_stream=True))
    assert "without a request body" in await stream.fails()


async def test_a_fallback_that_ends_before_its_body_aborts(served: Served) -> None:
    note = await note_of(served)
    stream = served.stream()
    await stream.ask(envoy.fallback_headers("west:fallback", note, FIRST))
    await stream.half_close()
    assert "without the request body" in await stream.fails()


@pytest.mark.parametrize("second", [b"\xff\xff", envoy.response_headers()])
async def test_a_fallback_takes_only_a_body_for_its_body(served: Served, second: bytes) -> None:
    note = await note_of(served)
    await served.stream().fails(envoy.fallback_headers("west:fallback", note, FIRST), second)


async def test_a_request_that_names_a_cluster_is_no_fallback(served: Served) -> None:
    more = [("gateway.cluster", "west:fallback"), ("x-gateway-cluster", "west:fallback")]
    reply = await served.stream().ask(envoy.request_headers("", more=more))
    assert error(reply) == (401, "missing_api_key")


async def test_nothing_is_decided_without_a_plan(serve: Serve) -> None:
    def adapt(bench: Bench) -> None:
        bench.stages = [make_stage("only", [])]

    served = await serve(adapt)
    stream = served.stream()
    await stream.ask(ASK[0])
    assert error(await stream.ask(ASK[1])) == (500, "gateway_error")
    bare = served.stream()
    assert error(await bare.ask(envoy.request_headers(ANN, end=True))) == (500, "gateway_error")


async def test_one_target_leaves_no_note(served: Served) -> None:
    stream = served.stream()
    await stream.ask(envoy.request_headers(CAT))
    reply = await stream.ask(ASK[1])
    assert "gateway.fallback" not in reply.dynamic_metadata.fields


# -------------------------------------------------------------------- a deadline of its own

IN_A_HURRY = envoy.request_headers(ANN, more=[("x-request-timeout", "0.3")])


async def test_a_request_that_nobody_answers_in_time_is_ended(served: Served) -> None:
    """Envoy waits for nothing then, and takes an answer all the same (measured with 1.40)."""
    stream = served.stream()
    await stream.ask(IN_A_HURRY)
    await stream.ask(ASK[1])
    reply = await stream.read()
    assert reply.immediate_response.status.code == 504
    assert reply.immediate_response.details == "gateway_request_deadline_exceeded"
    stream.cancel()
    exchange = await recorded(served)
    assert exchange.outcome == "failed"
    assert [attempt.outcome for attempt in exchange.attempts] == ["no_answer"]


async def test_a_request_that_is_answered_in_time_has_no_deadline_any_more(served: Served) -> None:
    stream = served.stream()
    await stream.ask(IN_A_HURRY)
    await stream.ask(envoy.request_body(bodies.chat(stream=True)))
    await stream.ask(EVENTS)
    await asyncio.sleep(0.5)
    reply = await stream.ask(envoy.response_body(bodies.completion_event("Hi"), end=False))
    assert reply.HasField("response_body")
    stream.cancel()
