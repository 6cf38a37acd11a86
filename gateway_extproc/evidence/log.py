"""A log of records, written by one thread; the event loop waits for it only where it must.

The event loop encodes a record and appends it to a queue; the thread writes what came together in
one call.  Encoding is two microseconds while the record is in the processor's cache, and its
memory serves the next one at once; dicts that wait for a thread cost several times as much.
Nothing here raises once the storage is open: what cannot be kept is counted and told to
``on_loss``, because evidence that is lost silently is worse than none.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Final

import orjson

from gateway_extproc.evidence.storage import Storage, WriteFailed

log = logging.getLogger(__name__)

Record = dict[str, Any]

BATCH: Final = 512
"""Records joined into one write, at most."""

RETRY_S: Final = 0.25
"""How often a log that keeps what it could not write tries again."""

_REMEMBERED: Final = 10_000
"""Lost records that are remembered for those who ask for them later."""


class JsonLinesLog:
    """One storage, one thread.  All but the private methods belong to the event loop.

    ``bound`` is how many records may wait; ``linger_s`` how long the thread lets records gather
    after it was woken, which is also what a kill -9 can lose.  With ``retry`` the thread keeps
    what it could not write and tries again, so that only what finds the queue full is lost;
    without, it goes on with what comes next.  ``on_loss(n)`` is called from either thread.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        bound: int = 100_000,
        linger_s: float = 0.02,
        retry: bool = False,
        on_loss: Callable[[int], object] | None = None,
    ) -> None:
        self.accepted = 0
        """Records handed over so far, whatever became of them."""
        self.written = 0
        """Records in the file."""
        self.dropped = 0
        """Records refused: the queue was full, or the log closed."""
        self.failed = 0
        """Records that could not be encoded or written (disk full)."""
        self.failing = False
        """Whether the last try to write failed."""
        self._storage, self._bound, self._linger_s = storage, bound, linger_s
        self._retry, self._on_loss = retry, on_loss
        self._queue: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        self._closing = Event()
        # Records are numbered as they are accepted; up to this one the fate of all is known.
        self._through = 0
        self._lost: deque[int] = deque(maxlen=_REMEMBERED)
        self._dropped_until = self._failed_until = 0
        self._waiters: deque[tuple[int, asyncio.Future[bool]]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Thread(target=self._run, name=f"log-{storage.path.stem}", daemon=True)
        self._thread.start()

    @property
    def kept(self) -> int:
        """Records of them that are in the file, or known to be lost."""
        return self.written + self.dropped + self.failed

    @property
    def waiting(self) -> int:
        """Records that the thread has not taken yet."""
        return self._queue.qsize()

    @property
    def healthy(self) -> bool:
        """Whether what is handed over now will probably be kept."""
        return not self.failing and self._queue.qsize() < self._bound

    def write(self, record: Record) -> None:
        """Takes a record as it is now.  Never blocks, never raises."""
        self.accepted += 1
        if self._queue.qsize() >= self._bound or self._closing.is_set():
            self.dropped += 1
            self._lost.append(self.accepted)
            self._dropped_until = self.accepted
            self._tell(1)
            return
        self._queue.put((self.accepted, self._encoded(record)))

    def _encoded(self, record: Record) -> bytes:
        """The record's bytes; none for one that the thread shall count as lost."""
        try:
            return encode(record)
        except Exception:
            log.exception("a record of %s cannot be encoded", self._storage.path.name)
            return b""

    async def durable(self, timeout_s: float) -> bool:
        """Whether the record that was handed over last is in the file, at the latest after that.

        False as well as soon as writing fails.
        """
        number = self.accepted
        if self.failing or self._is_lost(number):
            return False
        if self._through >= number:
            return True
        loop = self._loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters.append((number, waiter))
        if self._through >= number:  # the thread was quicker, and saw nobody wait
            self._wake()
        deadline = loop.call_later(timeout_s, _give_up, waiter)
        try:
            return await waiter
        finally:
            deadline.cancel()

    def close(self, timeout_s: float = 5.0) -> bool:
        """Writes what is waiting and closes the file; False if the time did not suffice."""
        if not self._closing.is_set():
            self._closing.set()
            self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _wake(self) -> None:
        """Tells those whose records' fate is known."""
        waiters = self._waiters
        while waiters and (self.failing or waiters[0][0] <= self._through):
            number, waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(number <= self._through and not self._is_lost(number))

    def _is_lost(self, number: int) -> bool:
        return number <= max(self._dropped_until, self._failed_until) and number in self._lost

    # ------------------------------------------------------------- the writer thread

    def _run(self) -> None:
        open_ = True
        while open_:
            try:
                taken = self._queue.get(timeout=self._patience_s())
            except Empty:
                self._store([])
                continue
            # One wake-up for all that arrives meanwhile: each costs the loop the GIL.
            self._closing.wait(self._linger_s)
            open_ = taken is not None and self._drain(taken)
        self._storage.close()

    def _patience_s(self) -> float | None:
        """How long to wait for records before the storage wants its turn."""
        due_s = self._storage.due_s()
        return due_s if due_s is None or not self.failing else max(due_s, RETRY_S)

    def _drain(self, first: tuple[int, bytes]) -> bool:
        """Stores all that waits, batch by batch; False when the end mark was among it."""
        batch = [first]
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

    def _store(self, batch: list[tuple[int, bytes]]) -> None:
        bodies = [(number, body) for number, body in batch if body]
        if len(bodies) < len(batch):
            self._lose([number for number, body in batch if not body])
        while not self._append(bodies):
            if not self._retry or self._closing.is_set():
                self._lose([number for number, _ in bodies])
                break
            self._closing.wait(RETRY_S)
        if batch:
            self._through = batch[-1][0]
            self._notify()

    def _append(self, bodies: list[tuple[int, bytes]]) -> bool:
        """Writes records and takes those that are kept from the list; True without a failure."""
        try:
            self._storage.append([body for _, body in bodies])
        except WriteFailed as failure:
            self.written += failure.kept
            del bodies[: failure.kept]
            if not self.failing:  # once an outage: the count tells the rest
                log.error("writing %s fails: %s", self._storage.path, failure)
            self.failing = True
            self._notify()
            return False
        if self.failing:
            log.warning("writing %s works again", self._storage.path)
        self.failing = False
        self.written += len(bodies)
        return True

    def _notify(self) -> None:
        if self._waiters and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _lose(self, numbers: list[int]) -> None:
        self._lost.extend(numbers)
        self._failed_until = max(numbers, default=self._failed_until)
        self.failed += len(numbers)
        self._tell(len(numbers))

    def _tell(self, count: int) -> None:
        if count and self._on_loss is not None:
            self._on_loss(count)


def _give_up(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)


def encode(record: Record) -> bytes:
    """A record as JSON, without a line's end.

    Texts from the wire can hold lone surrogates, which orjson refuses; they
    become "?", because a client must not be able to write itself out of the log.
    """
    try:
        return orjson.dumps(record)
    except orjson.JSONEncodeError:
        return orjson.dumps(_scrub(record))


def _scrub(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_scrub(key): _scrub(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrub(item) for item in value]
    return value
