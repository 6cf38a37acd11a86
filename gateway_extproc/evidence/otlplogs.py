"""Checkpoints to an OpenTelemetry collector, as log records over OTLP/gRPC.

The body of a log record is the checkpoint's line, byte for byte as it stands in a file of
checkpoints, so that ``decisions verify`` can take it from whatever the collector wrote.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import grpc

from gateway_extproc.evidence.chain import find_checkpoint
from gateway_extproc.evidence.otlp import SCOPE, add_attributes, channel, metadata, resource
from gateway_extproc.pb.gateway.v1 import otlp_pb2

EXPORT: Final = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
EVENT: Final = "gateway.evidence.checkpoint"
INFO: Final = 9
"""OTLP's number of that severity."""


class CheckpointExporter:
    """Sends one checkpoint a call; a ``Ship``, for a thread that may wait."""

    def __init__(
        self,
        endpoint: str,
        *,
        version: str,
        worker: int,
        environ: Mapping[str, str],
        timeout_s: float = 5.0,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._version, self._timeout_s, self._wall_ns = version, timeout_s, wall_ns
        self._resource = resource(version, worker, environ)
        self._metadata = metadata(environ, "LOGS")
        self._export = channel(endpoint, environ).unary_unary(
            EXPORT,
            request_serializer=otlp_pb2.ExportLogsServiceRequest.SerializeToString,
            response_deserializer=otlp_pb2.ExportLogsServiceResponse.FromString,
        )

    def __call__(self, line: bytes) -> None:
        """Raises OSError when the collector did not take it in time."""
        try:
            answer = self._export(
                self._encoded(line), timeout=self._timeout_s, metadata=self._metadata,
                wait_for_ready=True,
            )  # fmt: skip
        except grpc.RpcError as error:
            raise OSError(0, f"{error.code().name}: {error.details()}") from None
        if answer.partial_success.rejected_log_records:
            raise OSError(0, f"refused: {answer.partial_success.error_message}")

    def _encoded(self, line: bytes) -> Any:
        request = otlp_pb2.ExportLogsServiceRequest()
        group = request.resource_logs.add()
        add_attributes(group.resource.attributes, self._resource.attributes)
        scope = group.scope_logs.add()
        scope.scope.name, scope.scope.version = SCOPE, self._version
        record = scope.log_records.add()
        record.observed_time_unix_nano = self._wall_ns()
        record.severity_number, record.severity_text = INFO, "INFO"
        record.event_name = EVENT
        record.body.string_value = line.strip().decode()
        checkpoint = find_checkpoint(line.strip())
        if checkpoint is not None:
            record.time_unix_nano = _nanoseconds(checkpoint.time)
            add_attributes(
                record.attributes,
                {"gateway.log": checkpoint.log, "gateway.worker": checkpoint.worker,
                 "gateway.log.seq": checkpoint.seq, "gateway.log.key_id": checkpoint.key_id},
            )  # fmt: skip
        return request


def endpoint_of(environ: Mapping[str, str]) -> str:
    """The collector that the environment names for logs; "" for none."""
    return (
        environ.get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT")
        or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        or ""
    )


def _nanoseconds(text: str) -> int:
    at = datetime.fromisoformat(text)
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000
