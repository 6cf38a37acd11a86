"""Abuse of credentials: counted in bounded memory, answered by policy.

Three signals: sudden volume of one credential, refused credentials from one address, one
credential from many networks.  Each worker counts what it sees; Envoy spreads requests
evenly, so a worker's share of a threshold stands for the whole.  What is decided here is
an event of the request that tipped the scale; a suspension goes to the key store, where all
workers find it and the command line can lift it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, Final

from gateway_extproc.config.model import AbuseRule
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Event
from gateway_extproc.core.identity import Proven

MAX_SUBJECTS: Final = 20_000
"""Credentials or addresses that one rule remembers; the longest known leaves first."""

ARRIVAL_S: Final = 2.0
"""By then a suspension has come back from the key store to every worker."""

Suspend = Callable[[str, float, str], None]
"""Suspends a key by its id for so many seconds, for a reason; returns at once."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What rules say of one request: a refusal, and events for its record."""

    refusal: Refusal | None = None
    events: tuple[Event, ...] = ()


NOTHING: Final = Seen()


class AbuseWatch:
    """All rules of a configuration, in one worker of ``workers``."""

    def __init__(
        self,
        rules: Sequence[AbuseRule],
        workers: int,
        now_s: Callable[[], float],
        suspend: Suspend,
    ) -> None:
        self._now_s, self._suspend = now_s, suspend
        self._volume = [_Counter(r, _share(r, workers)) for r in rules if r.signal == "volume"]
        self._failures = [_Counter(r, _share(r, workers)) for r in rules if r.signal == "failures"]
        self._networks = [_Networks(r) for r in rules if r.signal == "networks"]
        self._throttled: dict[str, tuple[float, str]] = {}
        self._proofs: dict[str, Proven] = {}

    def arrived(self, source: str) -> Refusal | None:
        """Why nothing is taken from this address now; before any credential is looked at."""
        return self._refusal(f"address {source}") if self._throttled and source else None

    def failed(self, source: str) -> Seen:
        """A credential from this address was refused."""
        if not source or not self._failures:
            return NOTHING
        now_s = self._now_s()
        tipped = [rule for rule in self._failures if rule.tips(source, now_s)]
        for counter in tipped:
            if counter.rule.action != "alert":
                self._throttle(f"address {source}", counter.rule, counter.rule.for_s)
        return Seen(events=tuple(_event(counter.rule, source) for counter in tipped))

    def used(self, proven: Proven, source: str) -> Seen:
        """A good credential was used from this address."""
        if not (self._volume or self._networks):
            return NOTHING
        subject = f"{proven.method} {proven.credential_id}"
        if proven.method == "api_key" and self._proofs.get(subject) is not proven:
            self._begin_anew(subject, proven)
        refusal = self._refusal(subject) if self._throttled else None
        if refusal is not None:
            return Seen(refusal)
        now_s = self._now_s()
        tipped = [
            counter.rule
            for counter in self._volume
            if counter.concerns(proven.tenant) and counter.tips(subject, now_s)
        ]
        if source and self._networks:
            network = network_of(source)
            tipped += [
                counter.rule
                for counter in self._networks
                if counter.concerns(proven.tenant) and counter.tips(subject, network, now_s)
            ]
        return self._act(tipped, proven, subject) if tipped else NOTHING

    def _begin_anew(self, subject: str, proven: Proven) -> None:
        """A key's proof is made anew when its record changed: somebody lifted its suspension.

        What was counted before belongs to what was lifted, in every worker.
        """
        if self._proofs.pop(subject, None) is not None:
            self._throttled.pop(subject, None)
            for counter in self._volume:
                counter.now.pop(subject, None)
            for networks in self._networks:
                networks.seen.pop(subject, None)
        _bound(self._proofs)
        self._proofs[subject] = proven

    def _act(self, rules: Sequence[AbuseRule], proven: Proven, subject: str) -> Seen:
        for rule in rules:
            if rule.action == "suspend" and proven.method == "api_key":
                self._suspend(proven.credential_id, rule.for_s, f"abuse rule {rule.id}")
                # Only until the store says so itself: who lifts it there lifts it here.
                self._throttle(subject, rule, min(rule.for_s, ARRIVAL_S))
            elif rule.action != "alert":
                self._throttle(subject, rule, rule.for_s)
        return Seen(
            self._refusal(subject),
            tuple(_event(rule, proven.credential_id, proven.method) for rule in rules),
        )

    def _throttle(self, subject: str, rule: AbuseRule, seconds: float) -> None:
        until_s = self._now_s() + seconds
        known_s, _ = self._throttled.pop(subject, (0.0, ""))
        _bound(self._throttled)
        self._throttled[subject] = (max(until_s, known_s), rule.id)

    def _refusal(self, subject: str) -> Refusal | None:
        until_s, rule = self._throttled.get(subject, (0.0, ""))
        if not rule:
            return None
        wait_s = until_s - self._now_s()
        if wait_s <= 0:
            del self._throttled[subject]
            return None
        return refuse(
            "credential_throttled",
            "Too many requests of this kind came from you; wait before the next one.",
            retry_after_s=wait_s,
            rule=rule,
        )


@dataclass(slots=True)
class _Counter:
    """How often each subject was seen in this window and in the one before."""

    rule: AbuseRule
    threshold: int
    began_s: float = 0.0
    now: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)

    def concerns(self, tenant: str) -> bool:
        return not self.rule.tenants or tenant in self.rule.tenants

    def tips(self, subject: str, now_s: float) -> bool:
        """Counts once; True when it is too much, and then the count begins again."""
        if now_s - self.began_s >= self.rule.window_s:
            idle = now_s - self.began_s >= 2 * self.rule.window_s
            self.before, self.now = ({} if idle else self.now), {}
            self.began_s = now_s
        count = self.now.pop(subject, 0) + 1
        if count > self.threshold and count > self.rule.factor * self.before.get(subject, 0):
            return True
        _bound(self.now)
        self.now[subject] = count
        return False


@dataclass(slots=True)
class _Networks:
    """From which networks each credential came in this window; at most one too many each."""

    rule: AbuseRule
    began_s: float = 0.0
    seen: dict[str, set[str]] = field(default_factory=dict)

    def concerns(self, tenant: str) -> bool:
        return not self.rule.tenants or tenant in self.rule.tenants

    def tips(self, subject: str, network: str, now_s: float) -> bool:
        """Notes a network; True when they are too many, and then they are forgotten."""
        if now_s - self.began_s >= self.rule.window_s:
            self.began_s = now_s
            self.seen.clear()
        networks = self.seen.get(subject)
        if networks is None:
            _bound(self.seen)
            networks = self.seen[subject] = set()
        networks.add(network)
        if len(networks) <= self.rule.threshold:
            return False
        del self.seen[subject]
        return True


@lru_cache(maxsize=8192)
def network_of(source: str) -> str:
    """The network that an address belongs to: /24, or /48 of IPv6."""
    try:
        address = ip_address(source)
    except ValueError:
        return source
    bits = 24 if address.version == 4 else 48
    return str(ip_network(f"{source}/{bits}", strict=False))


def _share(rule: AbuseRule, workers: int) -> int:
    return max(1, math.ceil(rule.threshold / max(1, workers)))


def _bound(subjects: dict[str, Any]) -> None:
    if len(subjects) >= MAX_SUBJECTS:
        del subjects[next(iter(subjects))]


def _event(rule: AbuseRule, subject: str, method: str = "api_key") -> Event:
    action = rule.action
    if action == "suspend" and method != "api_key":
        action = "throttle"
    return Event("abuse", rule.signal, action, subject, rule.id)
