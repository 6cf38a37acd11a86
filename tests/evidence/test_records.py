from __future__ import annotations

import hashlib
import hmac
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import json_format

from evidence import samples
from gateway_extproc.core.chat import TextAt
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Exchange, Finding
from gateway_extproc.core.verdict import TrailEntry, trail_step
from gateway_extproc.evidence.log import encode
from gateway_extproc.evidence.records import (
    MAX_FINDINGS,
    MAX_TEXT,
    cost_record,
    decision_record,
    opened_record,
    prompt_fingerprint,
    rfc3339,
    sent_status,
)
from gateway_extproc.pb.gateway.v1 import decision_pb2

KEY = b"fingerprint key"
CHAIN = {"seq", "chain"}
"""What the log adds to a record."""
BY_POLICY = {"masked", "texts"}
"""What is written after the record was made, where policy says so."""


def decide(exchange: Exchange) -> dict[str, Any]:
    return decision_record(exchange, samples.ENDED_NS, version="1.2.3", worker=3, prompt_key=KEY)


def parsed(exchange: Exchange) -> Any:
    return json_format.Parse(encode(decide(exchange)), decision_pb2.DecisionRecord())


def test_a_full_exchange_fills_every_field_of_the_decision_record() -> None:
    exchange = samples.full()
    exchange.findings = exchange.findings * (MAX_FINDINGS + 2)
    exchange.refusal = refuse("answer_blocked", "no", param="messages", rule="r")
    message = parsed(exchange)
    filled = {field.name for field, _ in message.ListFields()}
    assert filled == {field.name for field in message.DESCRIPTOR.fields} - BY_POLICY - CHAIN
    assert message.outcome == decision_pb2.ALLOWED
    assert message.duration_ms == pytest.approx(1234.567)
    assert message.first_byte_ms == 250.0
    assert message.path == "/v1/chat/completions"
    assert len(message.findings) == MAX_FINDINGS
    assert message.findings_left_out == 2
    assert message.time.ToJsonString() == "2026-01-02T03:04:05.123456Z"


def test_a_full_exchange_fills_every_field_of_the_cost_record() -> None:
    record = encode(cost_record(samples.full()))
    message = json_format.Parse(record, decision_pb2.CostRecord())
    filled = {field.name for field, _ in message.ListFields()}
    assert filled == {field.name for field in message.DESCRIPTOR.fields} - BY_POLICY - CHAIN
    assert message.usage.prompt_tokens == 120
    assert message.cost_nanos == 456_000


def test_an_early_refusal_parses_and_says_why() -> None:
    message = parsed(samples.refused_early())
    assert message.outcome == decision_pb2.REFUSED
    assert (message.status, message.refusal.reason) == (401, "invalid_api_key")
    assert message.tenant == ""
    assert [entry.rule for entry in message.trail] == ["invalid_api_key"]


def test_an_exchange_of_which_nothing_is_known_parses() -> None:
    exchange = Exchange("GET", "/", {})
    exchange.first_byte_ns = samples.STARTED_NS  # Envoy answered: only the response was seen
    message = parsed(exchange)
    assert message.outcome == decision_pb2.OUTCOME_UNSPECIFIED
    assert not message.HasField("time")
    assert (message.duration_ms, message.first_byte_ms) == (0, 0)


@pytest.mark.parametrize("make", [samples.full, samples.refused_early])
def test_no_record_holds_a_prompt_a_credential_or_a_header(make: Any) -> None:
    exchange = make()
    written = (encode(decide(exchange)) + encode(cost_record(exchange))).decode()
    assert [secret for secret in samples.PLANTED if secret in written] == []


def test_a_records_nested_values_have_the_names_of_the_contract() -> None:
    """A field added to the vocabulary must be added to the contract, or left out knowingly."""
    names = {field.name for field in decision_pb2.Finding.DESCRIPTOR.fields}
    assert {field.name for field in fields(Finding)} == names


def test_empty_values_are_left_out() -> None:
    record = decide(samples.refused_early())
    assert {"tenant", "prompt", "usage", "limits", "findings", "attempts"}.isdisjoint(record)


def test_texts_that_strangers_choose_are_cut() -> None:
    exchange = samples.full()
    assert exchange.asked is not None
    exchange.asked = replace(exchange.asked, model="m" * 10_000)
    exchange.path, exchange.response_model = "/" + "p" * 60_000, "r" * 10_000
    record = decide(exchange)
    assert {len(record[name]) for name in ("requested_model", "path", "response_model")} == {
        MAX_TEXT
    }


