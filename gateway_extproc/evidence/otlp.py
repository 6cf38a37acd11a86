"""Spans to an OpenTelemetry collector, OTLP over gRPC.

Spans are built as the SDK's ``ReadableSpan`` and handed to its batch processor,
which queues (bounded), batches and flushes; starting and ending a span
through a tracer would cost five times as much and could not carry an id that
was given away a second ago.

The wire form is written by ``proto/gateway/v1/otlp.proto``, which says why the
official exporter cannot be used next to xds-protos.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

import grpc
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.evidence.masking import NO_MASKS, FieldMasks
from gateway_extproc.evidence.traces import error_type, span_attributes, span_name
from gateway_extproc.pb.gateway.v1 import otlp_pb2

log = logging.getLogger(__name__)

EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SCOPE: Final = "gateway_extproc"

Signal = Literal["TRACES", "LOGS"]
"""As environment variables name what is exported."""

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_ERROR, _UNSET = Status(StatusCode.ERROR), Status(StatusCode.UNSET)


class OtlpTraces:
    """Implements ``traces.Traces``; opened after the worker process was forked."""

    def __init__(
        self,
        endpoint: str,
        *,
        version: str,
        worker: int,
        environ: Mapping[str, str],
        on_loss: Callable[[int], object] | None = None,
    ) -> None:
        self._resource = resource(version, worker, environ)
        # Any: the SDK's shutdown carries no types.
        self._processor: Any = BatchSpanProcessor(
            OtlpExporter(endpoint, version=version, environ=environ, on_loss=on_loss)
        )

    def record(self, exchange: Exchange, ended_ns: int, masks: FieldMasks = NO_MASKS) -> None:
        """Queues the span of a finished exchange, if its trace is sampled."""
        trace = exchange.trace
        if trace is None or not trace.sampled:
            return
        trace_id = int(trace.trace_id, 16)
        state = TraceState.from_header([trace.state]) if trace.state else None
        parent = None
        if trace.parent_span_id:
            parent = SpanContext(trace_id, int(trace.parent_span_id, 16), True, _SAMPLED)
        self._processor.on_end(
            ReadableSpan(
                span_name(exchange, masks),
                context=SpanContext(trace_id, int(trace.span_id, 16), False, _SAMPLED, state),
                parent=parent,
                resource=self._resource,
                attributes=span_attributes(exchange, masks),
                kind=SpanKind.CLIENT,
                status=_ERROR if error_type(exchange) else _UNSET,
                start_time=exchange.started_wall_ns,
                end_time=exchange.started_wall_ns + ended_ns - exchange.started_ns,
            )
        )

    def shutdown(self) -> None:
        """Sends what is waiting; takes at most the exporter's timeout a batch."""
        self._processor.shutdown()


class OtlpExporter(SpanExporter):
    """Encodes spans and sends them in one unary call; runs on the processor's thread."""

    def __init__(
        self,
        endpoint: str,
        *,
        version: str,
        environ: Mapping[str, str],
        on_loss: Callable[[int], object] | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        self._version = version
        self._metadata = metadata(environ, "TRACES")
        self._timeout_s = timeout_s
        self._on_loss = on_loss
        self._channel = channel(endpoint, environ)
        self._export = self._channel.unary_unary(
            EXPORT,
            request_serializer=otlp_pb2.ExportTraceServiceRequest.SerializeToString,
            response_deserializer=otlp_pb2.ExportTraceServiceResponse.FromString,
        )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            # A collector that restarts is waited for, within the timeout.
            answer = self._export(
                encode(spans, self._version),
                timeout=self._timeout_s,
                metadata=self._metadata,
                wait_for_ready=True,
            )
        except grpc.RpcError as error:
            log.warning("%d spans lost: %s", len(spans), error)
            self._lose(len(spans))
            return SpanExportResult.FAILURE
        self._lose(answer.partial_success.rejected_spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._channel.close()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True

    def _lose(self, count: int) -> None:
        if count and self._on_loss is not None:
            self._on_loss(count)


def encode(spans: Sequence[ReadableSpan], version: str) -> Any:
    """Spans of one resource as an ExportTraceServiceRequest."""
    request = otlp_pb2.ExportTraceServiceRequest()
    group = request.resource_spans.add()
    add_attributes(group.resource.attributes, spans[0].resource.attributes)
    scope = group.scope_spans.add()
    scope.scope.name, scope.scope.version = SCOPE, version
    for span in spans:
        _add_span(scope.spans.add(), span)
    return request


def _add_span(message: Any, span: ReadableSpan) -> None:
    context = span.get_span_context()
    assert context is not None
    message.trace_id = context.trace_id.to_bytes(16, "big")
    message.span_id = context.span_id.to_bytes(8, "big")
    message.trace_state = context.trace_state.to_header()
    if span.parent is not None:
        message.parent_span_id = span.parent.span_id.to_bytes(8, "big")
    message.name = span.name
    message.kind = span.kind.value + 1  # OTLP has UNSPECIFIED before the SDK's first kind
    message.start_time_unix_nano = span.start_time or 0
    message.end_time_unix_nano = span.end_time or 0
    message.status.code = span.status.status_code.value
    message.flags = context.trace_flags
    add_attributes(message.attributes, span.attributes or {})


def add_attributes(messages: Any, attributes: Mapping[str, Any]) -> None:
    """Appends them as OTLP's pairs."""
    for name, value in attributes.items():
        message = messages.add()
        message.key = name
        if isinstance(value, bool):  # before int: a bool is one
            message.value.bool_value = value
        elif isinstance(value, int):
            message.value.int_value = value
        elif isinstance(value, float):
            message.value.double_value = value
        else:
            # Protobuf refuses lone surrogates; one such text must not lose the batch.
            message.value.string_value = str(value).encode("utf-8", "replace").decode()


def resource(version: str, worker: int, environ: Mapping[str, str]) -> Resource:
    """Who exports; OTEL_RESOURCE_ATTRIBUTES included."""
    return Resource.create(
        {
            "service.name": environ.get("OTEL_SERVICE_NAME", "gateway-extproc"),
            "service.version": version,
            "gateway.worker": worker,
        }
    )


def metadata(environ: Mapping[str, str], signal: Signal) -> tuple[tuple[str, str], ...]:
    """OTEL_EXPORTER_OTLP_HEADERS: ``key=value`` pairs, comma separated, values percent-encoded."""
    text = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_HEADERS") or environ.get(
        "OTEL_EXPORTER_OTLP_HEADERS", ""
    )
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return tuple((name.strip().lower(), unquote(value.strip())) for name, _, value in pairs)


def channel(endpoint: str, environ: Mapping[str, str]) -> Any:
    """A way to a collector; ``https://`` is TLS, anything else is not.

    A path is ignored: gRPC has its own.
    """
    url = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    if url.scheme != "https":
        return grpc.insecure_channel(url.netloc)
    authorities = environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE")
    roots = Path(authorities).read_bytes() if authorities else None
    return grpc.secure_channel(url.netloc, grpc.ssl_channel_credentials(roots))
