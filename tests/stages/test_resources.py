"""Files and batches through all stages: what is checked when, and what is charged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.form import form_type, read_form, write_form
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.core.verdict import Decision
from gateway_extproc.stages.kept import Kept
from gateway_extproc.stages.resources import Resources
from support.config import ANN, BOB, VIC, document
from support.flow import answer, ask
from support.parts import Bench, make_bench

ROLES: list[dict[str, Any]] = [
    {"id": "developer", "endpoints": ["chat", "files", "batches"]},
    {"id": "visitor", "endpoints": ["chat", "files", "batches"], "models": ["pub-*"]},
]
REAL = "file-real"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with_budget = {"id": "daily", "per": ["tenant"], "tokens": 1_000_000, "period": "day"}
    identity = {"pepper_file": "run/pepper", "state_dir": str(tmp_path / "state")}
    bench = make_bench(tmp_path, identity=identity, roles=ROLES, budgets=[with_budget],
                       caps={"prompt_tokens": 1000, "cost_nanos": 4_000_000})  # fmt: skip
    yield bench
    bench.close()


def line(text: str = "hi", number: int = 1, **body: Any) -> dict[str, Any]:
    asked = {"model": "small", "messages": [{"role": "user", "content": text}], **body}
    return {"custom_id": f"c{number}", "method": "POST", "url": "/v1/chat/completions",
            "body": asked}  # fmt: skip


async def upload(bench: Bench, *lines: Any, key: str = ANN) -> tuple[Exchange, Decision]:
    data = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
    file = {"filename": "x.jsonl", "content_type": "", "data": data}
    body = write_form({"purpose": "batch", "file": file}, "b")
    headers = {"content-type": form_type(body)}
    return await ask(bench, body, key=key, path="/v1/files", headers=headers)


async def file_of(bench: Bench, *lines: Any, key: str = ANN) -> str:
    exchange, decision = await upload(bench, *lines, key=key)
    assert decision.answer is None, decision.answer
    assert decision.plan is not None
    told = orjson.dumps({"id": REAL, "object": "file"})
    _, at_body = await answer(bench, exchange, told)
    assert at_body.body is not None
    name: str = orjson.loads(at_body.body)["id"]
    return name


async def get(
    bench: Bench, path: str, key: str = ANN, method: str = "GET"
) -> tuple[Exchange, Decision]:
    return await ask(bench, b"", key=key, path=path, method=method)


def reason(exchange: Exchange) -> str:
    assert exchange.refusal is not None
    return exchange.refusal.reason


async def create(bench: Bench, file: str, key: str = ANN) -> tuple[Exchange, Decision]:
    body = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return await ask(bench, orjson.dumps(body), key=key, path="/v1/batches")


async def test_each_line_goes_on_as_its_own_request_would(bench: Bench) -> None:
    exchange, decision = await upload(
        bench, line("mail ann@example.org"), line("hi", 2, max_tokens=99_999, zeta=1)
    )
    assert decision.body is not None
    headers = dict(decision.set_headers)
    assert headers[":path"] == "/v1/files"
    assert headers["authorization"] == "Bearer sk-secret-of-east"
    boundary = headers["content-type"].partition("boundary=")[2]
    form = read_form(decision.body, boundary)
    first, second = map(orjson.loads, form["file"]["data"].splitlines())
    assert b"ann@example.org" not in decision.body
    assert first["body"]["model"] == second["body"]["model"] == "east-small"
    assert (second["body"]["max_tokens"], second["body"]["zeta"]) == (8192, 1)
    assert {finding.rule for finding in exchange.findings} == {"no-emails"}


async def test_what_was_uploaded_is_let_go_of_before_anybody_answers(bench: Bench) -> None:
    exchange, decision = await upload(bench, line("a marked text"))
    assert b"a marked text" in (decision.body or b"")
    assert "a marked text" not in repr(
        [exchange.document, exchange.asked_body, exchange.sent_body, exchange.relayed]
    )
    assert exchange.relayed is not None
    assert (exchange.relayed.lines, exchange.relayed.body) == ((), b"")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([line(), line("a forbidden zebra", 2)], "prompt_blocked"),
        ([line(), line("word " * 2000, 2)], "prompt_too_long"),
        ([line(), line("hi", 2, n=8)], "request_cost_too_high"),
        ([line(model="large")], "endpoint_not_served"),
    ],
)
async def test_what_one_request_may_not_no_line_may(
    bench: Bench, lines: list[Any], expected: str
) -> None:
    exchange, _ = await upload(bench, *lines)
    assert reason(exchange) == expected


@pytest.mark.parametrize(
    ("family", "cap", "expected"),
    [
        ("openai", "max_completion_tokens", ""),
        ("groq", "max_completion_tokens", ""),
        ("compatible", "max_tokens", ""),
        ("mistral", "", "endpoint_not_served"),
        ("azure", "", "endpoint_not_served"),
    ],
)
async def test_lines_are_written_as_the_family_wants_them(
    tmp_path: Path, family: str, cap: str, expected: str
) -> None:
    providers = [{**one, "family": family} if one["dialect"] == "openai" else one
                 for one in document()["providers"]]  # fmt: skip
    bench = make_bench(tmp_path, roles=ROLES, providers=providers)
    exchange, decision = await upload(bench, line())
    assert (exchange.refusal.reason if exchange.refusal else "") == expected
    if not expected:
        assert decision.body is not None
        boundary = dict(decision.set_headers)["content-type"].partition("boundary=")[2]
        sent = orjson.loads(read_form(decision.body, boundary)["file"]["data"])
        assert [key for key in sent["body"] if key.startswith("max_")] == [cap]
    bench.close()


async def test_roles_hold_for_the_model_of_the_lines_then_and_later(bench: Bench) -> None:
    exchange, _ = await upload(bench, line(), key=VIC)
    assert reason(exchange) == "model_not_allowed"
    # VIC is of ANN's tenant: the file is there, the model still is not.
    exchange, _ = await create(bench, await file_of(bench, line()), key=VIC)
    assert reason(exchange) == "model_not_allowed"


async def test_another_tenant_asks_for_nothing(bench: Bench) -> None:
    name = await file_of(bench, line())
    for path, method in ((f"/v1/files/{name}", "GET"), (f"/v1/files/{name}", "DELETE"),
                         (f"/v1/files/{REAL}", "GET"), (f"/v1/batches/{name}", "GET")):  # fmt: skip
        exchange, decision = await get(bench, path, BOB, method)
        assert (reason(exchange), decision.plan) == ("not_found", None)
    exchange, decision = await get(bench, f"/v1/files/{name}")
    assert dict(decision.set_headers)[":path"] == f"/v1/files/{REAL}"
    assert decision.body is None


async def test_an_upload_that_takes_too_long_is_refused_in_time(bench: Bench) -> None:
    clock = iter(range(0, 10_000, 2))
    stages = [
        type(stage)(stage._tools._replace(now_s=lambda: float(next(clock))), *rest)
        if isinstance(stage, Resources | Kept) else stage
        for stage in bench.stages
        for rest in [(stage._rights, stage._plans) if isinstance(stage, Resources) else ()]
    ]  # fmt: skip
    exchange, _ = await upload(replace(bench, stages=stages), *[line("hi", i) for i in range(100)])
    assert reason(exchange) == "body_too_large"


async def results(bench: Bench, batch: str) -> tuple[Exchange, Decision]:
    """The results of a batch: one good line, one whose answer is blocked, one error."""
    exchange, _ = await get(bench, f"/v1/batches/{batch}")
    done = {"id": "batch_real", "status": "completed", "input_file_id": REAL,
            "output_file_id": "file-out"}  # fmt: skip
    _, at_body = await answer(bench, exchange, orjson.dumps(done))
    assert at_body.body is not None
    output = orjson.loads(at_body.body)["output_file_id"]
    exchange, decision = await get(bench, f"/v1/files/{output}/content")
    assert dict(decision.set_headers)[":path"] == "/v1/files/file-out/content"
    lines = [_line("c1", "fine, ann@example.org"), _line("c2", "a forbidden zebra"),
             {"custom_id": "c3", "response": {"status_code": 400, "body": {"error": {
                 "message": "of bob@example.org"}}}}]  # fmt: skip
    _, at_body = await answer(bench, exchange, b"\n".join(map(orjson.dumps, lines)))
    return exchange, at_body


def _line(custom_id: str, text: str) -> dict[str, Any]:
    body = {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }
    return {"custom_id": custom_id, "response": {"status_code": 200, "body": body}}


async def _begun(bench: Bench) -> str:
    exchange, decision = await create(bench, await file_of(bench, line()))
    assert decision.body is not None
    assert orjson.loads(decision.body)["input_file_id"] == REAL
    assert exchange.limits[0].held > 8192
    told = {"id": "batch_real", "status": "validating", "input_file_id": REAL}
    _, at_body = await answer(bench, exchange, orjson.dumps(told))
    assert exchange.settled == (0,)
    assert at_body.body is not None
    name: str = orjson.loads(at_body.body)["id"]
    return name


async def test_results_are_guarded_and_charged_once(bench: Bench) -> None:
    batch = await _begun(bench)
    exchange, at_body = await results(bench, batch)
    assert at_body.body is not None
    one, two, three = map(orjson.loads, at_body.body.splitlines())
    assert b"ann@example.org" not in at_body.body
    assert b"bob@example.org" not in at_body.body
    assert one["response"]["status_code"] == 200
    assert two["response"]["body"]["error"]["code"] == "answer_blocked"
    assert three["custom_id"] == "c3"
    assert exchange.usage is not None
    assert (exchange.usage.prompt_tokens, exchange.usage.completion_tokens) == (20, 10)
    assert exchange.cost_nanos == 20 * 100 + 10 * 400
    assert exchange.settled == (30,)
    again, _ = await results(bench, batch)
    assert (again.usage, again.cost_nanos, again.settled) == (None, 0, (0,))


async def test_usage_of_the_batch_itself_is_charged_instead(bench: Bench) -> None:
    batch = await _begun(bench)
    exchange, _ = await get(bench, f"/v1/batches/{batch}")
    done = {"id": "batch_real", "status": "completed", "model": "east-small-2026",
            "usage": {"input_tokens": 7, "output_tokens": 3}}  # fmt: skip
    _, at_body = await answer(bench, exchange, orjson.dumps(done))
    assert at_body.body is not None
    assert orjson.loads(at_body.body)["model"] == "small"
    assert exchange.settled == (10,)
    exchange, _ = await results(bench, batch)
    assert exchange.usage is None


async def test_what_cannot_be_charged_is_not_told(bench: Bench) -> None:
    class Away:
        async def take(self, name: str) -> bool:
            raise StoreUnavailable

    batch = await _begun(bench)
    bench.stages[:] = [
        Kept(stage._tools._replace(once=Away())) if isinstance(stage, Kept) else stage
        for stage in bench.stages
    ]
    exchange, _ = await results(bench, batch)
    assert reason(exchange) == "limits_unavailable"


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"object": "file"}'])
async def test_an_answer_that_is_no_file_does_not_pass(bench: Bench, body: bytes) -> None:
    exchange, _ = await get(bench, f"/v1/files/{await file_of(bench, line())}")
    await answer(bench, exchange, body)
    assert reason(exchange) == "provider_answer_unreadable"


async def test_a_providers_error_does_not_tell_its_ids(bench: Bench) -> None:
    name = await file_of(bench, line())
    exchange, _ = await get(bench, f"/v1/files/{name}")
    told = {"error": {"message": f"No such File object: {REAL}", "type": "invalid_request_error"}}
    await answer(bench, exchange, orjson.dumps(told), status=404)
    assert exchange.refusal is not None
    assert exchange.refusal.message == f"No such File object: {name}"
