"""The load is as large as it says, and the provider's stream is one that clients read."""

from __future__ import annotations

import json

import pytest

from bench.workloads import CHUNKS, WORKLOADS, Workload, stream_events, text_of


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.id)
def test_a_body_has_the_size_that_is_named(workload: Workload) -> None:
    body = workload.body()
    assert len(body) == workload.body_bytes
    assert json.loads(body)["model"]
    assert workload.request("k").endswith(b"\r\n\r\n" + body)


def test_a_stream_has_as_many_events_as_its_cpu_is_divided_by() -> None:
    events = stream_events()
    assert len(events) == CHUNKS
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    assert len(text_of(b"".join(events)).split()) == CHUNKS - 3


def test_a_stream_cut_short_is_no_stream() -> None:
    with pytest.raises(ValueError, match="no end"):
        text_of(b"".join(stream_events()[:-1]))
