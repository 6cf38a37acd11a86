"""A chained log in files of bounded size: ``NAME-W.jsonl`` now, ``NAME-W.000001.jsonl`` before.

Each process begins a segment of its own, whose header names the head of the segment before.
A segment is never changed once another one follows it: an end torn by a crash stays torn, and
the next header says how many bytes of it are no line.

What a failed write left behind is cut off again, so that a line in the file is a record that
was kept.  Where even that fails, the segment is left as it is and a new one begins.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from gateway_extproc.evidence.chain import (
    GENESIS,
    TAIL,
    Checkpoint,
    Head,
    Header,
    extend,
    find_header,
    find_line,
)
from gateway_extproc.evidence.checkpoints import Signer
from gateway_extproc.evidence.records import rfc3339
from gateway_extproc.evidence.storage import Sync, WriteFailed, open_private, write_all

log = logging.getLogger(__name__)

LOCK_S: Final = 10.0
"""How long a worker waits for its predecessor to let go of the log."""

_BLOCK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class SegmentRules:
    """How long a segment and how rare a checkpoint may be, and who writes them.

    ``max_age_s`` 0 rotates by size alone.  Without a ``signer`` there are no checkpoints.
    """

    max_bytes: int = 256 * 1024 * 1024
    max_age_s: float = 0.0
    checkpoint_records: int = 10_000
    checkpoint_s: float = 60.0
    signer: Signer | None = None
    ship: Callable[[Checkpoint], object] = lambda checkpoint: None
    policy_revision: str = ""
    gateway_version: str = ""
    boot_id: str = ""


DEFAULT_RULES: Final = SegmentRules()


class Segments:
    """Implements ``storage.Storage``; durable when ``append`` returns.

    One process at a time: raises OSError when the files cannot be opened, or when another
    process still writes them after ``LOCK_S``.  A full disk is no reason not to start.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        worker: int,
        rules: SegmentRules = DEFAULT_RULES,
        *,
        sync: Sync = os.fdatasync,
        wall_ns: Callable[[], int] = time.time_ns,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = folder / f"{name}-{worker}.jsonl"
        self._name, self._worker, self._rules = name, worker, rules
        self._sync, self._wall_ns, self._clock_s = sync, wall_ns, clock_s
        self._file = _lock(self.path)
        past = _take_over(self.path, self._file)
        self._segment, self._head, self._torn = past.segment, past.head, past.torn_bytes
        self._size = self._fresh_size = 0
        self._unsigned = 0
        self._began_s = self._signed_s = clock_s()
        self._ready = False
        try:
            self._begin()
        except OSError as error:
            log.error("no record of %s can be kept for now: %s", self.path, error)

    def append(self, bodies: Sequence[bytes]) -> None:
        try:
            self._make_room(sum(map(len, bodies)) + TAIL * len(bodies))
        except OSError as error:
            raise WriteFailed(0, error) from None
        lines, heads = extend(self._head, bodies)
        checkpoint = self._due_checkpoint(len(bodies), heads[-1] if heads else self._head)
        if checkpoint is not None:
            more, after = extend(heads[-1] if heads else self._head, [checkpoint.encoded()])
            lines, heads = lines + more, heads + after
        if lines:
            self._write(lines, heads, len(bodies))
        self._unsigned += len(bodies)
        if checkpoint is not None:
            self._unsigned, self._signed_s = 0, self._clock_s()
            self._rules.ship(checkpoint)

    def due_s(self) -> float | None:
        """When the next checkpoint or the end of this segment is due, if anything is in it."""
        now_s, due = self._clock_s(), []
        if self._unsigned and self._rules.signer is not None:
            due.append(self._signed_s + self._rules.checkpoint_s - now_s)
        if self._rules.max_age_s and self._size > self._fresh_size:
            due.append(self._began_s + self._rules.max_age_s - now_s)
        return max(0.0, min(due)) if due else None

    def close(self) -> None:
        with contextlib.suppress(OSError, WriteFailed):
            if self._ready:
                self._sign_end()
        os.close(self._file)

    # ------------------------------------------------------------------- one segment

    def _write(self, lines: list[bytes], heads: list[Head], records: int) -> None:
        """Appends lines whole and durably, or takes back what is not."""
        data = b"".join(lines)
        done, error = write_all(self._file, data)
        kept = len(lines) if error is None else data.count(b"\n", 0, done)
        try:
            self._sync(self._file)
        except OSError as failure:
            # What the kernel could not write it may forget: none of it counts.
            error, kept = failure, 0
        whole = sum(map(len, lines[:kept]))
        self._size += whole
        if kept:
            self._head = heads[kept - 1]
        if error is not None:
            self._cut(done - whole)
            self._unsigned += min(kept, records)
            raise WriteFailed(min(kept, records), error)

    def _cut(self, torn: int) -> None:
        """Takes back what stands behind the last whole line; else the segment ends here, torn."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._ready, self._torn = False, torn

    def _due_checkpoint(self, records: int, head: Head) -> Checkpoint | None:
        unsigned = self._unsigned + records
        if not unsigned or self._rules.signer is None:
            return None
        late = self._clock_s() - self._signed_s >= self._rules.checkpoint_s
        return (
            self._checkpoint(head) if late or unsigned >= self._rules.checkpoint_records else None
        )

    def _checkpoint(self, head: Head) -> Checkpoint:
        assert self._rules.signer is not None
        return self._rules.signer.signed(
            Checkpoint(
                self._name, self._worker, self._rules.boot_id, self._segment,
                head.seq, head.hash, rfc3339(self._wall_ns()),
            )
        )  # fmt: skip

    def _sign_end(self) -> None:
        """The checkpoint of a segment's or a process's end, if anything is not signed yet."""
        if self._unsigned and self._rules.signer is not None:
            checkpoint = self._checkpoint(self._head)
            self._write(*extend(self._head, [checkpoint.encoded()]), 0)
            self._unsigned, self._signed_s = 0, self._clock_s()
            self._rules.ship(checkpoint)

    # ---------------------------------------------------------------- from one to the next

    def _make_room(self, size: int) -> None:
        """A segment that may take so many bytes more; raises OSError."""
        full = self._size + size > self._rules.max_bytes
        age_s = self._clock_s() - self._began_s
        old = 0 < self._rules.max_age_s <= age_s
        if self._ready and self._size > self._fresh_size and (full or old):
            try:
                self._sign_end()
            except WriteFailed as failure:
                raise OSError(str(failure)) from None
            self._ready = False
        if not self._ready:
            self._begin()

    def _begin(self) -> None:
        """The next segment, header and all, in one step that a crash cannot halve."""
        # The segment before goes to its own name first; at the start it has done so.
        if self._size and _is_at(self._file, self.path):
            os.rename(self.path, rotated(self.path, self._segment))
        header = Header(
            self._name, self._worker, self._rules.boot_id, self._segment + 1,
            self._rules.policy_revision, self._rules.gateway_version, rfc3339(self._wall_ns()),
            self._head.hash, self._torn,
        )  # fmt: skip
        (line,), (head,) = extend(self._head, [header.encoded()])
        fresh = self.path.with_name(f".{self.path.name}.new")
        fresh.unlink(missing_ok=True)
        file = open_private(fresh)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _, error = write_all(file, line)
            if error is not None:
                raise error
            self._sync(file)
            os.rename(fresh, self.path)
            _sync_folder(self.path.parent)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file, self._segment, self._head, self._torn = file, header.segment, head, 0
        self._size = self._fresh_size = len(line)
        self._began_s, self._ready = self._clock_s(), True


# ------------------------------------------------------------------------ what was before


class Past(NamedTuple):
    """Where the log stood when this process came: its last segment and that one's end."""

    segment: int = 0
    head: Head = Head()
    torn_bytes: int = 0


