"""All finders together read a megabyte in time that is bounded and grows as the text does.

Times are CPU time of this thread, the best of up to three, for others use the machine too.
"""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from gateway_extproc.core.ports import Guarded
from gateway_extproc.guards import RuleGuard
from gateway_extproc.guards.entities import ENTITIES
from gateway_extproc.guards.languages import is_installed
from gateway_extproc.guards.links import LinkGuard
from gateway_extproc.guards.shell import find_dangerous_shell, live_dangerous_shell
from gateway_extproc.guards.terms import TermList
from guards.cases import ALL_ENTITIES, PEM, at, rule
from support.pace import cpu_s

MEGABYTE = 1 << 20
BOUND_S = 1.5
"""The worst of them takes 0.7 s where other processes want both cores; a text that is walked again
and again takes minutes."""
GROWTH = 8.0
"""What four times the text may cost: 4 in proportion, 16 where each place walks all of it."""
NOISE_S = 0.04

UNITS = {
    **{f"a run of {char!r}": char for char in 'aA1 \n-.@/:="[({<_+%#\\`|&*~\0'},
    "letters and hex": "f1",
    "at signs": "a@",
    "addresses without an end": "a@b.",
    "addresses": "jo.doe@mail.example ",
    "single digits": "1 ",
    "digits and dashes": "1-",
    "groups of four": "1234 ",
    "decimals": "12.",
    "addresses of version 4": "1.2.3.4 ",
    "addresses of version 6": "2001:db8::1 ",
    "colons in pairs": "::",
    "almost cards": "4111111111111112 ",
    "grouped cards": "4111 1111 1111 1111 ",
    "almost an IBAN": "DE88370400440532013000 ",
    "beginnings of an IBAN": "DE12",
    "social security numbers": "123-45-6789 ",
    "beginnings of them": "123-45-",
    "telephones": "+1 (212) 555-0190 ",
    "telephones that are spoken of": "call 555 0142 ",
    "numbers of nine digits": "123456789 ",
    "numbers of eleven digits": "12345678901 ",
    "pesels": "44051401359 ",
    "aadhaars": "Aadhaar 234123412346 ",
    "births": "born 1/1/1990 ",
    "births without a date": "born on May ",
    "streets": "12 Main Street ",
    "street names": "Hauptstraße 12, ",
    "beginnings of keys": "sk-",
    "keys of a fixed part": "xoxb-1234567890-",
    "beginnings of tokens": "eyJ",
    "heads of tokens": "eyJaaaaaaaaaa.",
    "hex keys": "0123456789abcdef0123456789abcdef-us",
    "begins of private keys": "-----BEGIN PRIVATE KEY-----",
    "private keys without an end": "-----BEGIN PRIVATE KEY-----" + "A" * 60 + "\n",
    "private keys": PEM + "\n",
    "passwords without a value": "password = ",
    "passwords": "password=hunter2-Xk9 ",
    "bearers": "Bearer ",
    "authorizations": "Authorization: ",
    "secrets of Kubernetes": "apiVersion: v1\ndata:\n a: ",
    "credentials in addresses": "://a:bcdef@h ",
    "links without an end": "](https://",
    "references": "]: //a",
    "links that carry": "[a](https://h.example/x?y=" + "a1" * 30 + ") ",
    "attributes": 'href="//',
    "commands": "\nrm -rf / ",
    "half commands": "rm -rf /x ",
    "pipes to a shell": "curl a | sh\n",
    "bombs": ":(){ :|:& };:",
    "invisible characters": "\u200b",
    "invisible characters in words": "a\u200b",
    "tags": "\U000e0041",
    "flags with tags": "\U0001f3f4\U000e0067\U000e0062",
    "overrides": "\u202e",
    "marks upon marks": "a\u0301\u0302\u0303\u0304",
    "other scripts": "漢字",
    "longer in lower case": "İ",
    "lone surrogates": "\ud800",
    "nested lists": "[[",
    "nested objects": '{"a":',
    "prose": "Could you help me to plan a week in the mountains? We are four people. ",
}


