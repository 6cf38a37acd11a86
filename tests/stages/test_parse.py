"""parse: what of a body is understood, and how answers are written."""

from __future__ import annotations

import orjson
import pytest

from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.ports import Release
from gateway_extproc.core.verdict import Amend, Continue, Respond
from support import bodies
from support.parts import Bench


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"content-type": "text/plain"}, "unsupported_content_type"),
        ({"content-type": ""}, "unsupported_content_type"),
        ({"content-type": "multipart/form-data; boundary=x"}, "unsupported_content_type"),
        ({"content-type": "application/jsonp"}, "unsupported_content_type"),
        ({"content-encoding": "gzip"}, "unsupported_content_encoding"),
        ({"content-encoding": "identity, br"}, "unsupported_content_encoding"),
    ],
)
async def test_other_types_and_compression_are_refused_before_the_body(
    bench: Bench, headers: dict[str, str], reason: str
) -> None:
    verdict = await bench.stage("parse").request_headers(bench.exchange(headers=headers))
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert (verdict.refusal.reason, verdict.refusal.status) == (reason, 415)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "Application/JSON; charset=utf-8"},
        {"content-type": "application/json;charset=utf-8", "content-encoding": "Identity"},
    ],
)
async def test_json_is_accepted_as_it_may_be_written(bench: Bench, headers: dict[str, str]) -> None:
    verdict = await bench.stage("parse").request_headers(bench.exchange(headers=headers))
    assert isinstance(verdict, Continue)


async def test_an_empty_body_is_refused(bench: Bench) -> None:
    verdict = await bench.stage("parse").request_body(bench.exchange(), b"")
    assert isinstance(verdict, Respond)
    assert verdict.refusal is not None
    assert verdict.refusal.reason == "body_required"


async def test_a_body_without_endpoint_for_bodies_is_not_read(bench: Bench) -> None:
    exchange = bench.exchange(path="/v1/models", method="GET")
    assert isinstance(await bench.stage("parse").request_body(exchange, b"not json"), Continue)
    assert exchange.asked is None


@pytest.mark.parametrize(
    ("path", "body", "dialect"),
    [
        ("/v1/chat/completions", bodies.chat("Hi"), "openai"),
        ("/v1/messages", bodies.messages("Hi"), "anthropic"),
    ],
)
async def test_each_endpoint_speaks_its_dialect(
    bench: Bench, path: str, body: bytes, dialect: str
) -> None:
    exchange = bench.exchange(path=path)
    await bench.stage("parse").request_body(exchange, body)
    assert exchange.asked is not None
    assert (exchange.asked.dialect, exchange.asked.model) == (dialect, "small")
    assert [at.text for at in exchange.asked.texts] == ["Hi"]
    assert exchange.asked_body == body


async def test_a_body_of_the_other_dialect_or_too_deep_is_refused(bench: Bench) -> None:
    parse = bench.stage("parse")
    with pytest.raises(RequestError):
        await parse.request_body(bench.exchange(path="/v1/messages"), b'{"model":"small"}')
    with pytest.raises(RequestError, match="nested"):
        await parse.request_body(bench.exchange(), b'{"model":' + b"[" * 99 + b"]" * 99 + b"}")


async def test_an_answer_nobody_changed_leaves_as_it_came(bench: Bench) -> None:
    exchange = bench.exchange()
    raw = b'{ "odd" :  1 }'
    exchange.released = Release(document={"odd": 1}, raw=raw)
    verdict = await bench.stage("parse").response_body(exchange, raw, last=True)
    assert isinstance(verdict, Continue)
    assert exchange.client_body == raw


async def test_a_changed_answer_comes_with_its_new_length(bench: Bench) -> None:
    exchange = bench.exchange()
    exchange.released = Release(document={"text": "ü"})
    verdict = await bench.stage("parse").response_body(exchange, b"old", last=True)
    assert isinstance(verdict, Amend)
    assert verdict.body is not None
    assert orjson.loads(verdict.body) == {"text": "ü"}
    assert verdict.set_headers == (("content-length", str(len(verdict.body))),)
