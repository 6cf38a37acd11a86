"""A real OTLP/gRPC collector in the test's process."""

from __future__ import annotations

from concurrent import futures
from typing import Any

import grpc
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


class Collector:
    """An OTLP/gRPC collector that speaks the published messages, not our copy of them."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.requests: list[Any] = []
        self.log_requests: list[Any] = []
        self.refuses_logs = False
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers((self,))
        self.endpoint = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def service(self, call: Any) -> Any:
        self.metadata = dict(call.invocation_metadata)
        if call.method == LOGS:
            return grpc.unary_unary_rpc_method_handler(
                self.export_logs,
                request_deserializer=logs_service_pb2.ExportLogsServiceRequest.FromString,
            )
        assert call.method == TRACES
        return grpc.unary_unary_rpc_method_handler(
            self.export,
            request_deserializer=trace_service_pb2.ExportTraceServiceRequest.FromString,
            response_serializer=trace_service_pb2.ExportTraceServiceResponse.SerializeToString,
        )

    def export(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def export_logs(self, request: Any, context: Any) -> bytes:
        if self.refuses_logs:
            return b"\x0a\x05\x08\x01\x12\x01x"  # partial_success: one rejected, because of x
        self.log_requests.append(request)
        return b""

    def log_file(self) -> str:
        """What a collector's file exporter writes: one request a line, OTLP as JSON."""
        return "".join(MessageToJson(one, indent=None) + "\n" for one in self.log_requests)

    def close(self) -> None:
        self.server.stop(0).wait()

    @property
    def spans(self) -> list[Any]:
        # xds-protos ships an OTLP in which field 2 still has its earlier name.
        found = []
        for request in self.requests:
            for group in request.resource_spans:
                name = group.DESCRIPTOR.fields_by_number[2].name
                for scope in getattr(group, name):
                    found.extend(scope.spans)
        return found

    @property
    def log_records(self) -> list[Any]:
        """All log records, each with the resource that it came with."""
        found: list[Any] = []
        for request in self.log_requests:
            for group in request.resource_logs:
                # See above: field 2 has an earlier name there.
                name = group.DESCRIPTOR.fields_by_number[2].name
                for scope in getattr(group, name):
                    inner = scope.DESCRIPTOR.fields_by_number[2].name
                    found.extend((group.resource, one) for one in getattr(scope, inner))
        return found
