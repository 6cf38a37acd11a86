"""limit: counters by who and what, and what clients read of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway_extproc.core.exchange import Exchange, LimitState
from gateway_extproc.core.verdict import Amend, Continue, Respond, Verdict
from gateway_extproc.stages.limit import duration, limit_headers
from support import bodies
from support.config import ANN, BOB, VIC
from support.parts import Bench, chat_exchange, make_bench


def limited(folder: Path, *limits: dict[str, Any]) -> Bench:
    return make_bench(folder, limits=[{"id": f"l{i}", **limit} for i, limit in enumerate(limits)])


async def take(
    bench: Bench, key: str = ANN, path: str = "/v1/chat/completions", model: str = "small"
) -> tuple[Exchange, Verdict]:
    exchange = bench.exchange(key, path=path)
    body = bodies.chat(model=model) if "chat" in path else bodies.messages(model=model)
    await bench.stage("parse").request_body(exchange, body)
    return exchange, await bench.stage("limit").request_body(exchange, body)


async def passes(bench: Bench, *args: str) -> bool:
    return isinstance((await take(bench, *args))[1], Continue)


async def test_the_wait_is_exact(tmp_path: Path) -> None:
    bench = limited(tmp_path, {"per": ["user"], "requests": 2, "window_s": 3})
    assert [await passes(bench) for _ in range(3)] == [True, True, False]
    bench.clock.advance(0.25)
    _, verdict = await take(bench)
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert (verdict.refusal.status, verdict.refusal.retry_after_s) == (429, 1.25)
    assert verdict.refusal.rule == "l0"
    bench.clock.advance(1.25)
    assert await passes(bench)


@pytest.mark.parametrize(
    ("per", "other", "apart"),
    [
        (["user"], (VIC,), True),
        (["tenant"], (VIC,), False),
        (["tenant"], (BOB,), True),
        ([], (BOB,), False),
        (["model"], (ANN, "/v1/chat/completions", "large"), True),
        (["endpoint"], (ANN, "/v1/messages"), True),
        (["user"], (ANN, "/v1/messages", "large"), False),
        (["application"], (VIC,), False),
        (["application"], (BOB,), True),
        (["user", "model"], (ANN, "/v1/chat/completions", "large"), True),
    ],
)
async def test_counters_are_apart_by_what_a_limit_names(
    tmp_path: Path, per: list[str], other: tuple[str, ...], *, apart: bool
) -> None:
    bench = limited(tmp_path, {"per": per, "requests": 1})
    assert await passes(bench)
    assert await passes(bench, *other) is apart


async def test_users_of_the_same_name_in_two_tenants_are_two(tmp_path: Path) -> None:
    bench = limited(tmp_path, {"per": ["user"], "requests": 1})
    object.__setattr__(bench.permit(BOB).principal, "user", "ann")
    assert await passes(bench, ANN)
    assert await passes(bench, BOB)


async def test_the_longest_wait_of_several_limits_is_told(tmp_path: Path) -> None:
    bench = limited(
        tmp_path,
        {"per": ["user"], "requests": 1, "window_s": 1},
        {"per": ["tenant"], "requests": 1, "window_s": 9},
    )
    await take(bench)
    _, verdict = await take(bench)
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert (verdict.refusal.rule, verdict.refusal.retry_after_s) == ("l1", 9.0)


async def test_a_shadow_limit_is_recorded_and_refuses_nobody(tmp_path: Path) -> None:
    bench = limited(tmp_path, {"per": ["user"], "requests": 1, "mode": "shadow"})
    assert await passes(bench)
    exchange, verdict = await take(bench)
    assert isinstance(verdict, Continue)
    assert [(s.allowed, s.mode) for s in exchange.limits] == [(False, "shadow")]
    assert limit_headers(exchange) == ()


def state(remaining: int, reset_s: float = 6.0, limit: int = 60, mode: Any = "enforce") -> Any:
    return LimitState(f"l{limit}", limit, remaining, reset_s, True, mode)


def headers_of(path: str, *states: LimitState) -> dict[str, str]:
    exchange = chat_exchange(path)
    exchange.limits = states
    exchange.started_wall_ns = 1_767_225_599_500_000_000
    return dict(limit_headers(exchange))


def test_openais_clients_read_their_headers() -> None:
    assert headers_of("/v1/chat/completions", state(59, 0.5)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "500ms",
    }


def test_anthropics_clients_read_theirs_with_a_time_of_rfc_3339() -> None:
    # Asked half a second before 2026; the limit is full again six seconds later.
    assert headers_of("/v1/messages", state(59)) == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:06Z",
    }


def test_the_tightest_enforced_limit_is_told() -> None:
    states = [state(5, limit=10), state(2, limit=20), state(0, limit=30, mode="shadow")]
    headers = headers_of("/v1/chat/completions", *states)
    assert headers["x-ratelimit-limit-requests"] == "20"


async def test_answers_carry_the_limits_headers(tmp_path: Path) -> None:
    bench = limited(tmp_path, {"per": ["user"], "requests": 5})
    exchange, _ = await take(bench)
    verdict = await bench.stage("limit").response_headers(exchange)
    assert isinstance(verdict, Amend)
    assert ("x-ratelimit-remaining-requests", "4") in verdict.set_headers


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0ms"), (0.0001, "1ms"), (0.9999, "1000ms"), (1, "1s"), (59.2, "1m0s"), (90, "1m30s")],
)
def test_durations_are_written_as_openai_does(seconds: float, written: str) -> None:
    assert duration(seconds) == written