def rotated(active: Path, segment: int) -> Path:
    """Where a segment lies once another one is being written."""
    return active.with_name(f"{active.stem}.{segment:06d}.jsonl")


def rotated_segments(active: Path) -> dict[int, Path]:
    """The log's earlier segments that are here, by number, in order."""
    form = re.compile(re.escape(active.stem) + r"\.(\d{6,})\.jsonl")
    found = {
        int(match[1]): path
        for path in active.parent.iterdir()
        if (match := form.fullmatch(path.name))
    }
    return dict(sorted(found.items()))


def _lock(path: Path) -> int:
    """The active file, which no other process writes now."""
    deadline_s = time.monotonic() + LOCK_S
    while True:
        file = open_private(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            if time.monotonic() > deadline_s:
                raise BlockingIOError(f"another process writes {path}") from None
            time.sleep(0.05)
            continue
        if _is_at(file, path):
            return file
        os.close(file)  # the other process has begun a new one meanwhile


def _take_over(path: Path, file: int) -> Past:
    """Where an earlier process left the log; its last segment goes to its own name."""
    earlier = rotated_segments(path)
    last = max(earlier, default=0)
    if not os.fstat(file).st_size:
        return _read_past(earlier[last], last) if earlier else Past()
    first = _first_line(path)
    header, line = find_header(first), find_line(first)
    if header is not None and line is not None and os.fstat(file).st_size == len(first):
        # Nothing was recorded in it: the next header takes its place.
        before = Head(line.seq - 1, header.previous)
        return Past(header.segment - 1, before, header.previous_torn_bytes)
    number = header.segment if header is not None and header.segment > last else last + 1
    os.rename(path, rotated(path, number))
    return _read_past(rotated(path, number), number)


def _read_past(path: Path, segment: int) -> Past:
    """A segment's end.  What is no chained line cannot be followed: the chain begins anew."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        data, at = b"", size
        while at and data.count(b"\n") < 2:
            at = max(0, at - _BLOCK)
            file.seek(at)
            data = file.read(size - at)
    whole = data[: data.rfind(b"\n") + 1]
    torn = size - at - len(whole)
    line = find_line(whole[whole.rfind(b"\n", 0, -1) + 1 :])
    if line is None:
        log.error("%s does not end in a chained line; a new chain begins after it", path)
        return Past(segment, Head(0, GENESIS), torn)
    return Past(segment, Head(line.seq, line.hash), torn)


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline(_BLOCK)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
