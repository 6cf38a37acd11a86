"""What Envoy is told to try again, and until when: a function of policy and request."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.config.failing import Failover as Policy
from gateway_extproc.config.failing import FailoverPolicies, RouteFailover
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.verdict import Decision
from gateway_extproc.stages.failover import retry_headers, total_s
from support import bodies, flow
from support.parts import Bench, make_bench

ON = "x-envoy-retry-on"
STATUSES = "x-envoy-retriable-status-codes"
NAMES = "x-envoy-retriable-header-names"
PER_TRY = "x-envoy-upstream-rq-per-try-timeout-ms"
RETRIES = "x-envoy-max-retries"


def told(decision: Decision) -> dict[str, str]:
    return {name: value for name, value in decision.set_headers if name.startswith("x-envoy-")}


async def ask(bench: Bench, body: bytes | None = None) -> tuple[Exchange, Decision]:
    return await flow.ask(bench, body)


async def test_by_default_what_can_be_repeated_is(bench: Bench) -> None:
    _, decision = await ask(bench)
    headers = told(decision)
    assert headers[RETRIES] == "1"
    assert headers[PER_TRY] == "30000"
    assert set(headers[ON].split(",")) == {
        "connect-failure", "refused-stream", "reset", "retriable-status-codes",
    }  # fmt: skip
    assert {"429", "500", "503", "529"} <= set(headers[STATUSES].split(","))
    assert NAMES not in headers


async def test_one_target_is_tried_once(bench: Bench) -> None:
    _, decision = await ask(bench, bodies.chat(model="large"))
    assert set(told(decision)) == {RETRIES, PER_TRY}
    assert told(decision)[RETRIES] == "0"


@pytest.mark.parametrize("fields", [{"repeat": []}, {}])
async def test_what_must_not_be_repeated_goes_on_only_unserved(
    tmp_path: Any, fields: dict[str, Any]
) -> None:
    bench = make_bench(tmp_path, failover={"refusals": ["context_window"], **fields})
    more = {} if fields else {"idempotency-key": "k"}
    _, decision = await flow.ask(bench, headers=more)
    headers = told(decision)
    assert set(headers[ON].split(",")) == {
        "connect-failure", "refused-stream", "reset-before-request", "retriable-status-codes",
        "retriable-headers",
    }  # fmt: skip
    assert headers[STATUSES] == "429"
    assert headers[NAMES] == "x-gateway-refused-context-window"


@given(
    st.sampled_from(["any", "unsent", "never"]),
    st.lists(st.integers(400, 599), unique=True).map(tuple),
    st.lists(st.sampled_from(["context_window", "content_policy"]), unique=True).map(tuple),
    st.booleans(),
)
def test_nothing_is_told_that_policy_does_not_say(
    no_answer: Any, statuses: tuple[int, ...], refusals: Any, repeat: bool
) -> None:
    policy = Policy(no_answer=no_answer, statuses=statuses, refusals=refusals)
    headers = dict(retry_headers(policy, repeat=repeat))
    conditions = set(headers[ON].split(","))
    assert ("reset" in conditions) == (repeat and no_answer == "any")
    assert ("connect-failure" in conditions) == (no_answer != "never")
    listed = {int(status) for status in headers.get(STATUSES, "").split(",") if status}
    assert listed == (set(statuses) if repeat else set(statuses) & {429})
    assert ("retriable-headers" in conditions) == bool(refusals) == (NAMES in headers)
    assert "" not in conditions
    assert "5xx" not in conditions


@given(
    st.none() | st.floats(0.001, 3600),
    st.floats(0, 1e9, exclude_min=True).map(repr),
)
def test_a_client_only_ever_shortens(bound: float | None, wish: str) -> None:
    total = total_s(Policy(total_timeout_s=bound), wish)
    assert isinstance(total, float)
    assert total <= float(wish)
    assert bound is None or total <= bound


@pytest.mark.parametrize("wish", ["", "0", "-1", "nan", "inf", "1e999", "30s", "soon"])
def test_a_wish_that_is_no_time_is_refused(wish: str) -> None:
    refusal = total_s(Policy(), wish)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.param) == (400, "x-request-timeout")
    assert total_s(Policy(timeout_header="", total_timeout_s=5.0), wish) == 5.0


async def test_an_attempt_never_outlives_the_request_by_much(bench: Bench) -> None:
    exchange, decision = await flow.ask(bench, headers={"x-request-timeout": "0.5"})
    assert exchange.deadline_ns == exchange.started_ns + 500_000_000
    assert int(told(decision)[PER_TRY]) <= 750


async def test_a_stream_has_a_deadline_of_its_own(tmp_path: Any) -> None:
    bench = make_bench(tmp_path, failover={"first_byte_timeout_s": 2.5})
    _, whole = await ask(bench)
    _, stream = await ask(bench, bodies.chat(stream=True))
    assert (told(whole)[PER_TRY], told(stream)[PER_TRY]) == ("30000", "2500")


def test_a_route_says_what_differs_and_nothing_else() -> None:
    general = Policy(statuses=(500,), attempt_timeout_s=9.0)
    policies = FailoverPolicies(general, [("own", RouteFailover(statuses=()))])
    assert policies.of("own").statuses == ()
    assert policies.of("own").attempt_timeout_s == 9.0
    assert policies.of("other") is general