def test_the_fingerprint_is_a_keyed_hash_of_roles_and_texts() -> None:
    asked = samples.full().asked
    assert asked is not None
    asked = replace(asked, texts=(TextAt((), "system", "Grüße"), TextAt((), "user", "hi")))
    expected = hmac.new(KEY, "system:5:Grüßeuser:2:hi".encode(), hashlib.sha256).hexdigest()
    assert prompt_fingerprint(asked, KEY) == (9, expected)


def test_a_text_split_differently_has_another_fingerprint() -> None:
    asked = samples.full().asked
    assert asked is not None
    one = replace(asked, texts=(TextAt((), "user", "ab"),))
    two = replace(asked, texts=(TextAt((), "user", "a"), TextAt((), "user", "b")))
    assert prompt_fingerprint(one, KEY)[1] != prompt_fingerprint(two, KEY)[1]


def test_a_refusal_inside_a_stream_does_not_change_the_status_sent() -> None:
    exchange = samples.full()
    exchange.refusal, exchange.outcome = refuse("answer_blocked", "no"), "refused"
    assert sent_status(exchange) == 200
    exchange.streaming = False
    assert sent_status(exchange) == 400


def test_a_stream_that_broke_before_the_answer_has_no_status() -> None:
    exchange = Exchange("POST", "/", {})
    exchange.outcome = "aborted"
    assert sent_status(exchange) == 0


@pytest.mark.parametrize("wall_ns", [0, 999, 1_000, 1_767_323_045_999_999_999])
def test_times_are_rfc_3339_in_utc(wall_ns: int) -> None:
    moment = datetime.fromisoformat(rfc3339(wall_ns))
    assert moment.tzinfo == UTC
    assert int(moment.timestamp()) == wall_ns // 1_000_000_000
    assert moment.microsecond == wall_ns // 1_000 % 1_000_000


def test_an_opened_record_says_who_asked_what_and_who_shall_answer() -> None:
    exchange = samples.full()
    exchange.outcome = "open"
    record = encode(opened_record(exchange, version="1.2.3", worker=3))
    message = json_format.Parse(record, decision_pb2.DecisionRecord())
    assert message.outcome == decision_pb2.OPENED
    assert (message.decision_id, message.tenant, message.user) == ("d-1", "acme", "ann")
    assert (message.requested_model, message.route) == ("gpt-x", "gpt-x")
    assert (message.provider, message.target_model) == ("east", "gpt-x-1")
    assert message.findings[0].rule == "cards"
    assert message.trail[-1].rule == "cards"
    assert [secret for secret in samples.PLANTED if secret in record.decode()] == []


@pytest.mark.parametrize("microseconds", [0, 4095, 4096, 10**9])
def test_a_trail_holds_the_time_of_each_entry(microseconds: int) -> None:
    exchange = samples.full()
    exchange.trail = [
        TrailEntry(trail_step("guard", "request_body", "refuse", 'a "%d" rule'), microseconds),
        TrailEntry(trail_step("route", "request_body", "continue", ""), 1),
    ]
    first, second = parsed(exchange).trail
    assert (first.rule, first.microseconds) == ('a "%d" rule', microseconds)
    assert (second.stage, second.rule, second.microseconds) == ("route", "", 1)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("claude-3.5-sonnet@2026", "claude-3.5-sonnet@2026"),
        ("messages[0].content", "messages[0].content"),
        ("accounts/acme/models/x:free", "accounts/acme/models/x:free"),
        ("your prompt was: call Jane", "unreadable"),
        ("line\nbreak", "unreadable"),
    ],
)
def test_of_what_a_provider_says_in_a_codes_place_only_a_word_is_kept(text: str, kept: str) -> None:
    exchange = samples.full()
    exchange.response_model = exchange.stop_reason = exchange.provider_request_id = text
    exchange.refusal = Refusal("provider_error", "no", 400, "invalid", text, text)
    record = decide(exchange)
    assert record["response_model"] == record["stop_reason"] == kept
    assert record["provider_request_id"] == kept
    assert (record["refusal"]["code"], record["refusal"]["param"]) == (kept, kept)
