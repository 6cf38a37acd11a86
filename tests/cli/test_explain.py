"""``explain`` says what a worker would do, by the worker's own stages, and changes nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway_extproc.cli.main import main
from gateway_extproc.config.load import load
from gateway_extproc.core.limits import Ask
from gateway_extproc.limiters import limits_table, now_us
from gateway_extproc.limits.rules import RuleBook, Who, compile_rules
from gateway_extproc.stores.host import HostCounters
from support import bodies, config, flow
from support.config import ANN, CAT, OLD, SECRETS, VIC
from support.parts import make_bench

LIMITS = [{"id": "per-user", "per": ["user"], "requests": 60, "window_s": 3600}]
LEVEL = {"rule": "no-emails", "tenants": ["clinic"], "action": "block"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a configuration whose gateway never ran."""
    document = config.document(limits=LIMITS, guard_levels=[LEVEL])
    document["server"]["socket_dir"] = str(tmp_path / "run")
    document["identity"]["pepper_file"] = str(tmp_path / "pepper")
    (tmp_path / "pepper").write_text(config.PEPPER)
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(document))
    return tmp_path


@pytest.fixture
def explained(place: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def ask(body: bytes, *arguments: str) -> dict[str, Any]:
        (place / "request.json").write_bytes(body)
        where = [str(place / "request.json"), "--config", str(place / "gateway.yaml")]
        assert main(["explain", *where, *arguments, "--json"]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert main(["explain", *where, *arguments]) == 0
        told["text"] = capsys.readouterr().out
        return told

    return ask


CASES = [
    (ANN, bodies.chat(), None),
    (ANN, bodies.chat("a forbidden zebra"), "prompt_blocked"),
    (ANN, bodies.chat("mail a@b.org"), None),
    (CAT, bodies.chat("mail a@b.org"), "prompt_blocked"),
    (CAT, bodies.chat(model="pub-one"), "no_eligible_target"),
    (VIC, bodies.chat(model="large"), "model_not_allowed"),
    (OLD, bodies.chat(), "expired_api_key"),
    (ANN, bodies.chat(model="none"), "model_not_found"),
    (ANN, b"{", "invalid_json"),
    (ANN, b"", "body_required"),
]


@pytest.mark.parametrize(("key", "body", "reason"), CASES)
def test_a_worker_decides_as_it_is_explained(
    explained: Any, tmp_path: Path, key: str, body: bytes, reason: str | None
) -> None:
    told = explained(body, "--key", key.split("_")[2])
    worker = tmp_path / "worker"
    worker.mkdir()
    bench = make_bench(worker, limits=LIMITS, guard_levels=[LEVEL])
    exchange, decision = asyncio.run(flow.ask(bench, body, key=key))
    bench.close()
    assert told.get("refusal", {}).get("reason") == reason
    assert (exchange.refusal.reason if exchange.refusal else None) == reason
    # The bench's worker watches nothing; the command does, in a copy of the table.
    steps = [
        (e["stage"], e["phase"], e["verdict"], e.get("rule", ""))
        for e in told["trail"] if e["stage"] != "health"
    ]  # fmt: skip
    # A key's age is judged by a clock that stands still in tests.
    if reason != "expired_api_key":
        asked = [step for step, _ in exchange.trail]
        assert steps == [(s.stage, s.phase, s.verdict, s.rule) for s in asked]
    assert (told["would"] == "be sent") is (decision.plan is not None)
    if decision.plan is not None:
        assert told["clusters"] == list(decision.plan.clusters)


def test_every_candidate_is_told_with_its_reason(explained: Any) -> None:
    told = explained(bodies.chat(), "--tenant", "clinic", "--user", "cat")
    costs = [candidate["cost_nanos"] for candidate in told["candidates"]]
    assert told["candidates"] == [
        {"target": "east/east-small", "region": "", "attempt": 0, "why": "not approved for health",
         "cost_nanos": costs[0]},
        {"target": "west/west-small", "region": "", "attempt": 1, "why": "",
         "cost_nanos": costs[1]},
    ]  # fmt: skip
    prompt, answer = told["expected_prompt_tokens"], told["expected_completion_tokens"]
    assert costs == [prompt * 100 + answer * 400, prompt * 200 + answer * 1000]
    assert "not approved for health" in told["text"]
    assert "attempt 1" in told["text"]


def test_findings_limits_and_the_forecast_are_told(explained: Any) -> None:
    told = explained(bodies.chat("mail a@b.org", max_tokens=50), "--key", "ann00001")
    [found] = told["findings"]
    assert (found["rule"], found["action"]) == ("no-emails", "redact")
    assert [(x["id"], x["remaining"]) for x in told["limits"]] == [("per-user", 59)]
    assert told["cap_tokens"] == 50
    assert told["worst_case_nanos"] > 0
    assert "a@b.org" not in told["text"]
    assert all(secret not in str(told) for secret in SECRETS.values())


def test_limits_stand_as_this_host_counts_them_and_stay_so(explained: Any, place: Path) -> None:
    loaded = load((place / "gateway.yaml").read_text())
    who = Who("acme", "ann", "default", "ann00001", "chat", "small", "small", "east")
    [named] = RuleBook(compile_rules(loaded)).of(who)
    limits_table(loaded).parent.mkdir(parents=True)
    table = HostCounters(limits_table(loaded), now_us)
    taken = Ask(named.rule.counter, named.name, 60, named.tag, settles=False)
    asyncio.run(table.reserve("before", (taken,), 10**6))
    told = explained(bodies.chat(), "--key", "ann00001")
    assert told["refusal"]["reason"] == "rate_limit_exceeded"
    assert "limits stand as this host counts them now" in told["notes"]
    look = taken._replace(amount=0)
    before = asyncio.run(table.reserve("look1", (look,), 10**6)).states[0].used
    explained(bodies.chat(), "--key", "ann00001")
    after = asyncio.run(table.reserve("look2", (look,), 10**6)).states[0].used
    assert after <= before  # only time has passed
    table.close()


def test_what_a_target_is_not_told_is_said(explained: Any) -> None:
    told = explained(bodies.chat(model="large", prompt_cache_key="k"), "--key", "ann00001")
    assert "west/west-large is not told: prompt_cache_key" in told["notes"]
    assert "is not told: prompt_cache_key" in told["text"]


def test_headers_and_roles_count(explained: Any) -> None:
    who = ("--tenant", "acme", "--user", "eve", "--role", "auditor")
    assert explained(bodies.chat(), *who)["refusal"]["reason"] == "endpoint_not_allowed"
    told = explained(bodies.chat(), "--key", "ann00001", "--header", "Content-Type: text/plain")
    assert told["refusal"]["reason"] == "unsupported_content_type"
    told = explained(b"", "--key", "vic00001", "--endpoint", "models")
    assert told["would"] == "be answered by the gateway itself"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "who asks? give --key ID, or --tenant NAME and --user NAME"),
        (["--key", "x", "--tenant", "acme"], "--key says who asks"),
        (["--key", ANN], "--key takes a key's id, not the key"),
        (["--key", "x", "--header", "nothing"], "--header 'nothing': not NAME:VALUE"),
    ],
)
def test_a_question_that_makes_no_sense_is_one_clear_line(
    place: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "r.json").write_bytes(bodies.chat())
    where = [str(place / "r.json"), "--config", str(place / "gateway.yaml")]
    assert main(["explain", *where, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"gateway-extproc: {told}")
    assert error.count("\n") == 1
    assert ANN not in error


def test_rule_strategy_and_what_it_saw_are_told(place: Path, explained: Any) -> None:
    document = yaml.safe_load((place / "gateway.yaml").read_text())
    targets = [{"provider": "east", "model": "east-small"}, {"provider": "west", "model": "w-2"}]
    document["routing"] = {"rules": [
        {"id": "later", "mode": "shadow"},
        {"id": "weigh", "tenants": ["acme"], "strategy": "score", "targets": targets,
         "score": {"latency": 0}},
    ]}  # fmt: skip
    price = {"prompt_nanos": 50, "completion_nanos": 100}
    document["catalogue"] = {"models": [{"model": "w-2", "quality": 0.9, "price": price}]}
    (place / "gateway.yaml").write_text(yaml.safe_dump(document))
    told = explained(bodies.chat(), "--key", "ann00001")
    assert told["routing"]["rule"] == "weigh"
    assert told["routing"]["shadow_rules"] == ["later"]
    east, west = told["candidates"]
    assert (west["attempt"], east["attempt"]) == (1, 2)
    assert west["score"] == pytest.approx((0.9 + 1) / 2)
    assert east["score"] == pytest.approx((0.5 + west["cost_nanos"] / east["cost_nanos"]) / 2)
    assert "by rule weigh, strategy score; in shadow: rule later" in told["text"]
    assert f"{west['score']:.3f}" in told["text"]
