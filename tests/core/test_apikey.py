"""API keys: their form, their checksum, what is stored of them."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_extproc.core.apikey import BASE62, key_hmac, make_key, parse_key

IDS = st.text(string.ascii_lowercase + string.digits, min_size=8, max_size=32)
ENVIRONMENTS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=16)
SECRETS = st.binary(min_size=32, max_size=32)
PRINTABLE = [chr(code) for code in range(32, 127)]

KEY = make_key("live", "abcd1234", bytes(range(32)))


@given(ENVIRONMENTS, IDS, SECRETS)
def test_a_key_is_read_back(environment: str, key_id: str, secret: bytes) -> None:
    key = make_key(environment, key_id, secret)
    parsed = parse_key(key)
    assert parsed is not None
    assert (parsed.id, parsed.text) == (key_id, key)


@given(SECRETS, SECRETS)
def test_two_secrets_make_two_keys(one: bytes, other: bytes) -> None:
    keys = {make_key("live", "abcd1234", secret) for secret in (one, other)}
    assert len(keys) == len({one, other})


@settings(max_examples=15)
@given(IDS, SECRETS)
def test_every_change_of_one_character_is_refused(key_id: str, secret: bytes) -> None:
    key = make_key("live", key_id, secret)
    for place, old in enumerate(key):
        for new in (*BASE62[place % 7 :: 7], "_", "-", "é", "\n"):
            if new != old:
                assert parse_key(key[:place] + new + key[place + 1 :]) is None


@pytest.mark.parametrize("char", [c for c in PRINTABLE if c != KEY[-1]])
def test_no_other_last_character_fits(char: str) -> None:
    assert parse_key(KEY[:-1] + char) is None


@pytest.mark.parametrize(
    "text",
    ["", KEY[:-1], KEY + "0", KEY + "\n", " " + KEY, KEY.upper(), "gw__" + KEY, KEY * 2, "gw_"],
)
def test_another_form_is_refused(text: str) -> None:
    assert parse_key(text) is None


@given(st.text(max_size=120))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert parse_key(text) is None


def test_the_form_is_the_documented_one() -> None:
    assert re.fullmatch(r"gw_live_abcd1234_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}", KEY)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_of_another_size_makes_no_key(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        make_key("live", "abcd1234", bytes(size))


@pytest.mark.parametrize(
    ("environment", "key_id"),
    [("Live", "abcd1234"), ("my-env", "abcd1234"), ("", "abcd1234"), ("e" * 17, "abcd1234"),
     ("live", "ABCD1234"), ("live", "short"), ("live", "with_line")],
)  # fmt: skip
def test_a_key_that_nobody_could_read_back_is_not_made(environment: str, key_id: str) -> None:
    with pytest.raises(ValueError):
        make_key(environment, key_id, bytes(32))


def test_the_stored_value_depends_on_pepper_and_key() -> None:
    stored = key_hmac(b"pepper", KEY)
    assert len(stored) == 32
    assert stored != key_hmac(b"other", KEY)
    assert stored != key_hmac(b"pepper", KEY[:-1])


def test_a_parsed_key_does_not_print_its_secret() -> None:
    parsed = parse_key(KEY)
    assert KEY[17:40] not in repr(parsed)
    assert KEY[17:40] not in f"{parsed}"
