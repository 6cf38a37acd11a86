"""Processor time that means the same on every machine.

A bound in seconds was set on one machine, and holds on another one, or on the same one when its
neighbours are busy, only by luck.  So a known piece of work is measured right beside each call,
and what the call took is told as what it would have taken where the bounds were set.
"""

from __future__ import annotations

import gc
import json
import re
import time
from collections.abc import Callable
from typing import Final

REFERENCE_S: Final = 0.00055
"""What ``_work`` takes where the bounds of tests were set."""
TRIES: Final = 5

_TEXT: Final = "The quick brown fox jumps over 13 lazy dogs, and 42 more of them wait. " * 40
_EXPRESSION: Final = re.compile(r"\b(\w+)\s(?=\d)|[aeiou]{2,}")


def cpu_s(call: Callable[[], object], enough: float = 0.0) -> float:
    """The processor time of a call at the pace of the reference, the best of some tries.

    Not asked again once it is at most ``enough``.  Without the collector, which would walk what
    thousands of other tests left in this process.  A machine that is faster than the reference
    counts as the reference.
    """
    best = float("inf")
    collects = gc.isenabled()
    gc.disable()
    try:
        for _ in range(TRIES):
            before = _work_s()
            began = time.thread_time()
            call()
            took = time.thread_time() - began
            pace = max(1.0, (before + _work_s()) / 2 / REFERENCE_S)
            best = min(best, took / pace)
            if best <= enough:
                break
    finally:
        if collects:
            gc.enable()
    return best


def _work_s() -> float:
    return min(_timed() for _ in range(3))


def _timed() -> float:
    began = time.thread_time()
    _work()
    return time.thread_time() - began


def _work() -> None:
    """What most of the gateway's time goes into: expressions, dictionaries, bytes, arithmetic."""
    number = sum(match.end() for match in _EXPRESSION.finditer(_TEXT))
    lengths: dict[str, int] = {}
    for word in _TEXT.split():
        lengths[word] = lengths.get(word, 0) + len(word)
    data = bytearray()
    for index in range(4000):
        number = (number * 31 + index) & 0xFFFFFFFF
        data.append(number & 255)
    json.dumps([_TEXT, lengths, data.count(7)])
