"""One target's row on a model clock: what attempts do to it, and what plans make of it."""

from __future__ import annotations

import itertools
import random

import pytest

from gateway_extproc.config.health import Circuit, Health, Quota, Slowness
from gateway_extproc.core.standing import IN_ORDER, Standing
from gateway_extproc.routing.quota import Left
from gateway_extproc.routing.row import (
    ASKED_TO_WAIT,
    CIRCUIT_OPEN,
    PROBING,
    QUOTA,
    RECOVERING,
    ROW_CELLS,
    SLOW,
    TargetRow,
)

NOW = 1_000_000.0
POLICY = Health()


def make_row(policy: Health = POLICY, keys: int = 1) -> TargetRow:
    return TargetRow([0.0] * ROW_CELLS, 0, policy, keys)


def fail(row: TargetRow, times: int, now_s: float = NOW) -> None:
    for _ in range(times):
        row.ended("failure", now_s, now_s)


def test_a_target_that_nobody_has_seen_is_in_order() -> None:
    assert make_row().standing(NOW) is IN_ORDER


def test_an_outage_takes_its_traffic_and_gives_it_back() -> None:
    row = make_row()
    fail(row, 5)
    assert (row.standing(NOW).share, row.standing(NOW).why) == (0.0, CIRCUIT_OPEN)
    probing_s = NOW + POLICY.circuit.open_s
    assert row.standing(probing_s).why == PROBING
    changes = []
    for i in range(3):
        changes.append(row.sent(probing_s + i))
        changes.append(row.ended("success", probing_s + i, probing_s + i))
    assert changes == ["probing", "", "", "", "", "closed"]
    assert row.standing(probing_s + 2).why == RECOVERING
    assert row.standing(probing_s + 2 + POLICY.circuit.ramp_s) is IN_ORDER


def test_only_so_many_probes_wait_together() -> None:
    row = make_row()
    fail(row, 5)
    now_s = NOW + POLICY.circuit.open_s
    for _ in range(POLICY.circuit.probes_at_once):
        assert row.standing(now_s).share > 0
        row.sent(now_s)
    assert row.standing(now_s).share == 0.0
    row.ended("neutral", now_s, now_s)  # a client left: its probe is free again
    assert row.standing(now_s).share == POLICY.circuit.probe_share


def test_a_target_with_little_traffic_is_probed_by_the_next_request() -> None:
    row = make_row()
    fail(row, 5)
    assert row.standing(NOW + 60).share == pytest.approx(1.0)


def test_probes_whose_worker_died_do_not_keep_it_out() -> None:
    row = make_row()
    fail(row, 5)
    now_s = NOW + POLICY.circuit.open_s
    for _ in range(POLICY.circuit.probes_at_once):
        row.sent(now_s)
    assert row.standing(now_s + 1).share == 0.0
    assert row.standing(now_s + 6).share > 0.0


# ----------------------------------------------------------------------------- rests


def test_it_is_not_asked_before_the_time_that_it_named() -> None:
    row = make_row()
    row.limited(0, NOW + 7, NOW)
    assert (row.standing(NOW + 6.9).share, row.standing(NOW + 6.9).why) == (0.0, ASKED_TO_WAIT)
    assert 0 < row.standing(NOW + 7.1).share < 1
    assert row.standing(NOW + 7 + POLICY.circuit.ramp_s).share == 1.0


def test_no_rest_is_longer_than_the_configuration_allows() -> None:
    row = make_row(Health(quota=Quota(rest_max_s=20)))
    row.limited(0, NOW + 86400, NOW)
    row.rest(NOW + 86400, NOW)
    assert row.standing(NOW + 19).share == 0.0
    assert row.standing(NOW + 20.1).share > 0.0


def test_a_429_without_a_time_rests_longer_each_time_until_it_serves_again() -> None:
    row, rests, now_s = make_row(), [], NOW
    for _ in range(4):
        row.limited(0, None, now_s)
        row.limited(0, None, now_s)  # was under way when the first one came back
        rests.append(row.key_rest_s(0) - now_s)
        now_s = row.key_rest_s(0) + 0.1
    assert rests == pytest.approx([1, 2, 4, 8])
    row.served(0)
    row.limited(0, None, now_s)
    assert row.key_rest_s(0) - now_s == pytest.approx(1)


