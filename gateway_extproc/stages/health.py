"""health: what attempts say of targets, told to whoever keeps standings.

Stands behind everything that could still refuse, so that only what is really sent is watched.
What a request's first target was sent, when its headers came and how its body ended are three
different moments; an attempt is judged as soon as it can be:

- one that failed, and any answer with an error status: at the response headers;
- a whole answer, and a stream of a target whose last one broke: when its body is over;
- any other stream: at its headers, and once more if the provider's error comes later.

A client that leaves says nothing of the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, Protocol

from gateway_extproc.config.quotaheaders import Told
from gateway_extproc.core.exchange import Event, Exchange
from gateway_extproc.core.names import ATTEMPT_TOLD, DETAILS_PREFIX
from gateway_extproc.core.route import Target
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import CONTINUE, Verdict
from gateway_extproc.core.watching import Watching
from gateway_extproc.routing.attempts import attempts_made
from gateway_extproc.routing.circuit import Outcome, outcome_of
from gateway_extproc.routing.quota import Left, read_left, read_retry_after
from gateway_extproc.routing.row import Change
from gateway_extproc.routing.watched import TargetKey, key_of, name_of

PROVIDER_FAULTS: Final = frozenset(
    {"provider_error", "provider_stream_incomplete", "provider_answer_unreadable"}
)
"""Why an answer with a good status is a failure of whoever gave it."""

ATTEMPT_DETAILS: Final = ("upstream_", "response_timeout", "no_healthy_upstream")
"""Envoy's own answers that speak of an attempt; others speak of the client or of Envoy."""
OVERFLOW: Final = "overflow"
"""Envoy's own bound of requests in flight: nothing was sent."""
REFUSED_CREDENTIAL: Final = frozenset({401, 403})


class Waited(Protocol):
    """A request that has waited for its first target."""

    overdue: bool


class Watch(Protocol):
    """Takes what attempts say.  Never waits."""

    def sent(self, key: TargetKey, now_s: float, *, stream: bool) -> tuple[int, Change]: ...

    def answered(self, number: int) -> Waited | None: ...

    def first_byte(
        self, key: TargetKey, ms: float, now_s: float, *, stream: bool, was_overdue: bool = False
    ) -> None: ...

    def ended(
        self, key: TargetKey, outcome: Outcome, sent_s: float, now_s: float, position: int = 0
    ) -> Change: ...

    def stream_over(self, key: TargetKey, *, well: bool) -> None: ...

    def trusts_streams(self, key: TargetKey) -> bool: ...

    def limited(
        self, key: TargetKey, position: int, until_s: float | None, now_s: float
    ) -> None: ...

    def rest(self, key: TargetKey, until_s: float, now_s: float) -> None: ...

    def wants_told(self, key: TargetKey, position: int, now_s: float) -> bool: ...

    def told(
        self, key: TargetKey, position: int, lefts: tuple[Left, ...], now_s: float
    ) -> None: ...

    def choose_key(self, key: TargetKey, now_s: float) -> int: ...


class Ended(NamedTuple):
    """One attempt as it is judged, and the headers that came with its answer."""

    target: Target
    cluster: str
    status: int
    headers: Mapping[str, str]


