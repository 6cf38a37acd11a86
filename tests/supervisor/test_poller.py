"""Work that is done again and again: nothing that it raises ends it, and it ends when told."""

from __future__ import annotations

import threading
import time

from gateway_extproc.supervisor.poller import Poller
from support.gateway import wait_for


def test_it_calls_until_it_is_stopped() -> None:
    calls: list[float] = []
    poller = Poller("x", lambda: calls.append(time.monotonic()), 0.01)
    poller.start()
    wait_for(lambda: len(calls) >= 3, 5, "it does not call")
    poller.stop()
    count = len(calls)
    time.sleep(0.1)
    assert len(calls) == count


def test_a_failure_is_told_until_it_is_over() -> None:
    fail = threading.Event()
    fail.set()

    def step() -> None:
        if fail.is_set():
            raise OSError("no disk")

    poller = Poller("x", step, 0.01)
    poller.start()
    wait_for(lambda: poller.trouble == "OSError: no disk", 5, "the failure is not told")
    fail.clear()
    wait_for(lambda: poller.trouble == "", 5, "the failure is still told")
    poller.stop()


def test_one_that_never_started_can_be_stopped() -> None:
    Poller("x", lambda: None, 1.0).stop()
