"""Forged API keys, as headers: many thousands, all different, none good."""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway_extproc.core.apikey import BASE62, CHECKSUM_CHARS

Header = tuple[str, bytes]

HOMOGLYPHS: Final = {
    "a": "а", "c": "с", "e": "е", "o": "о", "p": "р", "x": "х", "i": "і", "0": "О", "1": "l",
    "b": "ｂ", "d": "ｄ", "f": "ｆ", "2": "２", "3": "３", "g": "ｇ", "w": "ｗ", "_": "＿",
}  # fmt: skip
"""Letters that look alike: Cyrillic, full width, and within ASCII."""

SMUGGLED: Final = (
    "x-gateway-tenant", "x-gateway-user", "x-gateway-role", "x-gateway-permit", "x-gateway-key",
    "x-gateway-auth", "x-tenant-id", "x-user-id", "x-forwarded-user", "x-remote-user",
    "x-auth-request-user", "x-envoy-external-address", "x-envoy-internal",
    "x-forwarded-client-cert", "x-authenticated-userid", "x-consumer-id", "x-ext-authz",
)  # fmt: skip
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True)
class Forgery:
    """One request's headers; ``large`` ones are more than Envoy takes at all."""

    what: str
    headers: tuple[Header, ...]
    path_suffix: str = ""
    large: bool = False


def forgeries(key: str, other: str, stored_hmac: str, seed: int = 20261124) -> Iterator[Forgery]:
    """No two alike, endless after the systematic ones.

    ``key`` and ``other`` are good keys of two people.
    """
    seen: set[tuple[tuple[Header, ...], str]] = set()
    for forgery in itertools.chain(
        _systematic(key, other, stored_hmac), _random_ones(key, other, random.Random(seed))
    ):
        if (forgery.headers, forgery.path_suffix) not in seen:
            seen.add((forgery.headers, forgery.path_suffix))
            yield forgery


def checksum(body: str) -> str:
    """The checksum of a key's body, as the format says, without the gateway's code."""
    number, digits = zlib.crc32(body.encode("utf-8", "surrogatepass")), ""
    for _ in range(CHECKSUM_CHARS):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def _bearer(text: str | bytes, what: str) -> Forgery:
    data = text if isinstance(text, bytes) else text.encode()
    return Forgery(what, (("authorization", b"Bearer " + data),))


def _systematic(key: str, other: str, stored_hmac: str) -> Iterator[Forgery]:
    prefix, environment, key_id, secret, _ = key.split("_")
    for end in range(1, len(key)):
        yield _bearer(key[:end], f"first {end} characters")
        yield Forgery(f"without the first {end}", (("x-api-key", key[end:].encode()),))
    for at, character in enumerate(key):
        for bit in range(7):
            flipped = chr(ord(character) ^ (1 << bit))
            if flipped.isprintable() and flipped not in ('"', ","):
                yield _bearer(key[:at] + flipped + key[at + 1 :], f"bit {bit} of character {at}")
        if character in HOMOGLYPHS:
            alike = key[:at] + HOMOGLYPHS[character] + key[at + 1 :]
            yield _bearer(alike, f"a look-alike at {at}")
            body = "_".join(alike.split("_")[:4])
            if f"{body}_{checksum(body)}" != key:
                yield _bearer(f"{body}_{checksum(body)}", f"a look-alike at {at}, a good checksum")
    for at in range(len(secret)):
        for replacement in BASE62[:: 7 + at % 3]:
            if replacement != secret[at]:
                changed = secret[:at] + replacement + secret[at + 1 :]
                body = f"{prefix}_{environment}_{key_id}_{changed}"
                yield _bearer(f"{body}_{checksum(body)}", f"secret changed at {at}, good checksum")
    other_id, other_secret = other.split("_")[2:4]
    for env, identity, hidden in itertools.product(
        (environment, "live", "x"), (key_id, other_id, "0" * 12), (secret, other_secret, "0" * 43)
    ):
        body = f"{prefix}_{env}_{identity}_{hidden}"
        if f"{body}_{checksum(body)}" not in (key, other):
            yield _bearer(f"{body}_{checksum(body)}", "parts of two keys")
    yield from _other_forms(key, other, stored_hmac)


