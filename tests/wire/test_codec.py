"""Messages to values and decisions to messages, without loss."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.verdict import PASS, Answer, Decision, RoutePlan
from gateway_extproc.wire import codec
from support import envoy

NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
VALUES = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=20)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=6)


def parsed(data: bytes) -> Any:
    return pb.ProcessingResponse.FromString(data)


@given(HEADERS)
def test_headers_are_read_as_they_were_sent(headers: dict[str, str]) -> None:
    message = pb.HttpHeaders()
    for name, value in headers.items():
        message.headers.headers.add(key=name, raw_value=value.encode("latin-1"))
    assert codec.read_headers(message) == (headers, frozenset())


def test_a_repeated_header_is_named_and_its_last_value_stands() -> None:
    message = pb.HttpHeaders()
    for value in (b"1", b"2", b"3"):
        message.headers.headers.add(key="x-api-key", raw_value=value)
    assert codec.read_headers(message) == ({"x-api-key": "3"}, frozenset({"x-api-key"}))


@given(st.binary(max_size=80))
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    message = codec.decode_or_none(data)
    assert message is None or message.WhichOneof("request") in {None, *KINDS}


KINDS = {
    "request_headers", "request_body", "request_trailers",
    "response_headers", "response_body", "response_trailers",
}  # fmt: skip


@given(HEADERS, st.lists(NAMES, max_size=4, unique=True), st.none() | st.binary(max_size=40))
def test_a_decision_is_written_whole(
    headers: dict[str, str], removed: list[str], body: bytes | None
) -> None:
    decision = Decision(tuple(headers.items()), tuple(removed), body)
    common = parsed(codec.encode_response_body(decision)).response_body.response
    options = common.header_mutation.set_headers
    assert {o.header.key: o.header.raw_value.decode("latin-1") for o in options} == headers
    assert all(option.append_action == codec.OVERWRITE for option in options)
    assert list(common.header_mutation.remove_headers) == removed
    kind = common.body_mutation.WhichOneof("mutation")
    assert kind == (None if body is None else "body" if body else "clear_body")
    assert common.body_mutation.body == (body or b"")


def test_pass_changes_nothing() -> None:
    for data, kind in (
        (codec.encode_request_headers(PASS), "request_headers"),
        (codec.encode_response_headers(PASS), "response_headers"),
        (codec.encode_response_body(PASS), "response_body"),
    ):
        reply = parsed(data)
        assert reply.WhichOneof("response") == kind
        assert getattr(reply, kind).response.SerializeToString() == b""
        assert not reply.HasField("mode_override")


def test_a_plan_is_one_group_an_attempt_and_clears_the_route() -> None:
    decision = Decision(body=b"{}", plan=RoutePlan(("east", "west:fallback"), '{"a":1}'))
    reply = parsed(codec.encode_request_body(decision, {"tenant": "acme"}))
    assert reply.request_body.response.clear_route_cache
    fields = reply.dynamic_metadata.fields
    groups = fields["gateway.route"].struct_value.fields["priority_groups"].list_value.values
    members = [g.struct_value.fields["clusters"].list_value.values for g in groups]
    assert [
        [member.struct_value.fields["cluster_name"].string_value for member in row]
        for row in members
    ] == [["east"], ["west:fallback"]]
    assert fields["gateway.fallback"].struct_value.fields["original"].string_value == '{"a":1}'
    assert fields["gateway"].struct_value.fields["tenant"].string_value == "acme"


def test_one_plan_does_not_leak_into_the_next() -> None:
    first = Decision(body=b"{}", plan=RoutePlan(("east",), "note"))
    codec.encode_request_body(first, {"tenant": "acme"})
    second = Decision(body=b"{}", plan=RoutePlan(("east",)))
    reply = parsed(codec.encode_request_body(second, {}))
    assert "gateway.fallback" not in reply.dynamic_metadata.fields
    assert not reply.dynamic_metadata.fields["gateway"].struct_value.fields


@pytest.mark.parametrize("mode", ["buffered", "streamed", "none"])
def test_a_body_mode_is_an_override(mode: Any) -> None:
    reply = parsed(codec.encode_response_headers(Decision(body_mode=mode)))
    assert reply.mode_override.response_body_mode == codec.BODY_MODES[mode]


def test_an_answer_is_written_whole() -> None:
    answer = Answer(429, (("retry-after", "7"),), b"{}", "rate_limit_exceeded")
    reply = parsed(codec.encode_answer(answer, {"reason": "rate_limit_exceeded"}))
    immediate = reply.immediate_response
    assert (immediate.status.code, immediate.body) == (429, b"{}")
    assert immediate.details == "gateway_rate_limit_exceeded"
    assert envoy.headers_of(immediate.headers) == {"retry-after": "7"}


def test_what_envoy_knows_of_the_upstream_is_read() -> None:
    data = envoy.response_headers(cluster="west:fallback", count=2, notes={"east": "503"})
    message = codec.decode_or_none(data)
    assert message is not None
    assert codec.read_upstream(message) == codec.Upstream(
        "west:fallback", 2, "via_upstream", {"east": "503"}
    )
    assert codec.read_upstream(pb.ProcessingRequest()) == codec.Upstream("", 1, "", {})


def test_only_cluster_metadata_makes_a_fallback_stream() -> None:
    plain = codec.decode_or_none(envoy.request_headers())
    assert plain is not None
    assert codec.fallback_cluster_of(plain) is None
    message = codec.decode_or_none(envoy.fallback_headers("west:fallback", "note", {}))
    assert message is not None
    assert codec.fallback_cluster_of(message) == "west:fallback"
    assert codec.fallback_note_of(message) == "note"


URI = "spiffe://apps.example/ns/acme/sa/chatbot"


def test_the_certificate_of_a_connection_is_read() -> None:
    names = {"connection.mtls": True, "connection.uri_san_peer_certificate": URI}
    assert codec.read_peer_uri(envoy.vouched_headers(names)) == URI


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"connection.uri_san_peer_certificate": URI},
        {"connection.mtls": False, "connection.uri_san_peer_certificate": URI},
        {"connection.mtls": "true", "connection.uri_san_peer_certificate": URI},
        {"connection.mtls": True},
        {"connection.mtls": True, "connection.uri_san_peer_certificate": 7},
    ],
)
def test_without_a_verified_certificate_there_is_none(attributes: dict[str, object]) -> None:
    message = envoy.vouched_headers(attributes)
    assert codec.read_peer_uri(message) == ""


def test_claims_that_envoy_verified_are_read_as_json_has_them() -> None:
    claims: dict[str, object] = {
        "corp": {"sub": "ann", "exp": 1.8e9, "n": 0.5, "a": [1, "x", None, {"b": True}], "e": {}}
    }
    found = codec.read_envoy_claims(envoy.vouched_headers({}, claims))
    assert found == claims
    assert found is not None
    assert isinstance(found["corp"]["exp"], int)
    assert isinstance(found["corp"]["n"], float)


def test_a_number_that_a_double_cannot_hold_is_no_whole_number() -> None:
    """Two ids above 2^53 may have become one: such a number must not name anybody."""
    found = codec.read_envoy_claims(envoy.vouched_headers({}, {"corp": {"id": 2**53}}))
    assert found is not None
    assert isinstance(found["corp"]["id"], float)


def test_other_metadata_is_not_handed_over() -> None:
    message = envoy.vouched_headers({})
    assert codec.read_envoy_claims(message) is None
    message.metadata_context.filter_metadata["other"].update({"corp": {"sub": "ann"}})
    assert codec.read_envoy_claims(message) is None
