"""Five hundred bad requests: each refused in the client's format, none reaches a provider."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from gateway_extproc.core.errors import REASONS
from support.gateway import RunningGateway

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
GOOD = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
GOOD_ANTHROPIC = {**GOOD, "model": "claude-haiku-4-5", "max_tokens": 16}
COUNT = 500
SEED = 20261123


@dataclass(frozen=True)
class Bad:
    """One bad request; ``chunked`` sends it without a length."""

    what: str
    path: str
    body: bytes
    content_type: str | None = "application/json"
    chunked: bool = False
    method: str = "POST"


def _wrong_types() -> Iterator[Bad]:
    wrong: tuple[object, ...] = (
        None,
        7,
        -1.5,
        True,
        "text",
        [],
        [None],
        {},
        {"a": 1},
        [[]],
        "\u0000",
    )
    required = ("model", "messages")
    optional = ("temperature", "max_tokens", "tools", "stream", "stop", "n", "top_p", "tool_choice")
    for path, good in ((CHAT, GOOD), (MESSAGES, GOOD_ANTHROPIC)):
        for field in required:
            for value in wrong:
                if field == "model" and isinstance(value, str):
                    continue
                yield _json(f"{field} is {value!r}", path, {**good, field: value})
            yield _json(f"no {field}", path, {k: v for k, v in good.items() if k != field})
        for field in optional:
            if path == MESSAGES and field in ("n", "stop"):
                continue
            value = {"an": "object"} if field not in ("tool_choice",) else 5
            yield _json(f"{field} is an object", path, {**good, field: value})
            if field != "stop":
                yield _json(f"{field} is a word", path, {**good, field: "\x01word"})
        for message in (
            None,
            "text",
            {"role": "user"},
            {"content": "x"},
            {"role": None, "content": "x"},
            {"role": "wizard", "content": "x"},
            {"role": 5, "content": "x"},
            {"role": "user", "content": 5},
            {"role": "user", "content": {"type": "text"}},
            {"role": "user", "content": [{"type": "text"}]},
            {"role": "user", "content": [{"text": "x"}]},
            {"role": "user", "content": [None]},
            {"role": "user", "content": None},
            {"role": "user", "content": [{"type": "text", "text": 5}]},
        ):
            yield _json(f"message {message!r}", path, {**good, "messages": [message]})


def _broken_bodies() -> Iterator[Bad]:
    good = json.dumps(GOOD).encode()
    bodies = {
        "empty": b"",
        "space": b"   ",
        "a word": b"hello",
        "null": b"null",
        "a number": b"17",
        "a list": b"[]",
        "a string": b'"text"',
        "cut off": good[:-1],
        "trailing comma": good[:-1] + b",}",
        "two documents": good + good,
        "single quotes": good.replace(b'"', b"'"),
        "NaN": good[:-1] + b',"temperature":NaN}',
        "infinity": good[:-1] + b',"temperature":-Infinity}',
        "a comment": b"// hi\n" + good,
        "invalid UTF-8": good.replace(b"hello", b"he\xff\xfello"),
        "overlong UTF-8": good.replace(b"hello", b"\xc0\xaf"),
        "lone surrogate": good.replace(b"hello", b"\\ud800"),
        "raw control": good.replace(b"hello", b"he\x00llo"),
        "UTF-16": json.dumps(GOOD).encode("utf-16"),
        "duplicate model": good[:-1] + b',"model":"gpt-4o"}',
        "duplicate role": good.replace(b'"role"', b'"role":"system","role"'),
        "deep lists": b'{"model":"gpt-4o-mini","messages":' + b"[" * 500 + b"]" * 500 + b"}",
        "very deep": b"[" * 50_000 + b"]" * 50_000,
        "deep objects": b'{"a":' * 200 + b"1" + b"}" * 200,
        "form": b"model=gpt-4o-mini&messages=hello",
    }
    for path, (what, body), chunked in itertools.product(
        (CHAT, MESSAGES), bodies.items(), (False, True)
    ):
        yield Bad(f"{what}{' chunked' if chunked else ''}", path, body, chunked=chunked)


def _wrong_requests() -> Iterator[Bad]:
    body = json.dumps(GOOD).encode()
    for kind in (None, "text/plain", "application/xml", "application/x-www-form-urlencoded",
                 "multipart/form-data; boundary=x", "application/jsonp", "json", ""):  # fmt: skip
        for path in (CHAT, MESSAGES):
            yield Bad(f"content-type {kind!r}", path, body, content_type=kind)
    for path in ("/", "/v1", "/v1/unknown", "/v1/chat", "/v1/chat/completions/x", "/admin",
                 "/v1/../v1/secret", "/v1/engines/x/completions"):  # fmt: skip
        yield Bad(f"path {path}", path, body)
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        for path in (CHAT, MESSAGES):
            yield Bad(f"{method} {path}", path, b"", method=method)


def _json(what: str, path: str, document: object) -> Bad:
    return Bad(what, path, json.dumps(document).encode())


def _mutants(seed: int) -> Iterator[Bad]:
    """Good bodies with a bracket, quote, colon or comma taken out: never valid JSON."""
    chance = random.Random(seed)
    good = json.dumps(GOOD)
    while True:
        spots = [i for i, char in enumerate(good) if char in '{}[]":']
        at = chance.choice(spots)
        yield Bad(f"without character {at}", chance.choice((CHAT, MESSAGES)),
                  (good[:at] + good[at + 1 :]).encode(), chunked=chance.random() < 0.3)  # fmt: skip


def _all_bad() -> list[Bad]:
    fixed = [*_wrong_types(), *_broken_bodies(), *_wrong_requests()]
    return [*fixed, *itertools.islice(_mutants(SEED), max(COUNT - len(fixed) - 2, 0))]


def _send(client: httpx.Client, bad: Bad) -> httpx.Response:
    headers = {} if bad.content_type is None else {"content-type": bad.content_type}
    content = iter([bad.body]) if bad.chunked else bad.body
    return client.request(bad.method, bad.path, content=content, headers=headers)


def _problem(bad: Bad, answer: httpx.Response) -> str | None:
    """What is wrong with the answer to a bad request; None when all is well."""
    if not 400 <= answer.status_code < 500:
        return f"{bad.what}: status {answer.status_code}: {answer.text[:200]}"
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return f"{bad.what}: no error body: {answer.text[:200]}"
    if error.get("code") not in REASONS or not error.get("message") or not error.get("type"):
        return f"{bad.what}: no reason code: {error}"
    anthropic = bad.path == MESSAGES
    if (answer.json().get("type") == "error") != anthropic:
        return f"{bad.what}: not in the client's format"
    if "x-request-id" not in answer.headers:
        return f"{bad.what}: no request id"
    return None


def test_every_bad_request_is_refused_and_none_reaches_a_provider(
    gateway: RunningGateway,
) -> None:
    bads = _all_bad()
    before = gateway.status()["workers"]
    with gateway.client() as client:
        problems = [p for bad in bads if (p := _problem(bad, _send(client, bad)))]
    assert problems == []
    assert len(bads) + 2 >= COUNT
    assert not gateway.openai.requests
    assert not gateway.anthropic.requests
    after = gateway.status()["workers"]
    assert [w["pid"] for w in after] == [w["pid"] for w in before], "a worker was restarted"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_twenty_megabytes_are_refused(gateway: RunningGateway, path: str, chunked: bool) -> None:
    body = json.dumps(
        {**GOOD_ANTHROPIC, "messages": [{"role": "user", "content": "a" * 20_000_000}]}
    ).encode()
    pieces = (body[i : i + 65536] for i in range(0, len(body), 65536))
    with gateway.client() as client:
        answer = client.post(
            path,
            content=pieces if chunked else body,
            headers={"content-type": "application/json"},
        )
    assert answer.status_code == 413
    bad = Bad("20 MB", path, b"")
    assert _problem(bad, answer) is None
    assert answer.json()["error"]["code"] == "body_too_large"
    assert not gateway.openai.requests


def test_the_next_good_request_is_served(gateway: RunningGateway) -> None:
    assert gateway.chat("still here?").status_code == 200