def _other_forms(key: str, other: str, stored_hmac: str) -> Iterator[Forgery]:
    good = key.encode()
    for scheme in ("Basic", "Digest", "Token", "ApiKey", "Negotiate", "Bearer:", "Bearer Bearer"):
        yield Forgery(f"scheme {scheme}", (("authorization", f"{scheme} {key}".encode()),))
    for junk in (".", "=", "/", ";", "'", '"', "%00", "\\n", "\x7f", "é", "а", "x", "_", "__"):
        yield _bearer(good + junk.encode(), f"{junk!r} behind it")
        yield _bearer(junk.encode() + good, f"{junk!r} before it")
    yield _bearer(key.upper(), "upper case")
    yield _bearer(key.lower(), "lower case")
    yield _bearer(key.swapcase(), "swapped case")
    yield _bearer(key[::-1], "backwards")
    yield _bearer(key + key, "twice in one value")
    yield _bearer(f"{key} {key}", "twice with a space")
    yield _bearer(f"{key},{other}", "two with a comma")
    yield _bearer(stored_hmac, "what is stored of it")
    yield _bearer(
        bytes.fromhex(stored_hmac).replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b""),
        "raw hmac",
    )
    yield _bearer(f"{key.rsplit('_', 2)[0]}_{stored_hmac[:43]}_000000", "an hmac for a secret")
    for names in itertools.product(("authorization", "x-api-key", "api-key"), repeat=2):
        first, second = names
        yield Forgery(
            f"two keys in {first} and {second}", ((first, good), (second, other.encode()))
        )
        yield Forgery(f"key and junk in {first}, {second}", ((first, good), (second, b"junk")))
        yield Forgery(f"junk and key in {first}, {second}", ((first, b"junk"), (second, good)))
    for name in ("authorization", "x-api-key", "api-key"):
        yield Forgery(f"{name} twice, the same", ((name, good), (name, good)))
        yield Forgery(f"{name} empty", ((name, b""),))
        yield Forgery(f"{name} blank", ((name, b"  "),))
        yield Forgery(f"1 MB of {name}", ((name, b"a" * MEGABYTE),), large=True)
        yield Forgery(
            f"1 MB behind the key in {name}", ((name, good + b"a" * MEGABYTE),), large=True
        )
    for name in ("cookie", "x-key", "proxy-authorization", "x-authorization", "x_api_key"):
        yield Forgery(f"good key in {name}", ((name, good),))
    for parameter in ("key", "api-key", "api_key", "access_token", "authorization"):
        yield Forgery(f"good key in ?{parameter}", (), f"?{parameter}={key}")
    for name in SMUGGLED:
        for value in (b"acme", b"developer", b"true", b"127.0.0.1", good):
            yield Forgery(f"smuggled {name}", ((name, value),))
            yield Forgery(
                f"smuggled {name} beside junk", ((name, value), ("authorization", b"Bearer junk"))
            )


def _random_ones(key: str, other: str, dice: random.Random) -> Iterator[Forgery]:
    """Keys of the right form and checksum with known ids and random secrets, and mutants."""
    ids = [key.split("_")[2], other.split("_")[2]]
    while True:
        secret = "".join(dice.choices(BASE62, k=43))
        body = f"gw_{key.split('_')[1]}_{dice.choice(ids)}_{secret}"
        yield _bearer(f"{body}_{checksum(body)}", "a random secret of a known id")
        stranger = "".join(dice.choices("0123456789abcdef", k=12))
        body = f"gw_{key.split('_')[1]}_{stranger}_{secret}"
        yield _bearer(f"{body}_{checksum(body)}", "an unknown id")
        cut = dice.randrange(1, len(key))
        mixed = key[:cut] + other[cut:]
        if mixed not in (key, other):
            yield _bearer(mixed, "the beginning of one, the end of another")
        letters = list(key)
        for at in dice.sample(range(len(letters)), dice.randrange(2, 6)):
            letters[at] = dice.choice(BASE62)
        if "".join(letters) not in (key, other):
            yield _bearer("".join(letters), "some characters changed")