class Health(Stage):
    """``quota_headers`` is the table of headers by provider, ``pools`` how many credentials each
    provider with several of them has."""

    name = "health"

    def __init__(
        self,
        watch: Watch,
        quota_headers: Mapping[str, tuple[Told, ...]],
        pools: Mapping[str, int],
        now_s: Callable[[], float],
    ) -> None:
        self._watch, self._now_s = watch, now_s
        self._quota_headers, self._pools = quota_headers, pools

    async def request_body(self, exchange: Exchange, body: bytes) -> Verdict:
        if not exchange.targets or exchange.relayed is not None:
            return CONTINUE
        now_s = self._now_s()
        key = key_of(exchange.targets[0])
        stream = exchange.asked is not None and exchange.asked.stream
        number, change = self._watch.sent(key, now_s, stream=stream)
        exchange.watching = Watching(number, now_s, self._positions(exchange.targets, now_s))
        self._note(exchange, key, change)
        return CONTINUE

    def _positions(self, targets: tuple[Target, ...], now_s: float) -> Mapping[str, int]:
        """The credential of each target's attempt, where its provider has several."""
        if not self._pools:
            return {}
        return {
            target.fallback_cluster if i else target.cluster: self._watch.choose_key(
                key_of(target), now_s
            )
            for i, target in enumerate(targets)
            if target.provider in self._pools
        }

    async def response_headers(self, exchange: Exchange) -> Verdict:
        watching = exchange.watching
        if watching is None or watching.headers_came:
            return CONTINUE
        watching.headers_came = True
        now_s = self._now_s()
        waited = self._watch.answered(watching.number)
        target = exchange.answered_by
        if target is None or exchange.attempt_count != 1 or exchange.response_status >= 400:
            for attempt in self._failed(exchange):
                self._judge(exchange, watching, attempt, now_s)
        if target is None or exchange.response_status >= 400:
            return CONTINUE
        position = watching.positions.get(exchange.response_cluster, 0)
        if self._watch.wants_told(key_of(target), position, now_s):
            self._tell_left(watching, _answer(exchange, target), now_s)
        self._time(exchange, watching, target, now_s, was_overdue=bool(waited and waited.overdue))
        key = key_of(target)
        watching.unjudged = target
        if exchange.streaming and self._watch.trusts_streams(key):
            watching.is_counted = True
            change = self._watch.ended(key, "success", watching.sent_s, now_s, position)
            self._note(exchange, key, change)
        return CONTINUE

    async def close(self, exchange: Exchange) -> None:
        watching = exchange.watching
        if watching is None:
            return
        now_s = self._now_s()
        if not watching.headers_came and exchange.response_status:
            # An answer without a body is read, and may be refused, before this stage sees it.
            await self.response_headers(exchange)
        if not watching.headers_came:
            # The client left, or a later stage refused: the target has a probe to give back.
            self._watch.answered(watching.number)
            key = key_of(exchange.targets[0])
            self._watch.ended(key, "neutral", watching.sent_s, now_s)
        elif watching.unjudged is not None:
            self._judge_body(exchange, watching, watching.unjudged, now_s)

    def _judge_body(
        self, exchange: Exchange, watching: Watching, target: Target, now_s: float
    ) -> None:
        key = key_of(target)
        reason = exchange.refusal.reason if exchange.refusal is not None else ""
        failed = reason in PROVIDER_FAULTS
        if exchange.streaming and (failed or exchange.answer_ended_well):
            self._watch.stream_over(key, well=not failed)
        if watching.is_counted and not failed:
            return
        outcome: Outcome = "failure" if failed else "success"
        if exchange.outcome == "aborted" and not failed:
            outcome = "neutral"
        position = watching.positions.get(exchange.response_cluster, 0)
        change = self._watch.ended(key, outcome, watching.sent_s, now_s, position)
        self._note(exchange, key, change)

    # ------------------------------------------------------------------- attempts

    def _failed(self, exchange: Exchange) -> Iterator[Ended]:
        """Attempts that did not bring a good answer, in their order."""
        answered = exchange.answered_by
        status = exchange.response_status
        notes, targets = exchange.attempt_notes, exchange.targets
        made = attempts_made(
            targets, exchange.attempt_count, notes, status if answered is not None else 0
        )
        for i, attempt in enumerate(made):
            is_last = i == len(made) - 1
            if is_last and answered is not None:
                if status >= 400 and not _is_own_refusal(exchange):
                    yield _answer(exchange, answered)
            elif not is_last or attempt.status or _speaks_of_attempt(exchange.response_details):
                told = read_told(notes.get(f"{i + 1}{ATTEMPT_TOLD}", ""))
                yield Ended(targets[i], attempt.cluster, attempt.status, told)

    def _judge(self, exchange: Exchange, watching: Watching, ended: Ended, now_s: float) -> None:
        key, outcome = key_of(ended.target), outcome_of(ended.status)
        position = watching.positions.get(ended.cluster, 0)
        until_s = read_retry_after(ended.headers, now_s)
        lefts = self._tell_left(watching, ended, now_s)
        if outcome == "limited":
            self._watch.limited(key, position, until_s or _renewal(lefts), now_s)
        elif ended.status in REFUSED_CREDENTIAL and ended.target.provider in self._pools:
            # One bad credential is no outage: the others go on.
            self._watch.limited(key, position, until_s, now_s)
            outcome = "neutral"
        elif until_s is not None and ended.status >= 500:
            self._watch.rest(key, until_s, now_s)
        change = self._watch.ended(key, outcome, watching.sent_s, now_s, position)
        self._note(exchange, key, change)

    def _tell_left(self, watching: Watching, ended: Ended, now_s: float) -> tuple[Left, ...]:
        """Passes on what an answer's headers say of quotas."""
        key = key_of(ended.target)
        position = watching.positions.get(ended.cluster, 0)
        table = self._quota_headers.get(ended.target.provider, ())
        lefts = read_left(ended.headers, table, now_s)
        if lefts:
            self._watch.told(key, position, lefts, now_s)
        return lefts

    def _time(
        self, exchange: Exchange, watching: Watching, target: Target, now_s: float, *,
        was_overdue: bool,
    ) -> None:  # fmt: skip
        """How long the answering attempt took to its headers."""
        began_s = watching.sent_s
        first = exchange.attempt_count == 1
        if not first:
            note = exchange.attempt_notes.get(f"{exchange.attempt_count}{ATTEMPT_TOLD}", "")
            began_ms = read_told(note).get("at", "")
            if not began_ms.isdecimal():
                return
            began_s = int(began_ms) / 1000
        ms = max(0.0, now_s - began_s) * 1000
        self._watch.first_byte(
            key_of(target), ms, now_s, stream=exchange.streaming, was_overdue=was_overdue and first
        )

    def _note(self, exchange: Exchange, key: TargetKey, change: Change) -> None:
        if change:
            exchange.events.append(Event("health", "circuit", _ACTIONS[change], name_of(key)))


_ACTIONS: Final[Mapping[Change, Literal["open", "probe", "close"]]] = {
    "opened": "open",
    "probing": "probe",
    "closed": "close",
}


def _answer(exchange: Exchange, target: Target) -> Ended:
    """The attempt whose answer the router-level stream sees."""
    return Ended(
        target, exchange.response_cluster, exchange.response_status, exchange.response_headers
    )


def _is_own_refusal(exchange: Exchange) -> bool:
    """Whether the gateway itself refused the last attempt, in its provider's words."""
    return exchange.response_details.startswith(DETAILS_PREFIX)


def _speaks_of_attempt(details: str) -> bool:
    return details.startswith(ATTEMPT_DETAILS) and OVERFLOW not in details


def _renewal(lefts: tuple[Left, ...]) -> float | None:
    """When a quota of which nothing is left is whole again."""
    return max(
        (left.reset_s for left in lefts if not left.remaining and left.reset_s), default=None
    )


def read_told(note: str) -> dict[str, str]:
    """What a cluster noted of an attempt: a header a line."""
    found = {}
    for line in note.split("\n"):
        name, _, value = line.partition(": ")
        if value:
            found[name] = value
    return found
