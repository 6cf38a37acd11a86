from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from evidence import samples
from gateway_extproc.core.errors import refuse
from gateway_extproc.core.exchange import TraceContext
from gateway_extproc.evidence.traces import NoTraces, open_traces, trace_context
from support.collector import Collector

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.close()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_the_exported_span_has_the_ids_that_were_sent_on(collector: Collector) -> None:
    traces = open_traces(
        collector.endpoint, version="1", worker=2,
        environ={"OTEL_EXPORTER_OTLP_HEADERS": "X-Token=a%20b"},
    )  # fmt: skip
    exchange = samples.full()
    exchange.trace = TraceContext(TRACE, "b7ad6b7169203331", SPAN, True, "vendor=1")
    traces.record(exchange, samples.ENDED_NS)
    traces.record(samples.refused_early(), samples.ENDED_NS)  # has no trace: no span
    traces.shutdown()

    (span,) = collector.spans
    assert span.trace_id.hex() == TRACE
    assert span.span_id.hex() == "b7ad6b7169203331"
    assert span.parent_span_id.hex() == SPAN
    assert span.trace_state == "vendor=1"
    assert span.name == "chat gpt-x"
    assert span.kind == 3  # CLIENT
    assert span.start_time_unix_nano == samples.STARTED_WALL_NS
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_234_567_890
    assert span.status.code == 0
    assert collector.metadata["x-token"] == "a b"
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.response.model": "gpt-x-1-0101",
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 80,
        "gen_ai.usage.cache_read.input_tokens": 20,
        "http.response.status_code": 200,
        "gateway.decision_id": "d-1",
        "gateway.tenant": "acme",
        "gateway.outcome": "allowed",
        "gateway.route": "gpt-x",
        "gateway.provider": "east",
        "gateway.attempts": 2,
        "gateway.cache_hit": True,
        "gateway.cost_nanos": 456_000,
        "gateway.processing_us": 179,
    }
    assert [secret for secret in samples.PLANTED if secret in str(collector.requests)] == []


@pytest.mark.parametrize(
    "reason", ["invalid_api_key", "incomplete_identity", "unknown_tenant", "tenant_suspended"]
)
def test_a_refusal_is_an_error_with_its_reason(collector: Collector, reason: str) -> None:
    traces = open_traces(collector.endpoint, version="1", worker=0, environ={})
    exchange = samples.refused_early()
    exchange.refusal = refuse(reason, "no")
    exchange.trace = samples.trace()
    traces.record(exchange, samples.ENDED_NS)
    traces.shutdown()
    (span,) = collector.spans
    assert span.status.code == 2  # ERROR
    assert attributes(span)["error.type"] == reason
    assert attributes(span)["gateway.reason"] == reason


def test_an_unsampled_trace_is_not_exported(collector: Collector) -> None:
    traces = open_traces(collector.endpoint, version="1", worker=0, environ={})
    exchange = samples.full()
    exchange.trace = TraceContext(TRACE, SPAN, "", False)
    traces.record(exchange, samples.ENDED_NS)
    traces.shutdown()
    assert collector.spans == []


def test_spans_that_no_collector_takes_are_told() -> None:
    from gateway_extproc.evidence.otlp import OtlpExporter

    told: list[int] = []
    exporter = OtlpExporter(
        "http://127.0.0.1:9", version="1", environ={}, on_loss=told.append, timeout_s=0.2
    )
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    exporter.export([ReadableSpan("x", SpanContext(1, 1, False))] * 3)
    exporter.shutdown()
    assert told == [3]


@pytest.mark.parametrize(
    "environ",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4317", "OTEL_SDK_DISABLED": "true"}],
)
def test_without_a_collector_there_is_nothing(environ: dict[str, str]) -> None:
    traces = open_traces(version="1", worker=0, environ=environ)
    assert isinstance(traces, NoTraces)
    traces.record(samples.full(), samples.ENDED_NS)
    traces.shutdown()


def test_the_sdk_is_not_loaded_for_those_who_want_no_spans() -> None:
    import subprocess

    code = (
        "import sys; from gateway_extproc.evidence import recorder;"
        "from gateway_extproc.evidence.traces import open_traces;"
        "open_traces(version='1', worker=0, environ={});"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'grpc'))])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr


# ------------------------------------------------------------------- trace context


def ids() -> Any:
    numbers = count(1)
    return lambda size: f"{next(numbers):0{2 * size}x}"


def context(header: str | None, state: str = "", ratio: float = 1.0) -> TraceContext:
    headers = {} if header is None else {"traceparent": header, "tracestate": state}
    return trace_context(headers, ids(), sample_ratio=ratio)


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True)])
def test_a_clients_trace_goes_on_with_a_new_span(flags: str, sampled: bool) -> None:
    found = context(f"00-{TRACE}-{SPAN}-{flags}", ratio=0.0)
    assert found == TraceContext(TRACE, f"{1:016x}", SPAN, sampled)
    assert found.traceparent == f"00-{TRACE}-{1:016x}-{'01' if sampled else '00'}"


def test_a_later_version_is_read_by_its_first_fields() -> None:
    assert context(f"cc-{TRACE}-{SPAN}-01-what-else").trace_id == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0١",
    ],
)
def test_a_malformed_parent_begins_a_new_trace(header: str | None) -> None:
    assert context(header, "vendor=1") == TraceContext(f"{1:032x}", f"{2:016x}")


def test_a_new_trace_is_sampled_by_its_ratio() -> None:
    assert context(None, ratio=1.0).sampled
    assert not context(None, ratio=0.0).sampled
    numbers = iter([f"{'0' * 18}{'8' + '0' * 13}", f"{1:016x}"])
    assert not trace_context({}, lambda _: next(numbers), sample_ratio=0.5).sampled


def test_an_id_is_never_zero() -> None:
    numbers = iter(["0" * 32, TRACE, "0" * 16, SPAN])
    assert trace_context({}, lambda _: next(numbers)) == TraceContext(TRACE, SPAN)


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("a=1,b=2", "a=1,b=2"),
        ("a=1, ,b=2 ", "a=1,b=2"),
        ("t@v=x y", "t@v=x y"),
        ("A=1", ""),
        ("a=1,a=2", ""),
        ("a", ""),
        ("a=1\x00", ""),
        ("a=" + "x" * 600, ""),
        (",".join(f"k{number}=1" for number in range(33)), ""),
    ],
)
def test_a_malformed_trace_state_is_left_behind(state: str, kept: str) -> None:
    found = context(f"00-{TRACE}-{SPAN}-01", state)
    assert (found.trace_id, found.state) == (TRACE, kept)
