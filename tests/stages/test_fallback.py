"""Later attempts: made from the note of the first, or not at all."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from gateway_extproc.core.verdict import Decision
from support import bodies, config, flow
from support.config import ANN, SECRETS
from support.parts import Bench, make_bench


async def note_of(bench: Bench, body: bytes | None = None, **more: str) -> str:
    _, decision = await flow.ask(bench, body, **more)  # type: ignore[arg-type]
    assert decision.plan is not None
    return decision.plan.fallback


def refused(decision: Decision) -> str:
    assert decision.answer is not None
    assert decision.set_headers == ()
    assert decision.body is None
    return decision.answer.details


SECOND = {"x-envoy-attempt-count": "2"}
FIRST_ATTEMPT = {
    ":path": "/v1/chat/completions",
    "authorization": f"Bearer {SECRETS['east']}",
    "content-type": "application/json",
    "content-length": "99",
    "x-envoy-attempt-count": "2",
    "openai-beta": "b",
    "x-request-id": "r-1",
}


async def test_the_attempt_is_made_for_its_own_provider(bench: Bench) -> None:
    decision = bench.fallback("west:fallback", await note_of(bench), FIRST_ATTEMPT)
    headers = dict(decision.set_headers)
    assert headers[":path"] == "/api/v1/messages"
    assert headers["x-api-key"] == SECRETS["west"]
    assert decision.body is not None
    assert headers["content-length"] == str(len(decision.body))
    assert orjson.loads(decision.body)["model"] == "west-small"


async def test_what_the_first_attempt_set_is_removed(bench: Bench) -> None:
    decision = bench.fallback("west:fallback", await note_of(bench), FIRST_ATTEMPT)
    assert {"authorization", "openai-beta", "x-envoy-attempt-count"} <= set(decision.remove_headers)
    assert SECRETS["east"] not in repr(decision)
    assert not {":path", "content-type", "x-request-id"} & set(decision.remove_headers)


async def test_a_header_is_never_both_set_and_removed(bench: Bench) -> None:
    headers = {**FIRST_ATTEMPT, "x-api-key": "of-another", "accept-encoding": "gzip"}
    decision = bench.fallback("west:fallback", await note_of(bench), headers)
    assert not set(decision.remove_headers) & set(dict(decision.set_headers))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", bodies.chat("Grüß Gott 🎉", temperature=0.5)),
        ("/v1/chat/completions", bodies.chat(stream=True, max_tokens=10**6)),
        ("/v1/messages", bodies.messages("write to jane@example.org")),
    ],
)
async def test_the_body_is_the_one_a_first_attempt_would_have_sent(
    tmp_path: Path, path: str, body: bytes
) -> None:
    targets = [
        {"provider": "east", "model": "m"},
        {"provider": "west", "model": "m"},
    ]
    bench = make_bench(tmp_path, models=[{"model": "small", "targets": targets}])
    (tmp_path / "other").mkdir()
    turned = make_bench(tmp_path / "other", models=[{"model": "small", "targets": targets[::-1]}])
    _, first = await flow.ask(turned, body, path=path)
    decision = bench.fallback("west:fallback", await note_of(bench, body, path=path), SECOND)
    assert decision.body == first.body


async def test_without_a_note_nothing_is_sent(bench: Bench) -> None:
    details = refused(bench.fallback("west:fallback", "", FIRST_ATTEMPT))
    assert details == "fallback_without_original"


@pytest.mark.parametrize("cluster", ["", "north:fallback", "west", "east:fallback", "no-target"])
async def test_a_cluster_outside_of_the_plan_gets_nothing(bench: Bench, cluster: str) -> None:
    note = await note_of(bench)
    details = refused(bench.fallback(cluster, note, FIRST_ATTEMPT))
    assert details == "fallback_without_original"


async def test_a_refusal_is_written_as_its_provider_would(bench: Bench) -> None:
    decision = bench.fallback("west:fallback", "", {"x-request-id": "r-9"})
    assert decision.answer is not None
    body = orjson.loads(decision.answer.body)
    assert (body["type"], body["request_id"]) == ("error", "r-9")


async def test_without_a_secret_nothing_is_sent(bench: Bench, tmp_path: Path) -> None:
    note = await note_of(bench)
    (tmp_path / "west").unlink()
    assert refused(bench.fallback("west:fallback", note, SECOND)) == "provider_unavailable"


async def test_what_the_provider_cannot_express_is_refused(bench: Bench) -> None:
    note = await note_of(bench, bodies.chat(logit_bias={"1": 2}))
    details = refused(bench.fallback("west:fallback", note, SECOND))
    assert details == "unsupported_parameter"


async def test_the_note_carries_no_credential(bench: Bench) -> None:
    note = await note_of(bench)
    assert not any(secret in note for secret in (ANN, config.PEPPER, *SECRETS.values()))


async def test_targets_of_one_provider_are_told_apart_by_the_attempt(tmp_path: Path) -> None:
    targets = [
        {"provider": "west", "model": "small-one"},
        {"provider": "east", "model": "another"},
        {"provider": "west", "model": "large-one"},
    ]
    bench = make_bench(tmp_path, models=[{"model": "small", "targets": targets}])
    note = orjson.loads(await note_of(bench))
    note["further"] = [["west:fallback", "large-one"], ["west:fallback", "largest-one"]]
    for attempt, model in (("2", "large-one"), ("3", "largest-one")):
        headers = {**FIRST_ATTEMPT, "x-envoy-attempt-count": attempt}
        decision = bench.fallback("west:fallback", orjson.dumps(note).decode(), headers)
        assert decision.body is not None
        assert orjson.loads(decision.body)["model"] == model


@pytest.mark.parametrize("attempt", ["", "0", "1", "3", "-2", "2.0", "two", "9" * 40, "\u0662"])
async def test_an_attempt_outside_of_the_plan_gets_nothing(bench: Bench, attempt: str) -> None:
    headers = {**FIRST_ATTEMPT, "x-envoy-attempt-count": attempt}
    details = refused(bench.fallback("west:fallback", await note_of(bench), headers))
    assert details == "fallback_without_original"
