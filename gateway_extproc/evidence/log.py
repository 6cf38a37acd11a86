"""An append-only file of JSON lines, written by one thread, never waited for.

The event loop only appends to a queue; the thread encodes and writes what
came together in one call.  Nothing here raises once the file is open: what cannot
be kept is counted and told to ``on_loss``, because evidence that is lost
silently is worse than none.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Final

import orjson

log = logging.getLogger(__name__)

Record = dict[str, Any]

BATCH: Final = 512
"""Records joined into one write, at most."""


class JsonLinesLog:
    """One file, one thread.  ``write`` belongs to the event loop, ``close`` to its end.

    ``bound`` is how many records may wait; ``linger_s`` how long the thread
    lets records gather after it was woken, which is also what a kill -9 can
    lose.  ``on_loss(n)`` is called from either thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        bound: int = 100_000,
        linger_s: float = 0.02,
        on_loss: Callable[[int], object] | None = None,
    ) -> None:
        self.path = path
        self.accepted = 0
        """Records handed over so far, whatever became of them."""
        self.written = 0
        """Records in the file."""
        self.dropped = 0
        """Records refused: the queue was full, or the log closed."""
        self.failed = 0
        """Records that could not be encoded or written (disk full)."""
        self._bound = bound
        self._linger_s = linger_s
        self._on_loss = on_loss
        self._queue: SimpleQueue[Record | None] = SimpleQueue()
        self._closing = Event()
        self._file = _open(path)
        self._torn = _ends_torn(self._file)
        self._failing = False
        self._thread = Thread(target=self._run, name=f"log-{path.stem}", daemon=True)
        self._thread.start()

    @property
    def kept(self) -> int:
        """Records of them that are in the file, or known to be lost."""
        return self.written + self.dropped + self.failed

    @property
    def waiting(self) -> int:
        """Records that the thread has not taken yet."""
        return self._queue.qsize()

    def write(self, record: Record) -> None:
        """Takes a record; it must not be changed afterwards.  Never blocks, never raises."""
        self.accepted += 1
        if self._queue.qsize() >= self._bound or self._closing.is_set():
            self.dropped += 1
            self._tell(1)
            return
        self._queue.put(record)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Writes what is waiting and closes the file; False if the time did not suffice."""
        if not self._closing.is_set():
            self._closing.set()
            self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # ------------------------------------------------------------- the writer thread

    def _run(self) -> None:
        open_ = True
        while open_:
            record = self._queue.get()
            # One wake-up for all that arrives meanwhile: each costs the loop the GIL.
            self._closing.wait(self._linger_s)
            open_ = record is not None and self._drain(record)
        os.close(self._file)

    def _drain(self, record: Record) -> bool:
        """Stores all that waits, batch by batch; False when the end mark was among it."""
        batch = [record]
        while True:
            try:
                following = self._queue.get_nowait()
            except Empty:
                self._store(batch)
                return True
            if following is None:
                self._store(batch)
                return False
            if len(batch) == BATCH:
                self._store(batch)
                batch = []
            batch.append(following)

    def _store(self, batch: list[Record]) -> None:
        lines: list[bytes] = []
        for record in batch:
            try:
                lines.append(encode(record))
            except Exception:
                log.exception("a record of %s cannot be encoded", self.path.name)
                self._lose(1)
        if lines:
            self._append(lines)

    def _append(self, lines: list[bytes]) -> None:
        # After a torn line (a crash, a full disk) the next record starts on a line of its own.
        data = (b"\n" if self._torn else b"") + b"".join(lines)
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:] if done else data)
        except OSError as error:
            lost = data.count(b"\n", max(done, int(self._torn)))
            if done:
                self._torn = data[done - 1] != 0x0A
            self.written += len(lines) - lost
            if not self._failing:  # once an outage: the count tells the rest
                log.error("records are lost: writing %s failed: %s", self.path, error)
            self._failing = True
            self._lose(lost)
        else:
            self._torn = self._failing = False
            self.written += len(lines)

    def _lose(self, count: int) -> None:
        self.failed += count
        self._tell(count)

    def _tell(self, count: int) -> None:
        if self._on_loss is not None:
            self._on_loss(count)


def encode(record: Record) -> bytes:
    """A record as one line.

    Texts from the wire can hold lone surrogates, which orjson refuses; they
    become "?", because a client must not be able to write itself out of the log.
    """
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        return orjson.dumps(_scrub(record), option=orjson.OPT_APPEND_NEWLINE)


def _scrub(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_scrub(key): _scrub(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub(item) for item in value]
    return value


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    os.fchmod(file, 0o600)  # also when the file was there before, with a wider mode
    return file


def _ends_torn(file: int) -> bool:
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"
