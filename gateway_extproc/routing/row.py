"""All that is known of one target, in a row of numbers that processes can share.

What attempts did changes the row; what a plan should make of it is read from it.  The cells may be
any mutable sequence of floats: a list in a test, a mapped file between workers.  A row of zeros
is a target that nobody has seen yet.  Times are seconds since 1970 and come in as arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableSequence, Sequence
from typing import Final, Literal

from gateway_extproc.config.health import Health
from gateway_extproc.config.quotaheaders import MEASURES
from gateway_extproc.core.standing import IN_ORDER, Standing
from gateway_extproc.routing import latency, quota
from gateway_extproc.routing.circuit import (
    Circuit,
    Outcome,
    State,
    advance,
    circuit_share,
    count_successes,
    observe,
    ramp,
    trip,
)

MAX_KEYS: Final = 16
"""Credentials of one provider that are told apart."""

Change = Literal["", "opened", "probing", "closed"]
Cells = MutableSequence[float]

# ---- where everything stands in a row
_CHANGES, _TOUCHED = 0, 1
_CIRCUIT: Final = 2
_STATE: Final = _CIRCUIT + Circuit._fields.index("state")
_IN_A_ROW: Final = _CIRCUIT + Circuit._fields.index("in_a_row")
_SENT: Final = _CIRCUIT + len(Circuit._fields)
_PROBES, _REST, _MOVED, _STEPPED, _DISTRUST, _QUOTA_TAKEN = range(_SENT + 1, _SENT + 7)
# A quarter of everything for each of: whole answers and streams, of late and usually.
_RECENT: Final = _QUOTA_TAKEN + 1
_USUAL: Final = _RECENT + 2 * latency.CELLS
_KEYS: Final = _USUAL + 2 * latency.CELLS
_KEY_REST, _STRIKES, _CHOSEN, _METERS = range(4)
_METER_CELLS: Final = len(quota.Meter._fields)
_KEY_CELLS: Final = _METERS + len(MEASURES) * _METER_CELLS
ROW_CELLS: Final = _KEYS + MAX_KEYS * _KEY_CELLS

PROBE_PAUSE_S: Final = 0.5
"""After so long without one the next request is a probe, however few requests there are."""
PROBE_LOST_S: Final = 5.0
"""A probe without an outcome for so long may have died with its worker."""
LEARNS_SLOWLY: Final = 0.1
"""Weight of a slow target's latencies in what is usual for it: what lasts becomes usual."""
STRIKES_MAX: Final = 10.0
PROBE_NOW: Final = 1.0 - 1e-9
"""All of it, and still not in order."""

CIRCUIT_OPEN, PROBING, RECOVERING = "circuit open", "probing", "recovering"
ASKED_TO_WAIT, QUOTA, SLOW = "asked to wait", "quota", "slow"