def test_a_429_is_no_failure() -> None:
    row = make_row()
    for i in range(50):
        row.limited(0, NOW + 1, NOW + i)
        row.ended("limited", NOW + i, NOW + i)
    assert row.circuit.state == 0


# ----------------------------------------------------------------------------- pools


def test_a_request_takes_the_key_with_most_quota_left() -> None:
    row = make_row(keys=3)
    for key, left in ((0, 20), (1, 90), (2, 60)):
        row.told(key, (Left(0, left, 100, NOW + 60),), NOW)
    assert row.choose_key(NOW) == 1
    row.told(1, (Left(1, 5, 100, NOW + 60),), NOW)  # but hardly any tokens
    assert row.choose_key(NOW) == 2
    assert row.choose_key(NOW + 61) in (0, 1, 2)


def test_keys_of_which_nothing_is_known_take_turns() -> None:
    row, chosen = make_row(keys=3), []
    for i in range(6):
        chosen.append(row.choose_key(NOW + i))
        row.chosen(chosen[-1], NOW + i)
    assert chosen == [0, 1, 2, 0, 1, 2]


def test_a_key_that_was_refused_rests_and_the_others_serve() -> None:
    row = make_row(keys=2)
    row.limited(0, NOW + 30, NOW)
    assert row.standing(NOW + 1).share == 1.0
    assert {row.choose_key(NOW + i) for i in range(29)} == {1}
    row.limited(1, NOW + 10, NOW)
    assert row.standing(NOW + 1).share == 0.0
    assert row.standing(NOW + 9.9).why == ASKED_TO_WAIT
    assert row.standing(NOW + 15).share == 1.0


def test_a_quota_that_is_used_up_sends_traffic_elsewhere() -> None:
    row = make_row()
    row.told(0, (Left(0, 0, 100, NOW + 20),), NOW)
    assert (row.standing(NOW + 1).share, row.standing(NOW + 1).why) == (0.0, QUOTA)
    assert row.standing(NOW + 20).share == 1.0


# -------------------------------------------------------------------------- slowness


def simulate(
    latency_ms: list[float],
    *,
    seconds: int = 120,
    spike: tuple[int, int] = (60, 75),
    rate: int = 20,
) -> list[float]:
    """Shares of the first of two targets, one a second; the second one takes ``latency_ms[2]``.

    ``latency_ms`` are the first one's, usually and in the spike.
    """
    policy = Health(slow=Slowness(return_s=20))
    first, second, draw, shares = make_row(policy), make_row(policy), random.Random(3), []
    for step in range(seconds * rate):
        now_s = NOW + step / rate
        in_spike = spike[0] <= step / rate < spike[1]
        if draw.random() < first.standing(now_s).share:
            usual = latency_ms[1] if in_spike else latency_ms[0]
            first.first_byte(usual * draw.uniform(0.7, 1.4), now_s, stream=False)
        else:
            second.first_byte(latency_ms[2] * draw.uniform(0.7, 1.4), now_s, stream=False)
        if first.may_step(now_s):
            best = (second.median_ms(stream=False, now_s=now_s), 0.0)
            first.step(best, now_s)
        if step % rate == 0:
            shares.append(first.standing(now_s).share)
    return shares


def test_traffic_leaves_a_target_that_becomes_slow_and_returns_gradually() -> None:
    shares = simulate([300, 3000, 400])
    assert min(shares[:60]) == 1.0
    assert shares[66] <= 0.1, shares[58:70]
    after = shares[76:]
    assert all(b - a <= 0.12 for a, b in itertools.pairwise(after))
    assert after[5] < 0.6
    assert shares[-1] == 1.0
    assert all(share >= POLICY.slow.floor * 0.99 for share in shares)


def test_traffic_stays_where_the_alternative_is_slower_still() -> None:
    assert min(simulate([300, 3000, 9000])) < 1.0  # nobody has measured it: it is tried
    shares = simulate([300, 3000, 9000])
    assert max(shares[66:74]) > 0.2


def test_noise_moves_nothing() -> None:
    assert set(simulate([300, 300, 100])) == {1.0}


