"""Abuse of credentials: counted, told, throttled, suspended, and never unbounded."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_extproc.config.model import AbuseRule
from gateway_extproc.core.identity import Proven
from gateway_extproc.identity import abuse
from gateway_extproc.identity.abuse import AbuseWatch, network_of
from support.clock import FakeClock

HERE = "192.0.2.7"


class World:
    """A watch over rules, a clock, and the suspensions that were asked for."""

    def __init__(self, *rules: dict[str, Any], workers: int = 1) -> None:
        self.clock = FakeClock()
        self.suspended: list[tuple[str, float, str]] = []
        self.proofs: dict[Any, Proven] = {}
        made = [AbuseRule.model_validate({"id": f"r{i}", **rule}) for i, rule in enumerate(rules)]
        self.watch = AbuseWatch(
            made, workers, self.clock.now_s, lambda *args: self.suspended.append(args)
        )

    def use(self, who: str = "k1", source: str = HERE, **fields: Any) -> str:
        """What becomes of one request: passes, alert, or the reason of its refusal."""
        key = (who, *sorted(fields.items()))
        if key not in self.proofs:
            self.proofs[key] = proven(who, **fields)
        seen = self.watch.used(self.proofs[key], source)
        if seen.refusal is not None:
            return seen.refusal.reason
        return "alert" if seen.events else "passes"


def proven(who: str, method: str = "api_key", tenant: str = "acme") -> Proven:
    return Proven(tenant, "ann", "app", ("developer",), method, who)


def test_volume_over_the_threshold_is_told_once_and_counted_anew() -> None:
    world = World({"signal": "volume", "threshold": 3})
    assert [world.use() for _ in range(8)] == [*["passes"] * 3, "alert", *["passes"] * 3, "alert"]


def test_credentials_are_counted_apart_and_windows_too() -> None:
    world = World({"signal": "volume", "threshold": 2, "window_s": 10.0})
    assert [world.use("a"), world.use("b"), world.use("a"), world.use("b")] == ["passes"] * 4
    world.clock.advance(10)
    assert [world.use("a"), world.use("a"), world.use("a")] == ["passes", "passes", "alert"]


def test_only_sudden_volume_counts_where_a_factor_says_so() -> None:
    world = World({"signal": "volume", "threshold": 2, "factor": 3.0, "window_s": 10.0})
    assert [world.use() for _ in range(2)] == ["passes"] * 2
    world.clock.advance(10)
    # Two in the window before: more than six are sudden.
    assert [world.use() for _ in range(7)] == [*["passes"] * 6, "alert"]


def test_each_worker_counts_its_share() -> None:
    world = World({"signal": "volume", "threshold": 8}, workers=4)
    assert [world.use() for _ in range(3)] == ["passes", "passes", "alert"]


def test_a_throttled_credential_waits_as_told_and_others_do_not() -> None:
    world = World({"signal": "volume", "threshold": 1, "action": "throttle", "for_s": 60.0})
    assert [world.use(), world.use(), world.use()] == ["passes", *["credential_throttled"] * 2]
    assert world.use("other") == "passes"
    refusal = world.watch.used(world.proofs[("k1",)], HERE).refusal
    assert refusal is not None
    assert (refusal.retry_after_s, refusal.rule) == (60.0, "r0")
    world.clock.advance(60)
    assert world.use() == "passes"


def test_a_suspension_goes_to_the_store_and_holds_here_only_until_it_comes_back() -> None:
    world = World({"signal": "volume", "threshold": 1, "action": "suspend", "for_s": 600.0})
    world.use()
    seen = world.watch.used(world.proofs[("k1",)], HERE)
    assert world.suspended == [("k1", 600.0, "abuse rule r0")]
    assert [(e.action, e.kind, e.subject) for e in seen.events] == [("suspend", "volume", "k1")]
    assert world.use() == "credential_throttled"
    world.clock.advance(abuse.ARRIVAL_S)
    assert world.use() == "passes"


def test_a_key_that_was_lifted_begins_anew_in_every_worker() -> None:
    """Its record changed, so its proof is another one; also where it was not yet too much."""
    world = World({"signal": "volume", "threshold": 2, "action": "suspend"})
    assert [world.use(), world.use()] == ["passes"] * 2
    world.proofs.clear()
    assert [world.use(), world.use(), world.use()] == ["passes"] * 2 + ["credential_throttled"]
    world.proofs.clear()
    assert world.use() == "passes"


def test_other_credentials_may_have_a_new_proof_each_time_and_are_counted_all_the_same() -> None:
    world = World({"signal": "volume", "threshold": 2})
    told = []
    for _ in range(3):
        world.proofs.clear()
        told.append(world.use(method="signature"))
    assert told == ["passes", "passes", "alert"]


def test_what_is_no_api_key_is_throttled_instead_of_suspended() -> None:
    world = World({"signal": "volume", "threshold": 1, "action": "suspend", "for_s": 60.0})
    world.use(method="jwt")
    seen = world.watch.used(proven("k1", method="jwt"), HERE)
    assert world.suspended == []
    assert [event.action for event in seen.events] == ["throttle"]
    world.clock.advance(59)
    assert world.use(method="jwt") == "credential_throttled"


def test_many_networks_of_one_credential_are_told() -> None:
    world = World({"signal": "networks", "threshold": 2})
    sources = ["192.0.2.1", "192.0.2.200", "198.51.100.1", "192.0.2.3", "203.0.113.1"]
    assert [world.use(source=s) for s in sources] == [*["passes"] * 4, "alert"]
    assert world.use("other", source="203.0.113.1") == "passes"
    assert world.use(source="") == "passes"


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8:1::1", "2001:db8:1:ffff::1", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
    ],
)
def test_networks_are_24_and_48_bits(a: str, b: str, *, same: bool) -> None:
    assert (network_of(a) == network_of(b)) is same


def test_many_failures_from_one_address_throttle_it_and_nobody_else() -> None:
    world = World({"signal": "failures", "threshold": 2, "action": "throttle", "for_s": 30.0})
    assert [len(world.watch.failed(HERE).events) for _ in range(3)] == [0, 0, 1]
    refusal = world.watch.arrived(HERE)
    assert refusal is not None
    assert (refusal.reason, refusal.status) == ("credential_throttled", 429)
    assert world.watch.arrived("192.0.2.8") is None
    assert world.watch.arrived("") is None
    world.clock.advance(30)
    assert world.watch.arrived(HERE) is None


def test_an_unknown_address_is_not_counted() -> None:
    world = World({"signal": "failures", "threshold": 1, "action": "throttle"})
    assert [world.watch.failed("").events for _ in range(5)] == [()] * 5


def test_rules_concern_the_tenants_they_name() -> None:
    world = World(
        {"signal": "volume", "threshold": 1, "tenants": ("beta",)},
        {"signal": "networks", "threshold": 1, "tenants": ("beta",)},
    )
    assert [world.use(source=f"10.0.{i}.1") for i in range(5)] == ["passes"] * 5
    assert [world.use("b", tenant="beta") for i in range(2)] == ["passes", "alert"]


def test_a_flood_of_names_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abuse, "MAX_SUBJECTS", 100)
    world = World(
        {"signal": "volume", "threshold": 1, "action": "throttle"},
        {"signal": "networks", "threshold": 1},
        {"signal": "failures", "threshold": 1, "action": "throttle"},
    )
    for i in range(1000):
        world.use(f"k{i}")
        world.use(f"k{i}", source=f"10.0.{i % 250}.1")
        world.watch.failed(f"10.{i // 250}.{i % 250}.1")
        world.watch.failed(f"10.{i // 250}.{i % 250}.1")
    watch = world.watch
    assert len(watch._throttled) <= 100
    assert all(len(c.now) <= 100 for c in (*watch._volume, *watch._failures))
    assert all(len(c.seen) <= 100 for c in watch._networks)
