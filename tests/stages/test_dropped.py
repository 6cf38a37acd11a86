"""Fields that a provider is not told: by policy, for each attempt, and told to the client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway_extproc.config.compile import compile_config
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.evidence.records import decision_record
from gateway_extproc.stages.attempt import SHOWN, dropped_headers
from support import bodies, config, flow
from support.parts import Bench, make_bench

TARGETS = [
    {"provider": "west", "model": "west-small"},
    {"provider": "east", "model": "east-small"},
]
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "west-x",
    "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 5},
}  # fmt: skip
KNOBS = bodies.chat(seed=7, logit_bias={"5": 1}, user="u", metadata={"a": "b"})


def dropping(tmp_path: Path, targets: list[dict[str, Any]] = TARGETS, **more: Any) -> Bench:
    return make_bench(tmp_path, models=[{"model": "small", "targets": targets, **more}])


async def test_without_policy_the_request_is_refused(tmp_path: Path) -> None:
    _, decision = await flow.ask(dropping(tmp_path), KNOBS)
    assert decision.answer is not None
    error = orjson.loads(decision.answer.body)["error"]
    assert (decision.answer.status, error["param"]) == (400, "seed")


async def test_with_policy_the_answer_and_the_record_name_what_was_left_out(
    tmp_path: Path,
) -> None:
    bench = dropping(tmp_path, drop_unsupported=True)
    exchange, decision = await flow.ask(bench, KNOBS)
    assert decision.body is not None
    sent = orjson.loads(decision.body)
    assert not {"seed", "logit_bias"} & sent.keys()
    assert sent["metadata"] == {"user_id": "u"}
    at_headers, _ = await flow.answer(bench, exchange, orjson.dumps(MESSAGE))
    named = dict(at_headers.set_headers)["x-gateway-dropped"]
    assert named == "metadata, seed, logit_bias"
    assert record_of(exchange)["attempts"] == [
        {"target": "west/west-small", "cluster": "west", "status": 200, "outcome": "ok",
         "dropped": ("metadata", "seed", "logit_bias")},
    ]  # fmt: skip


def record_of(exchange: Exchange) -> dict[str, Any]:
    return decision_record(exchange, 0, version="t", worker=0, prompt_key=b"k")


async def test_each_attempt_tells_what_it_left_out(tmp_path: Path) -> None:
    targets = [TARGETS[1], TARGETS[0]]
    bench = dropping(tmp_path, targets, drop_unsupported=True)
    exchange, decision = await flow.ask(bench, KNOBS)
    assert decision.body is not None
    assert orjson.loads(decision.body)["seed"] == 7
    assert decision.plan is not None
    second = {"x-envoy-attempt-count": "2"}
    fallback = bench.fallback("west:fallback", decision.plan.fallback, second)
    assert fallback.answer is None
    assert fallback.body is not None
    assert b"logit_bias" not in fallback.body
    exchange.attempt_notes = {"1": "503"}
    at_headers, _ = await flow.answer(
        bench, exchange, orjson.dumps(MESSAGE), cluster="west:fallback"
    )
    assert dict(at_headers.set_headers)["x-gateway-dropped"] == "metadata, seed, logit_bias"
    first, later = record_of(exchange)["attempts"]
    assert "dropped" not in first
    assert later["dropped"] == ("metadata", "seed", "logit_bias")


async def test_a_target_of_its_own_dialect_leaves_nothing_out(tmp_path: Path) -> None:
    bench = dropping(tmp_path, [TARGETS[1]], drop_unsupported=True)
    exchange, _ = await flow.ask(bench, KNOBS)
    at_headers, _ = await flow.answer(bench, exchange, bodies.completion())
    assert "x-gateway-dropped" not in dict(at_headers.set_headers)


async def test_hints_are_named_without_any_policy(tmp_path: Path) -> None:
    bench = dropping(tmp_path)
    exchange, _ = await flow.ask(bench, bodies.chat(prompt_cache_key="k"))
    at_headers, _ = await flow.answer(bench, exchange, orjson.dumps(MESSAGE))
    assert dict(at_headers.set_headers)["x-gateway-dropped"] == "prompt_cache_key"


async def test_a_kept_answer_names_what_its_provider_was_not_told(tmp_path: Path) -> None:
    bench = dropping(tmp_path, [TARGETS[0]], drop_unsupported=True, cache_ttl_s=60)
    body = bodies.chat(logit_bias={"5": 1})
    exchange, _ = await flow.ask(bench, body)
    await flow.answer(bench, exchange, orjson.dumps(MESSAGE))
    again, decision = await flow.ask(bench, body)
    assert again.cache_hit
    assert decision.answer is not None
    assert dict(decision.answer.headers)["x-gateway-dropped"] == "logit_bias"


@pytest.mark.parametrize(
    ("model", "target", "expected"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
)
def test_a_target_may_say_otherwise_than_its_model(
    model: bool, target: bool | None, expected: bool
) -> None:
    ref = {"provider": "west", "model": "w"}
    if target is not None:
        ref["drop_unsupported"] = target  # type: ignore[assignment]
    section = {"model": "small", "drop_unsupported": model, "targets": [ref]}
    snapshot = compile_config(config.make_config(models=[section]))
    assert [one.drops for one in snapshot.routes["small"].targets] == [expected]


def test_a_rule_switches_it_on_for_the_models_own_targets() -> None:
    rule = {"id": "r", "drop_unsupported": True}
    snapshot = compile_config(config.make_config(routing={"rules": [rule]}))
    (compiled,) = snapshot.rules
    assert all(choice.target.drops for choice in compiled.policies["small"].choices)
    assert not any(target.drops for target in snapshot.routes["small"].targets)
    names = [target.name for target in snapshot.targets]
    assert len(names) == len(set(names))


def test_the_header_is_bounded() -> None:
    assert dropped_headers(()) == ()
    ((name, value),) = dropped_headers(tuple(f"f{n}" for n in range(SHOWN + 3)))
    assert name == "x-gateway-dropped"
    assert value.endswith(f"f{SHOWN - 1}, +3")