class TargetRow:
    """One target; ``keys`` are the credentials of its provider.

    Methods that change it are for the one who holds the table's lock.
    """

    def __init__(self, cells: Cells, at: int, policy: Health, keys: int = 1) -> None:
        self._cells, self._at, self._policy = cells, at, policy
        self._keys = range(min(keys, MAX_KEYS))

    # ------------------------------------------------------------------ attempts

    def sent(self, now_s: float) -> Change:
        """A request went to it as its first target."""
        cells, at = self._cells, self._at
        circuit = self.circuit
        moved = advance(circuit, now_s)
        change = self._put(circuit, moved, now_s)
        cells[at + _SENT] = cells[at + _TOUCHED] = now_s
        if moved.state == State.HALF_OPEN:
            cells[at + _PROBES] += 1.0
            cells[at + _CHANGES] += 1.0
        return change

    def is_calm(self, key: int) -> bool:
        """Whether another success with this key would change nothing but counts."""
        cells, at = self._cells, self._at
        return not (
            cells[at + _STATE] or cells[at + _IN_A_ROW] or cells[self._key_at(key) + _STRIKES]
        )

    @property
    def is_closed(self) -> bool:
        """Whether its circuit is; of one that is closed nobody asks who was sent when."""
        return not self._cells[self._at + _STATE]

    def succeeded(self, count: int, now_s: float) -> None:
        """So many successes came while it was calm."""
        circuit = count_successes(self.circuit, count, now_s, self._policy.circuit)
        self._put(self.circuit, circuit, now_s)
        self._cells[self._at + _TOUCHED] = now_s

    def first_byte(
        self, ms: float, now_s: float, *, stream: bool, usual_only: bool = False
    ) -> None:
        """Its headers came after ``ms``; ``usual_only`` where it was told to be overdue."""
        self.first_bytes(latency.bucket_of(ms), 1, now_s, stream=stream, usual_only=usual_only)

    def first_bytes(
        self, bucket: int, count: int, now_s: float, *, stream: bool, usual_only: bool
    ) -> None:
        """The same of many in one bucket of ``routing.latency``."""
        cells, first = self._cells, self._at + latency.CELLS * stream
        slow = cells[self._at + _MOVED] > 0
        usual = count * LEARNS_SLOWLY if slow else float(count)
        history_s = self._policy.slow.history_s
        latency.add_to(cells, first + _USUAL, bucket, now_s, history_s, usual)
        if not usual_only:
            recent_s = latency.RECENT_HALF_LIFE_S
            latency.add_to(cells, first + _RECENT, bucket, now_s, recent_s, float(count))
        cells[self._at + _TOUCHED] = now_s

    def overdue(self, ms: float, now_s: float, *, stream: bool) -> None:
        """It has been waited for so long, and may be for longer."""
        at = self._at + _RECENT + latency.CELLS * stream
        latency.add(self._cells, at, ms, now_s, latency.RECENT_HALF_LIFE_S)

    def ended(self, outcome: Outcome, sent_s: float, now_s: float) -> Change:
        """An attempt is over; a ``neutral`` one only gives its probe back."""
        cells, at = self._cells, self._at
        before = self.circuit
        if before.state == State.HALF_OPEN and sent_s >= before.since_s:
            cells[at + _PROBES] = max(0.0, cells[at + _PROBES] - 1.0)
            cells[at + _CHANGES] += 1.0
        circuit = advance(before, now_s)
        after = observe(circuit, outcome, sent_s, now_s, self._policy.circuit)
        cells[at + _TOUCHED] = now_s
        return self._put(before, after, now_s)

    def touch(self, now_s: float) -> None:
        """Somebody watches it."""
        self._cells[self._at + _TOUCHED] = now_s

    def stream_over(self, *, well: bool) -> None:
        """A stream ended as it should, or with the provider's error in it."""
        self._cells[self._at + _DISTRUST] = 0.0 if well else 1.0

    @property
    def trusts_streams(self) -> bool:
        """Whether headers of a stream are worth as much as its end: until one breaks."""
        return not self._cells[self._at + _DISTRUST]

    def foreign_outage(self, opened_s: float, now_s: float) -> Change:
        """Another host found it out of order at ``opened_s``: each outage counts once.

        It opens the circuit here, too; from then on this host's own probes decide.
        """
        before = self.circuit
        if before.state != State.CLOSED or opened_s <= before.opened_s:
            return ""
        return self._put(before, trip(before, now_s, self._policy.circuit, opened_s), now_s)

    # -------------------------------------------------------------------- resting

    def rest(self, until_s: float, now_s: float) -> None:
        """It said that it does not want to be asked before then."""
        until_s = min(until_s, now_s + self._policy.quota.rest_max_s)
        cells, at = self._cells, self._at + _REST
        if until_s > cells[at]:
            cells[at] = until_s
            self._cells[self._at + _CHANGES] += 1.0

    def limited(self, key: int, until_s: float | None, now_s: float) -> None:
        """A 429 for this key; ``until_s`` where it says how long it lasts."""
        at, rule = self._key_at(key), self._policy.quota
        cells = self._cells
        rests = cells[at + _KEY_REST] > now_s
        if until_s is None:
            if rests:
                return  # it was under way when the first one came back
            until_s = now_s + rule.rest_s * 2.0 ** cells[at + _STRIKES]
        if not rests:
            cells[at + _STRIKES] = min(cells[at + _STRIKES] + 1.0, STRIKES_MAX)
        until_s = min(until_s, now_s + rule.rest_max_s)
        cells[at + _KEY_REST] = max(cells[at + _KEY_REST], until_s)
        cells[self._at + _CHANGES] += 1.0

    def foreign_rest(self, key: int, until_s: float) -> None:
        """Another host was told that a key rests; quotas are the account's."""
        at = self._key_at(key) + _KEY_REST
        if until_s > self._cells[at]:
            self._cells[at] = until_s
            self._cells[self._at + _CHANGES] += 1.0

    def foreign_meter(self, key: int, measure: int, meter: quota.Meter) -> None:
        """What another host was told of a quota; the later word counts."""
        if meter.seen_s > self.meter(key, measure).seen_s:
            at = self._meter_at(key, measure)
            for i, value in enumerate(meter):
                self._cells[at + i] = value
            self._cells[self._at + _CHANGES] += 1.0

    def served(self, key: int) -> None:
        """The key was good for an answer."""
        self._cells[self._key_at(key) + _STRIKES] = 0.0

    def told(self, key: int, lefts: Sequence[quota.Left], now_s: float) -> None:
        """What an answer's headers said is left for this key."""
        cells = self._cells
        share = 1.0 - cells[self._at + _QUOTA_TAKEN]
        for left in lefts:
            at = self._meter_at(key, left.measure)
            meter = quota.metered(self.meter(key, left.measure), left, share, now_s)
            for i, value in enumerate(meter):
                cells[at + i] = value
        after = self._quota_share(now_s)
        if after != share:
            cells[self._at + _QUOTA_TAKEN] = 1.0 - after
            cells[self._at + _CHANGES] += 1.0

    def choose_key(self, now_s: float) -> int:
        """The key with most quota left; of equals the one that was not used for longest."""
        cells, rule = self._cells, self._policy.quota
        best, best_rank = 0, (-1.0, 0.0)
        for key in self._keys:
            at = self._key_at(key)
            resting = cells[at + _KEY_REST] > now_s
            left = 0.0 if resting else min(
                quota.fullness(meter, now_s, rule) for meter in self._meters(key)
            )  # fmt: skip
            rank = (left, -cells[at + _CHOSEN])
            if rank > best_rank:
                best, best_rank = key, rank
        return best

    def chosen(self, key: int, now_s: float) -> None:
        """A request goes with this key."""
        self._cells[self._key_at(key) + _CHOSEN] = now_s

    # ------------------------------------------------------------------- slowness

    def may_step(self, now_s: float) -> bool:
        """Whether it is time for ``step``."""
        return not 0 <= now_s - self._cells[self._at + _STEPPED] < latency.STEP_S

    def step(self, others_ms: Sequence[float] | None, now_s: float) -> None:
        """Moves the share that latency allows; every ``STEP_S``.

        ``others_ms`` are the medians of late, whole answers and streams, of the best other
        target (0 for unknown); None where there is no other.
        """
        cells, at, rule = self._cells, self._at, self._policy.slow
        passed_s = max(0.0, now_s - cells[at + _STEPPED])
        cells[at + _STEPPED] = now_s
        if not self.is_closed:
            return  # the circuit decides
        slow = others_ms is not None and any(
            self._is_slow(kind, others_ms[kind], now_s) for kind in (0, 1)
        )
        moved = 1.0 - latency.next_share(1.0 - cells[at + _MOVED], passed_s, rule, slow=slow)
        if moved != cells[at + _MOVED]:
            cells[at + _MOVED] = moved
            cells[at + _CHANGES] += 1.0

    def usual_ms(self, *, stream: bool, now_s: float) -> float | None:
        """The median that is usual for it; None where too little was seen."""
        row = self._histogram(_USUAL, stream)
        if latency.weight_of(row, now_s, self._policy.slow.history_s) < latency.USUAL_MIN:
            return None
        return latency.quantile(row, 0.5)

    def median_ms(self, *, stream: bool, now_s: float) -> float:
        """The median of late, else the usual one; 0 where neither is known."""
        row = self._histogram(_RECENT, stream)
        if latency.weight_of(row, now_s, latency.RECENT_HALF_LIFE_S) >= latency.RECENT_MIN:
            return latency.quantile(row, 0.5)
        return self.usual_ms(stream=stream, now_s=now_s) or 0.0

    def quantiles_ms(self, now_s: float) -> tuple[float, float] | tuple[None, None]:
        """p50 and p95 over all answers: of late where there are enough, else the usual ones."""
        for at, half_life_s in (
            (_RECENT, latency.RECENT_HALF_LIFE_S),
            (_USUAL, self._policy.slow.history_s),
        ):
            rows = self._histogram(at, stream=False), self._histogram(at, stream=True)
            weights = [latency.weight_of(row, now_s, half_life_s) for row in rows]
            if sum(weights) >= latency.USUAL_MIN:
                row = rows[0] if not weights[1] else rows[1]
                if all(weights):
                    row = _mixed(rows, weights)
                return latency.quantile(row, 0.5), latency.quantile(row, 0.95)
        return None, None

    # -------------------------------------------------------------------- reading

    @property
    def changes(self) -> float:
        """Another number whenever something that matters to plans has changed."""
        return self._cells[self._at + _CHANGES]

    @property
    def touched_s(self) -> float:
        """When it was last sent a request, or answered one."""
        return self._cells[self._at + _TOUCHED]

    @property
    def moved(self) -> float:
        """The part of its traffic that slowness has taken from it."""
        return self._cells[self._at + _MOVED]

    @property
    def rest_until_s(self) -> float:
        """Until when it asked for rest, all keys together."""
        return max(
            self._cells[self._at + _REST],
            min(self._cells[self._key_at(key) + _KEY_REST] for key in self._keys),
        )

    @property
    def asked_rest_s(self) -> float:
        """Until when the target itself asked for rest, whatever the key."""
        return self._cells[self._at + _REST]

    def has_key(self, key: int) -> bool:
        """Whether its provider has a credential at this position."""
        return key in self._keys

    @property
    def circuit(self) -> Circuit:
        at = self._at + _CIRCUIT
        return Circuit._make(self._cells[at : at + len(Circuit._fields)])

    def meter(self, key: int, measure: int) -> quota.Meter:
        """What was last told of one measure of one key."""
        at = self._meter_at(key, measure)
        return quota.Meter._make(self._cells[at : at + _METER_CELLS])

    def key_rest_s(self, key: int) -> float:
        """Until when one key rests; the past where it does not."""
        return self._cells[self._key_at(key) + _KEY_REST]

    def standing(
        self, now_s: float, latencies: tuple[float | None, float | None] = (None, None)
    ) -> Standing:
        """What a plan should make of it now."""
        share, why = min(
            self._circuit_share(now_s),
            (self._rest_share(self._cells[self._at + _REST], now_s), ASKED_TO_WAIT),
            self._keys_share(now_s),
        )
        left = 1.0 - self.moved
        if left < 1.0:
            why = SLOW if share >= 1.0 else why
            share *= left
        if share >= 1.0:
            return IN_ORDER if latencies[0] is None else Standing(1.0, "", *latencies)
        return Standing(share, why, *latencies)

    def _circuit_share(self, now_s: float) -> tuple[float, str]:
        policy = self._policy.circuit
        circuit = advance(self.circuit, now_s)
        share = circuit_share(circuit, now_s, policy)
        if circuit.state == State.OPEN:
            return share, CIRCUIT_OPEN
        if circuit.state == State.CLOSED:
            return share, RECOVERING if share < 1.0 else ""
        silent_s = now_s - self._cells[self._at + _SENT]
        if self._cells[self._at + _PROBES] >= policy.probes_at_once and silent_s < PROBE_LOST_S:
            return 0.0, PROBING
        return PROBE_NOW if silent_s >= PROBE_PAUSE_S else share, PROBING

    def _keys_share(self, now_s: float) -> tuple[float, str]:
        """The best key's: whatever rests, the others take its requests."""
        return max(self._key_share(key, now_s) for key in self._keys)

    def _key_share(self, key: int, now_s: float) -> tuple[float, str]:
        rest = self._rest_share(self._cells[self._key_at(key) + _KEY_REST], now_s)
        left = self._key_quota_share(key, now_s)
        return (left, QUOTA) if left < rest else (rest, ASKED_TO_WAIT)

    def _quota_share(self, now_s: float) -> float:
        return max(self._key_quota_share(key, now_s) for key in self._keys)

    def _key_quota_share(self, key: int, now_s: float) -> float:
        rule = self._policy.quota
        return min(quota.meter_share(meter, now_s, rule) for meter in self._meters(key))

    def _rest_share(self, until_s: float, now_s: float) -> float:
        if not until_s:
            return 1.0
        return 0.0 if now_s < until_s else ramp(until_s, now_s, self._policy.circuit)

    def _is_slow(self, kind: int, others_ms: float, now_s: float) -> bool:
        stream = bool(kind)
        usual_ms = self.usual_ms(stream=stream, now_s=now_s)
        row = self._histogram(_RECENT, stream)
        few = latency.weight_of(row, now_s, latency.RECENT_HALF_LIFE_S) < latency.RECENT_MIN
        if usual_ms is None or few:
            return False
        recent_ms = latency.quantile(row, 0.5)
        return latency.is_slow(recent_ms, usual_ms, others_ms, self._policy.slow)

    # ------------------------------------------------------------------ the cells

    def _put(self, before: Circuit, after: Circuit, now_s: float) -> Change:
        if after is before:
            return ""
        cells, at = self._cells, self._at
        for i, value in enumerate(after):
            cells[at + _CIRCUIT + i] = value
        if after.state == before.state and after.since_s == before.since_s:
            return ""
        cells[at + _PROBES] = 0.0
        cells[at + _CHANGES] += 1.0
        # How long an outage let everybody wait says nothing of the target after it, and while it
        # lasts the circuit keeps traffic away: else a provider that hung would come back slowly.
        cells[at + _MOVED] = 0.0
        for i in range(2 * latency.CELLS):
            cells[at + _RECENT + i] = 0.0
        return _CHANGE_OF[int(after.state)]

    def _histogram(self, at: int, stream: bool) -> Sequence[float]:
        first = self._at + at + latency.CELLS * stream
        return self._cells[first : first + latency.CELLS]

    def _key_at(self, key: int) -> int:
        return self._at + _KEYS + key * _KEY_CELLS

    def _meter_at(self, key: int, measure: int) -> int:
        return self._key_at(key) + _METERS + measure * _METER_CELLS

    def _meters(self, key: int) -> Iterator[quota.Meter]:
        for measure in range(len(MEASURES)):
            yield self.meter(key, measure)


_CHANGE_OF: Final[dict[int, Change]] = {
    State.CLOSED: "closed",
    State.OPEN: "opened",
    State.HALF_OPEN: "probing",
}


def _mixed(rows: Sequence[Sequence[float]], weights: Sequence[float]) -> list[float]:
    """Two histograms as one, each observation with what it weighs now."""
    totals = [sum(row[1:]) for row in rows]
    return [0.0] + [
        sum(
            row[i] * weight / total
            for row, weight, total in zip(rows, weights, totals, strict=True)
        )
        for i in range(1, latency.CELLS)
    ]