def _random(kind: str) -> str:
    rng = random.Random(kind)
    make: dict[str, Callable[[], str]] = {
        "random characters": lambda: "".join(rng.choices(string.printable, k=MEGABYTE)),
        "random digits": lambda: "".join(rng.choices(string.digits + " -.()+/", k=MEGABYTE)),
        "random base64": lambda: base64.b64encode(rng.randbytes(MEGABYTE)).decode()[:MEGABYTE],
        "random hex": lambda: rng.randbytes(MEGABYTE // 2).hex(),
        "random cards": lambda: " ".join(
            "4" + "".join(rng.choices(string.digits, k=15)) for _ in range(MEGABYTE // 17)
        ),
        "random telephones": lambda: " ".join(
            f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1000, 99999)}"
            for _ in range(MEGABYTE // 15)
        ),
        "random scripts": lambda: "".join(
            chr(rng.choice((rng.randint(32, 0x2000), rng.randint(0x3000, 0xD000))))
            for _ in range(MEGABYTE)
        ),
    }
    return make[kind]()


RANDOM = (
    "random characters", "random digits", "random base64", "random hex", "random cards",
    "random telephones", "random scripts",
)  # fmt: skip
HOSTILE = (*UNITS, *RANDOM)


@cache
def every_rule() -> RuleGuard:
    """A guard with every kind of rule that looks at the characters of one text."""
    own: list[dict[str, Any]] = [
        {"kind": "hidden"},
        {"kind": "links"},
        {"kind": "shell"},
        {"kind": "terms", "terms": ("a", "aa", "b b", "1", "lorem ipsum")},
        {
            "kind": "pattern",
            "patterns": (r"\bACME-[0-9]{6}\b", r"(?:^|\n)secret plan .*x", "password.*", "a.*b"),
        },
        {"kind": "regex", "direction": "request", "patterns": (r"order-\d+", r"(a|b)*c")},
    ]
    if is_installed():
        own.append({"kind": "language", "action": "log", "allowed": ("en",)})
    rules = [rule(f"r{place}", **fields) for place, fields in enumerate(own)]
    guard = RuleGuard([rule("e", entities=ALL_ENTITIES), *rules])
    guard.scan_request([at("x" * 10_000)], Guarded("acme"))  # compiled before time is taken
    return guard


def hostile(kind: str, size: int = MEGABYTE) -> str:
    """A text of that many characters."""
    if kind in RANDOM:
        return _random(kind)[:size]
    unit = UNITS[kind]
    return (unit * (size // len(unit) + 1))[:size]


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_megabyte_takes_bounded_time(kind: str) -> None:
    guard, who = every_rule(), Guarded("acme")
    text = hostile(kind)
    assert guard.scan_request([at(text)], who).unjudged == ()
    took = cpu_s(lambda: guard.scan_request([at(text)], who), BOUND_S)
    assert took <= BOUND_S
    quarter = hostile(kind, MEGABYTE // 4)
    few = cpu_s(lambda: guard.scan_request([at(quarter)], who), BOUND_S)
    if took > GROWTH * few + NOISE_S:  # a disturbed measurement, or the truth
        took = cpu_s(lambda: guard.scan_request([at(text)], who), GROWTH * few + NOISE_S)
    assert took <= GROWTH * few + NOISE_S


LIVES = {
    **{name: entity.live for name, entity in ENTITIES.items()},
    "links": LinkGuard().live,
    "shell": live_dangerous_shell,
    "terms": TermList(["a", "aa", "b b"]).live,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_stream_waits_for_is_known_from_the_last_characters(kind: str) -> None:
    """A stream keeps some hundred characters, and 8,192 at most."""
    text = hostile(kind, 16_384)
    for name, live in LIVES.items():
        live(text)
        assert cpu_s(lambda live=live: live(text), 0.02) <= 0.02, name  # type: ignore[misc]


def test_each_finder_alone_is_bounded_on_digits() -> None:
    text = hostile("random digits")
    finders = {name: entity.find for name, entity in ENTITIES.items()}
    for name, find in {**finders, "shell": find_dangerous_shell}.items():
        find("x" * 10_000)
        assert cpu_s(lambda find=find: find(text), BOUND_S) <= BOUND_S, name  # type: ignore[misc]
