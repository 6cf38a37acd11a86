"""Settings of both servers, and of the benchmark's no-op ones."""

from __future__ import annotations

MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest ext_proc message; above every body cap, so that Envoy's limit decides, not gRPC's
4 MiB default (which Envoy answers with a bare 500)."""

SERVER_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    # One socket a worker: kernel-level sharing leaves workers idle (Envoy opens one
    # HTTP/2 connection per worker thread).
    ("grpc.so_reuseport", 0),
    # Envoy pings every 10 s to notice a dead worker; do not call that abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
]

PROCESS_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
PROCESS_METHOD = "Process"

LAME_DUCK_S = 1.2
"""Time between NOT_SERVING and the stop of accepting: longer than Envoy's health interval."""

CANCEL_S = 5.0
"""How long a cancelled handler may take to settle and record."""