def test_a_target_alone_keeps_its_traffic_however_slow() -> None:
    row = make_row()
    for i in range(200):
        row.first_byte(100 if i < 150 else 5000, NOW + i / 10, stream=True)
        row.step(None, NOW + i / 10)
    assert row.standing(NOW + 20).share == 1.0


def test_what_stays_slow_becomes_usual() -> None:
    policy = Health(slow=Slowness(history_s=60))
    row, shares = make_row(policy), []
    for i in range(9000):
        now_s = NOW + i / 10
        row.first_byte(300 if i < 1000 else 2000, now_s, stream=False)
        if row.may_step(now_s):
            row.step((100.0, 100.0), now_s)
        shares.append(row.standing(now_s).share)
    assert min(shares[1000:2000]) == pytest.approx(policy.slow.floor)
    assert shares[-1] == 1.0


def test_streams_and_whole_answers_have_pasts_of_their_own() -> None:
    """A stream's first byte comes early, a whole answer's when it is written: a mix that changes
    is no spike."""
    row = make_row()
    for i in range(400):
        now_s = NOW + i / 10
        mostly_streams = i < 200
        row.first_byte(100, now_s, stream=True)
        row.first_byte(3000, now_s, stream=False)
        if not mostly_streams:
            for _ in range(5):
                row.first_byte(3000, now_s, stream=False)
        row.step((10.0, 10.0), now_s)
    assert row.standing(NOW + 40).share == 1.0


def test_quantiles_are_told_of_what_is_recent() -> None:
    row = make_row()
    assert row.quantiles_ms(NOW) == (None, None)
    for i in range(100):
        row.first_byte(100 if i % 10 else 1000, NOW + i / 50, stream=bool(i % 2))
    p50, p95 = row.quantiles_ms(NOW + 2)
    assert p50 == pytest.approx(100, rel=0.15)
    assert p95 == pytest.approx(1000, rel=0.15)
    standing = row.standing(NOW + 2, (p50, p95))
    assert (standing.share, standing.p50_ms) == (1.0, p50)


def test_overdue_requests_count_before_they_are_answered() -> None:
    row = make_row()
    for i in range(100):
        row.first_byte(200, NOW + i / 10, stream=False)
    for i in range(30):
        row.overdue(1500, NOW + 12 + i / 30, stream=False)
    row.step((150.0, 150.0), NOW + 13)
    assert row.standing(NOW + 13).why == SLOW


def test_what_an_outage_let_everybody_wait_does_not_slow_the_return() -> None:
    row, policy = make_row(), POLICY.circuit
    for i in range(100):
        row.first_byte(200, NOW + i / 10, stream=False)
    for i in range(30):
        row.overdue(1500, NOW + 12 + i / 30, stream=False)
    row.step((150.0, 150.0), NOW + 13)
    assert row.standing(NOW + 13).why == SLOW
    fail(row, 5, NOW + 13)
    row.overdue(1500, NOW + 13.5, stream=False)  # one that was under way
    row.step((150.0, 150.0), NOW + 14)
    closed_s = NOW + 13 + policy.open_s
    for _ in range(policy.close_after):
        row.sent(closed_s)
        row.ended("success", closed_s, closed_s)
    for i in range(10):
        row.first_byte(200, closed_s + i / 10, stream=False)
    row.step((150.0, 150.0), closed_s + 1)
    assert row.standing(closed_s + policy.ramp_s) == Standing(1.0, "", None, None)


# ----------------------------------------------------------------------- other hosts


def test_an_outage_of_another_host_counts_once() -> None:
    row = make_row(Health(circuit=Circuit(close_after=1)))
    assert row.foreign_outage(NOW - 1, NOW) == "opened"
    assert row.circuit.opened_s == NOW - 1
    later_s = NOW + 5
    row.sent(later_s)
    assert row.ended("success", later_s, later_s) == "closed"
    assert row.foreign_outage(NOW - 1, later_s) == ""  # the same outage, still told by the other
    assert row.foreign_outage(NOW + 3, later_s) == "opened"


def test_a_broken_stream_makes_the_next_ones_count_at_their_end() -> None:
    row = make_row()
    assert row.trusts_streams
    row.stream_over(well=False)
    assert not row.trusts_streams
    row.stream_over(well=True)
    assert row.trusts_streams
