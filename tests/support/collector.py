"""A real OTLP/gRPC collector in the test's process."""

from __future__ import annotations

from concurrent import futures
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Collector:
    """An OTLP/gRPC collector that speaks the published messages, not our copy of them."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.requests: list[Any] = []
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers((self,))
        self.endpoint = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def service(self, call: Any) -> Any:
        assert call.method == EXPORT
        self.metadata = dict(call.invocation_metadata)
        return grpc.unary_unary_rpc_method_handler(
            self.export,
            request_deserializer=trace_service_pb2.ExportTraceServiceRequest.FromString,
            response_serializer=trace_service_pb2.ExportTraceServiceResponse.SerializeToString,
        )

    def export(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

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
