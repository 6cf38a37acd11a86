"""What runs, and how one row of it is proven and measured."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.cpu import Meter
from bench.figures import PLAIN, Process, Sample
from bench.load import load
from bench.workloads import (
    ANSWER,
    HOST,
    WORKLOADS,
    Workload,
    stream_events,
    text_of,
)

MESSAGES_BEFORE_BODY: Final = 3
"""Request headers, request body, response headers: what a stream has beside its chunks."""


class BenchError(Exception):
    """A process did not come up, or a row did not do what is measured."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a row is reached, and the process that its CPU is counted of."""

    port: int
    processor_pid: int | None


@dataclass(frozen=True, slots=True)
class Stand:
    """Everything that runs; ``measure`` is one row in one round."""

    targets: Mapping[str, Target]
    envoy_pid: int
    envoy_admin_port: int
    provider_pid: int
    key: str

    def measure(
        self,
        row: str,
        workload: Workload,
        *,
        seconds: float | None = None,
        count: int | None = None,
    ) -> Sample:
        """Loads a row for ``seconds``, or with ``count`` requests; each must end with 200."""
        pids = self._pids(row, workload)
        sent = self._messages(row)
        with Meter(pids.values()) as meter:
            report = load(
                HOST,
                self.targets[row].port,
                workload.request(self.key),
                connections=workload.in_flight,
                count=count,
                seconds=seconds,
            )
        if report.non_2xx or report.errors or not report.requests:
            raise BenchError(
                f"{row}, {workload.title}: {report.requests} answered, "
                f"{report.non_2xx} of them refused, {report.errors} failed"
            )
        return Sample(
            units=report.requests * (workload.chunks or 1),
            seconds=report.seconds,
            cpu_us={process: meter.used_us[pid] for process, pid in pids.items()},
            p50_ms=report.p50_ms,
            p99_ms=report.p99_ms,
            messages=(self._messages(row) - sent) / report.requests,
        )

    def prove(self, row: str) -> None:
        """One plain answer and one stream came back whole; raises ``BenchError``."""
        plain, stream = (next(w for w in WORKLOADS if bool(w.chunks) is s) for s in (False, True))
        if json.loads(self._fetch(row, plain))["choices"] != ANSWER["choices"]:
            raise BenchError(f"{row}: another answer than the provider's")
        sent = self._messages(row)
        try:
            text = text_of(self._fetch(row, stream))
        except ValueError as error:
            raise BenchError(f"{row}: {error}") from None
        if text != text_of(b"".join(stream_events())):
            raise BenchError(f"{row}: another text than the provider's")
        chunks = self._messages(row) - sent - MESSAGES_BEFORE_BODY
        if row != PLAIN and chunks < stream.chunks / 2:
            raise BenchError(f"{row}: {chunks} chunks of {stream.chunks} reached the processor")

    def _pids(self, row: str, workload: Workload) -> dict[Process, int]:
        pids: dict[Process, int] = {"envoy": self.envoy_pid, "client": os.getpid()}
        processor = self.targets[row].processor_pid
        if processor is not None:
            pids["processor"] = processor
        if workload.chunks:
            pids["provider"] = self.provider_pid
        return pids

    def _messages(self, row: str) -> int:
        """Messages that the row's ext_proc filter sent since Envoy's start."""
        name = f"http.{row}.ext_proc.stream_msgs_sent"
        url = f"http://{HOST}:{self.envoy_admin_port}/stats?filter=^{name}$"
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
        return int(text.partition(":")[2] or 0)

    def _fetch(self, row: str, workload: Workload) -> bytes:
        connection = http.client.HTTPConnection(HOST, self.targets[row].port, timeout=30)
        with contextlib.closing(connection):
            connection.connect()
            connection.sock.sendall(workload.request(self.key))
            answer = http.client.HTTPResponse(connection.sock, method="POST")
            answer.begin()
            body = answer.read()
        if answer.status != 200:
            raise BenchError(f"{row}: {answer.status} {body[:200]!r}")
        return body
