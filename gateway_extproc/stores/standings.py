"""How all targets stand, in one table that the workers of a host share.

Each target has a row of numbers in a mapped file (``routing.row`` knows what they mean).  A worker
that sees something go wrong takes the file's lock, if it is free, and changes the row at once: so
five failures open a circuit whoever saw them.  If it is not free the change waits in the worker
until the next one, or the next tick.  Successes while nothing is wrong, and latencies, are
counted in the worker and told with its ticks.  Nobody ever waits for the lock while a request
does.  Plans read what was judged of a row a moment ago, or since it changed.

A process that is killed in the middle of a change leaves a row half changed.  That is no
transaction on purpose: all of it is an estimate that the next seconds correct.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from gateway_extproc.config.health import Health
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.core.route import Target
from gateway_extproc.core.standing import IN_ORDER, Standing
from gateway_extproc.routing.circuit import Outcome
from gateway_extproc.routing.latency import bucket_of
from gateway_extproc.routing.quota import Left
from gateway_extproc.routing.row import ROW_CELLS, Change, TargetRow
from gateway_extproc.routing.watched import TargetKey, Watched, key_of
from gateway_extproc.stores.drains import NO_DRAINS, Drained
from gateway_extproc.stores.words import FIRST, WordFile

log = logging.getLogger(__name__)

FORMAT: Final = 0x4845414C54480001
ROWS: Final = 1024
PROBES: Final = 64
"""Places looked at for one name."""
NAME_WORDS: Final = 2
PLACE_WORDS: Final = NAME_WORDS + ROW_CELLS

JUDGED_S: Final = 0.05
MEASURED_S: Final = 1.0
"""How long quantiles are believed; they take longer to make than all the rest."""
ACTIVE_S: Final = 10.0
"""A target without traffic for so long is not looked at."""
OVERDUE_MIN_MS: Final = 1000.0
WAITING_MAX: Final = 10_000
"""Changes that may wait for the lock."""
TOLD_S: Final = 0.1
"""How often one worker looks at the quota headers of one key, unless nothing is left."""

T = TypeVar("T")

_TWO_WORDS: Final = struct.Struct("<qq")


@dataclass(slots=True)
class _Judged:
    """What this process remembers of a row."""

    row: TargetRow
    watched: Watched
    others: tuple[TargetRow, ...] = ()
    standing: Standing = IN_ORDER
    until_s: float = 0.0
    changes: float = -1.0
    drains: int = -1
    latencies: tuple[float | None, float | None] = (None, None)
    measured_s: float = 0.0
    successes: int = 0
    """Seen and not told yet, because nothing is wrong."""
    first_bytes: dict[tuple[int, bool, bool], int] = field(default_factory=dict)
    """Latencies not told yet: how many by bucket, whether of a stream, and whether overdue."""


@dataclass(slots=True)
class Waiting:
    """A request whose first target has not answered yet."""

    key: TargetKey
    sent_s: float
    stream: bool
    overdue: bool = False


class HostStandings:
    """``Standings`` of one process over the host's table; not for threads.

    ``now_s`` tells seconds since 1970, so that a table outlives a restart of the machine.  Raises
    ``StoreUnavailable`` where the table is full.
    """

    def __init__(
        self,
        path: Path,
        watched: Iterable[Watched],
        policy: Health,
        now_s: Callable[[], float],
        drains: Drained = NO_DRAINS,
    ) -> None:
        self._now_s, self._policy = now_s, policy
        self._drains = drains
        self._file = WordFile(path, ROWS * PLACE_WORDS, FORMAT)
        self._cells = cast(Any, self._file.words.cast("B").cast("d"))
        self._delayed: deque[Callable[[], object]] = deque(maxlen=WAITING_MAX)
        self._waiting: dict[int, Waiting] = {}
        self._next_waiting = 0
        self._told_s: dict[tuple[TargetKey, int], float] = {}
        watched = tuple(watched)
        places = self._claim([one.name for one in watched])
        self._judged = {
            one.key: _Judged(TargetRow(self._cells, at, policy, one.keys), one)
            for one, at in zip(watched, places, strict=True)
        }
        for judged in self._judged.values():
            judged.others = tuple(self._judged[key].row for key in judged.watched.others)

    # -------------------------------------------------------------------- reading

    def of(self, target: Target) -> Standing:
        """How a target stands now."""
        return self.of_key(key_of(target))

    def of_key(self, key: TargetKey) -> Standing:
        """The same by its key."""
        judged = self._judged.get(key)
        if judged is None:
            return IN_ORDER
        now_s = self._now_s()
        if (
            now_s < judged.until_s
            and judged.changes == judged.row.changes
            and judged.drains == self._drains.version
        ):
            return judged.standing
        return self._judge(judged, now_s)

    def _judge(self, judged: _Judged, now_s: float) -> Standing:
        row = judged.row
        judged.changes, judged.drains = row.changes, self._drains.version
        if not 0 <= now_s - judged.measured_s < MEASURED_S:
            judged.latencies, judged.measured_s = row.quantiles_ms(now_s), now_s
        if self._drains.is_drained(judged.watched.key, now_s):
            judged.standing = Standing(0.0, DRAINED, *judged.latencies)
        else:
            judged.standing = row.standing(now_s, judged.latencies)
        # A share that is less may rise with time alone; one that falls is a change.
        judged.until_s = now_s + (MEASURED_S if judged.standing.share == 1.0 else JUDGED_S)
        return judged.standing

    def rows(self) -> Mapping[TargetKey, TargetRow]:
        """The rows themselves, for whoever shows or shares them."""
        return {key: judged.row for key, judged in self._judged.items()}

    def keys_of(self, key: TargetKey) -> int:
        """How many credentials a target's provider has."""
        return self._judged[key].watched.keys

    # ------------------------------------------------------------------ observing

    def sent(self, key: TargetKey, now_s: float, *, stream: bool) -> tuple[int, Change]:
        """A request goes to its first target; the number is for ``answered``."""
        judged = self._judged.get(key)
        if judged is None:
            return -1, ""
        number = self._next_waiting
        self._next_waiting += 1
        self._waiting[number] = Waiting(key, now_s, stream)
        if judged.row.is_closed:
            return number, ""
        return number, self._change(lambda: judged.row.sent(now_s))

    def answered(self, number: int) -> Waiting | None:
        """The request does not wait any more, whatever came of it; None the second time."""
        return self._waiting.pop(number, None)

    def first_byte(
        self, key: TargetKey, ms: float, now_s: float, *, stream: bool, was_overdue: bool = False
    ) -> None:
        """An attempt's headers came after so many milliseconds; told with the next tick."""
        judged = self._judged.get(key)
        if judged is not None:
            what = (bucket_of(ms), stream, was_overdue)
            judged.first_bytes[what] = judged.first_bytes.get(what, 0) + 1

    def ended(
        self, key: TargetKey, outcome: Outcome, sent_s: float, now_s: float, position: int = 0
    ) -> Change:
        """An attempt is over; what that changed of the target's circuit."""
        judged = self._judged.get(key)
        if judged is None:
            return ""
        row = judged.row
        if outcome in ("success", "neutral") and row.is_calm(position):
            judged.successes += outcome == "success"
            return ""

        def change() -> Change:
            if outcome == "success":
                judged.row.served(position)
            return judged.row.ended(outcome, sent_s, now_s)

        return self._change(change)

    def stream_over(self, key: TargetKey, *, well: bool) -> None:
        """How the body of a stream ended."""
        judged = self._judged.get(key)
        if judged is not None and judged.row.trusts_streams != well:
            self._change(lambda: judged.row.stream_over(well=well))

    def trusts_streams(self, key: TargetKey) -> bool:
        """Whether a stream may count as a success when its headers come."""
        judged = self._judged.get(key)
        return judged is None or judged.row.trusts_streams

    def limited(self, key: TargetKey, position: int, until_s: float | None, now_s: float) -> None:
        """A 429 for one credential."""
        judged = self._judged.get(key)
        if judged is not None:
            self._change(lambda: judged.row.limited(position, until_s, now_s))

    def rest(self, key: TargetKey, until_s: float, now_s: float) -> None:
        """The target wants to be left alone until then."""
        judged = self._judged.get(key)
        if judged is not None:
            self._change(lambda: judged.row.rest(until_s, now_s))

    def wants_told(self, key: TargetKey, position: int, now_s: float) -> bool:
        """Whether it is time to look at the quota headers again."""
        last_s = self._told_s.get((key, position), 0.0)
        if 0 <= now_s - last_s < TOLD_S:
            return False
        self._told_s[key, position] = now_s
        return True

    def told(self, key: TargetKey, position: int, lefts: tuple[Left, ...], now_s: float) -> None:
        """What is left of a credential's quota."""
        judged = self._judged.get(key)
        if judged is not None:
            self._change(lambda: judged.row.told(position, lefts, now_s))

    def choose_key(self, key: TargetKey, now_s: float) -> int:
        """The credential for one request, as its position."""
        judged = self._judged.get(key)
        if judged is None or judged.watched.keys == 1:
            return 0
        chosen = judged.row.choose_key(now_s)
        self._change(lambda: judged.row.chosen(chosen, now_s))
        return chosen

    def change(self, key: TargetKey, change: Callable[[TargetRow], object]) -> None:
        """Changes a target's row under the lock, now or a little later."""
        judged = self._judged.get(key)
        if judged is not None:
            self._change(lambda: change(judged.row))

    @property
    def epoch(self) -> str:
        """Names this table; one that was made anew has another."""
        return self._file.epoch

    def tick(self) -> None:
        """What has to be done though nothing happens; some times a second."""
        now_s = self._now_s()
        self._change(_nothing)
        self._find_overdue(now_s)
        for judged in self._judged.values():
            if judged.first_bytes or judged.successes:
                self._change(partial(_tell, judged, now_s))
            row = judged.row
            is_active = row.moved or 0 <= now_s - row.touched_s < ACTIVE_S
            if is_active and row.may_step(now_s):
                self._change(partial(self._step, judged, now_s))

    def close(self) -> None:
        """Tells what it knows and lets go of the table, which stays for the next process."""
        self.tick()
        self._cells.release()
        self._file.close()

    def _step(self, judged: _Judged, now_s: float) -> None:
        if not judged.row.may_step(now_s):
            return
        best = None
        if judged.others:
            best = tuple(
                min(row.median_ms(stream=stream, now_s=now_s) for row in judged.others)
                for stream in (False, True)
            )
        judged.row.step(best, now_s)

    def _find_overdue(self, now_s: float) -> None:
        """Requests that wait for much longer than is usual count before they are answered."""
        usual: dict[tuple[TargetKey, bool], float | None] = {}
        rule = self._policy.slow
        for waiting in self._waiting.values():
            age_ms = (now_s - waiting.sent_s) * 1000
            if age_ms < OVERDUE_MIN_MS:
                break  # they stand in the order in which they were sent
            if waiting.overdue:
                continue
            kind = (waiting.key, waiting.stream)
            row = self._judged[waiting.key].row
            if kind not in usual:
                usual[kind] = row.usual_ms(stream=waiting.stream, now_s=now_s)
            usual_ms = usual[kind]
            if usual_ms is None:
                continue
            if age_ms >= max(usual_ms * rule.factor, usual_ms + rule.least_ms):
                waiting.overdue = True
                self._change(partial(row.overdue, age_ms, now_s, stream=waiting.stream))

    # ------------------------------------------------------------------ the table

    def _change(self, change: Callable[[], T]) -> T | Any:
        """Does it now, with what waits, or lets it wait; "" where it waits."""
        if not self._file.try_lock():
            self._delayed.append(change)
            return ""
        try:
            while self._delayed:
                self._delayed.popleft()()
            return change()
        finally:
            self._file.unlock()

    def _claim(self, names: list[str]) -> list[int]:
        """Where each target's row begins; the place that rested longest is taken over."""
        words = self._file.words
        with self._file.locked():
            taken: set[int] = set()
            found = []
            for name in names:
                first, second = _hash(name)
                place = self._place(first, second, taken)
                at = FIRST + place * PLACE_WORDS
                if (words[at], words[at + 1]) != (first, second):
                    for i in range(at, at + PLACE_WORDS):
                        words[i] = 0
                    words[at], words[at + 1] = first, second
                TargetRow(self._cells, at + NAME_WORDS, self._policy).touch(self._now_s())
                taken.add(place)
                found.append(at + NAME_WORDS)
        return found

    def _place(self, first: int, second: int, taken: set[int]) -> int:
        words, oldest = self._file.words, (float("inf"), -1)
        for probe in range(PROBES):
            place = (first + probe) % ROWS
            at = FIRST + place * PLACE_WORDS
            if (words[at], words[at + 1]) == (first, second):
                return place
            if place not in taken:
                touched_s = TargetRow(self._cells, at + NAME_WORDS, self._policy).touched_s
                oldest = min(oldest, (touched_s, place))
        if oldest[1] < 0:
            raise StoreUnavailable("no place for another target's standing")
        return oldest[1]


DRAINED: Final = "drained"


def _tell(judged: _Judged, now_s: float) -> None:
    """Into the row with what was only counted so far."""
    if judged.successes:
        judged.row.succeeded(judged.successes, now_s)
        judged.successes = 0
    for (bucket, stream, was_overdue), count in judged.first_bytes.items():
        judged.row.first_bytes(bucket, count, now_s, stream=stream, usual_only=was_overdue)
    judged.first_bytes.clear()


def _nothing() -> None:
    """For its side effect: what waits is done first."""


def _hash(name: str) -> tuple[int, int]:
    first, second = _TWO_WORDS.unpack(hashlib.blake2b(name.encode(), digest_size=16).digest())
    return first, second or 1
