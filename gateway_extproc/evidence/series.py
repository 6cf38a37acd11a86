"""Prometheus series in prometheus_client's multiprocess files, one set a worker.

Why not the ``Counter`` and ``Histogram`` classes: they take their storage from
one module-wide ``ValueClass``, chosen by an environment variable when the
library is first imported, and name the files by process id, so every
restarted worker leaves files behind for ever.  ``MmapedDict`` and ``mmap_key``
are what those classes write through; used directly they need no environment,
take a stable worker number, and cost a third.  The supervisor reads the files
with the library's own ``MultiProcessCollector``.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final

from prometheus_client import mmap_dict
from prometheus_client import utils as prometheus_utils

# Untyped in the library.
_MmapedDict: Any = mmap_dict.MmapedDict
_mmap_key: Any = mmap_dict.mmap_key
_bound_text: Any = prometheus_utils.floatToGoString

MAX_SERIES: Final = 2_000
"""Series of one metric in one worker; what comes later is counted as "other"."""

_PAGE: Final = 1 << 16


class SeriesFile:
    """The series of one kind (counter, histogram, gauge_livesum) of one worker.

    Values already in the file go on from where they were: a restarted worker
    keeps counting.
    """

    def __init__(self, directory: Path, kind: str, worker: int) -> None:
        path = directory / f"{kind}_{worker}.db"
        if not path.exists():
            # Made full size before it gets its name: the collector cannot read an empty file.
            fresh = path.with_suffix(".new")
            fresh.write_bytes(bytes(_PAGE))
            os.replace(fresh, path)
        self._dict = _MmapedDict(str(path))
        self.kind = kind.partition("_")[0]
        # The log's thread counts its losses while the event loop counts requests.
        self.lock = Lock()

    def value(
        self, metric: str, sample: str, names: Sequence[str], values: Sequence[str], text: str
    ) -> Value:
        """The series of these labels, as it stands in the file."""
        with self.lock:
            return Value(self, self._dict, _mmap_key(metric, sample, names, values, text))

    def close(self) -> None:
        with self.lock:
            self._dict.close()


class Value:
    """One number in the file."""

    __slots__ = ("_dict", "_key", "_lock", "_value")

    def __init__(self, file: SeriesFile, store: Any, key: str) -> None:
        self._dict, self._key, self._lock = store, key, file.lock
        self._value: float = store.read_value(key)[0]

    def inc(self, amount: float = 1.0) -> None:
        with self._lock:
            self._value += amount
            self._dict.write_value(self._key, self._value, 0.0)

    def set(self, value: float) -> None:
        with self._lock:
            self._value = value
            self._dict.write_value(self._key, value, 0.0)


class Counter:
    """A counter with labels; ``name`` without ``_total``."""

    def __init__(self, file: SeriesFile, name: str, text: str, labels: tuple[str, ...]) -> None:
        self._file, self._name, self._text, self._labels = file, name, text, labels
        self._children: dict[tuple[str, ...], Value] = {}

    def inc(self, labels: tuple[str, ...], amount: float = 1.0) -> None:
        """Adds to the series of these label values."""
        (self._children.get(labels) or self._child(labels)).inc(amount)

    def _child(self, labels: tuple[str, ...]) -> Value:
        labels = _bounded(labels, self._labels, self._children)
        child = self._children.get(labels)
        if child is None:
            sample = f"{self._name}_total"
            child = self._file.value(self._name, sample, self._labels, labels, self._text)
            self._children[labels] = child
        return child


class Histogram:
    """A histogram with labels; ``buckets`` are upper bounds, ascending, without infinity."""

    def __init__(
        self,
        file: SeriesFile,
        name: str,
        text: str,
        labels: tuple[str, ...],
        buckets: tuple[float, ...],
    ) -> None:
        self._file, self._name, self._text, self._labels = file, name, text, labels
        self._bounds = (*buckets, float("inf"))
        self._children: dict[tuple[str, ...], tuple[Value, tuple[Value, ...]]] = {}

    def observe(self, labels: tuple[str, ...], amount: float) -> None:
        total, buckets = self._children.get(labels) or self._child(labels)
        total.inc(amount)
        # Each bucket holds its own share; the collector adds them up.
        buckets[bisect_left(self._bounds, amount)].inc()

    def _child(self, labels: tuple[str, ...]) -> tuple[Value, tuple[Value, ...]]:
        labels = _bounded(labels, self._labels, self._children)
        child = self._children.get(labels)
        if child is None:
            total = self._file.value(
                self._name, f"{self._name}_sum", self._labels, labels, self._text
            )
            buckets = tuple(
                self._file.value(
                    self._name,
                    f"{self._name}_bucket",
                    (*self._labels, "le"),
                    (*labels, _bound_text(bound)),
                    self._text,
                )
                for bound in self._bounds
            )
            child = self._children[labels] = (total, buckets)
        return child


def _bounded(
    labels: tuple[str, ...], names: tuple[str, ...], children: dict[tuple[str, ...], Any]
) -> tuple[str, ...]:
    return labels if len(children) < MAX_SERIES else ("other",) * len(names)
