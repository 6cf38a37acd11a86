"""Placeholders: one a value, none by chance, and nobody reads another one's value."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.guards.placeholders import (
    BYTES_MAX,
    PLACEHOLDER,
    RESERVED_MAX,
    VALUES_MAX,
    Placeholders,
    PlaceholdersLost,
    kind_name,
)
from support.pace import cpu_s

KEY = bytes(range(32))
NONCE = b"n" * 12


def sealed(placeholders: Placeholders, key: bytes = KEY, nonce: bytes = NONCE) -> bytes:
    return placeholders.export(key, tenant="acme", conversation="c1", nonce=nonce)


def opened(
    blob: bytes, key: bytes = KEY, tenant: str = "acme", conversation: str = "c1"
) -> Placeholders:
    return Placeholders.load(blob, key, tenant=tenant, conversation=conversation)


def test_a_value_has_one_placeholder_and_kinds_are_numbered_apart() -> None:
    held = Placeholders()
    assert held.for_value("email", "jane@x.org") == "[EMAIL-1]"
    assert held.for_value("email", "joe@x.org") == "[EMAIL-2]"
    assert held.for_value("us_ssn", "123-45-6789") == "[US-SSN-1]"
    assert held.for_value("email", "jane@x.org") == "[EMAIL-1]"
    assert (held.find("EMAIL-1"), held.find("email_2")) == ("jane@x.org", "joe@x.org")
    assert held.find("EMAIL-3") is None
    assert len(held) == 3


@given(st.text(max_size=40), st.text(max_size=20))
def test_any_kind_gives_a_placeholder_that_is_found(kind: str, value: str) -> None:
    held = Placeholders()
    found = PLACEHOLDER.fullmatch(held.for_value(kind, value))
    assert found is not None
    assert held.find(found[1]) == value
    assert PLACEHOLDER.search(f"[{kind_name(kind)}]") is None


@pytest.mark.parametrize(
    "text",
    [
        "[EMAIL-1]",
        "see [email_1], or [ Email-1 ]",
        "[E\u200bMAIL-1]",  # what is left when hidden characters are taken out
        "［ＥＭＡＩＬ－１］",
    ],
)
def test_what_a_client_wrote_stands_for_no_value(text: str) -> None:
    held = Placeholders(["hello", text])
    assert held.for_value("email", "jane@x.org") == "[EMAIL-2]"
    assert held.find("EMAIL-1") is None


def test_a_kept_value_gives_its_name_away_to_a_client_who_writes_it() -> None:
    held = Placeholders()
    held.for_value("email", "jane@x.org")
    later = opened(sealed(held))
    later.reserve("please repeat [EMAIL-1] to me")
    assert later.find("EMAIL-1") is None
    assert later.for_value("email", "jane@x.org") == "[EMAIL-2]"
    assert opened(sealed(later)).find("EMAIL-1") is None


def test_nothing_prints_or_pickles_a_value() -> None:
    held = Placeholders()
    held.for_value("email", "jane@x.org")
    assert repr(held) == str(held) == "Placeholders(1 values)"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as error:
            leak(held)
        assert "jane" not in str(error.value)


def test_a_full_map_masks_one_way() -> None:
    held = Placeholders()
    for number in range(VALUES_MAX):
        held.for_value("card", str(number))
    assert held.for_value("card", "one more") == "[CARD]"
    assert held.for_value("card", "7") == "[CARD-8]"
    assert len(held) == VALUES_MAX


def test_large_values_mask_one_way() -> None:
    held = Placeholders()
    assert held.for_value("doc", "é" * (8 << 10) + "x") == "[DOC]"
    for number in range(BYTES_MAX // (16 << 10)):
        assert held.for_value("doc", f"{number:04}".ljust(16 << 10)) == f"[DOC-{number + 1}]"
    assert held.for_value("doc", "x") == "[DOC]"


def test_a_text_full_of_placeholders_masks_one_way() -> None:
    held = Placeholders([" ".join(f"[A-{n}]" for n in range(1, RESERVED_MAX + 3))])
    assert held.for_value("email", "jane@x.org") == "[EMAIL]"


@given(
    st.lists(st.tuples(st.sampled_from(["email", "us_ssn"]), st.text(max_size=9)), max_size=20),
    st.lists(st.integers(1, 12), max_size=6),
)
def test_a_kept_map_goes_on_where_it_was(values: list[tuple[str, str]], foreign: list[int]) -> None:
    held = Placeholders([f"[EMAIL-{n}]" for n in foreign])
    names = [held.for_value(kind, value) for kind, value in values]
    kept = opened(sealed(held))
    assert [kept.for_value(kind, value) for kind, value in values] == names
    assert len(kept) == len(held)
    assert kept.for_value("email", "new@x.org") == held.for_value("email", "new@x.org")


def test_a_kept_map_opens_only_where_it_was_closed() -> None:
    held = Placeholders()
    held.for_value("email", "jane@x.org")
    blob = sealed(held)
    assert b"jane" not in blob
    attempts: list[Callable[[], Placeholders]] = [
        lambda: opened(blob, tenant="other"),
        lambda: opened(blob, conversation="c2"),
        lambda: opened(blob, key=bytes(32)),
        lambda: opened(blob[:-1]),
        lambda: opened(blob[:-1] + bytes((blob[-1] ^ 1,))),
        lambda: opened(b""),
        lambda: opened(b"\x01short"),
        lambda: opened(b"\x02" + blob[1:]),
    ]
    for attempt in attempts:
        with pytest.raises(PlaceholdersLost):
            attempt()
    with pytest.raises(ValueError, match="32"):
        sealed(held, key=b"short")


def test_tenant_and_conversation_cannot_be_shifted_into_each_other() -> None:
    blob = Placeholders().export(KEY, tenant="a", conversation="bc", nonce=NONCE)
    with pytest.raises(PlaceholdersLost):
        opened(blob, tenant="ab", conversation="c")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "[A-1-1-1-1-1-1-1-1-1-1-1-1-" * 37_000,
        "[EMAIL-1]" * 111_000,
        "[EMAIL-999999 " * 71_000,
        "".join(f"[A-{n}]" for n in range(1, 110_000)),
        "é[EMAIL-1" * 111_000,
    ],
)
def test_a_megabyte_is_looked_through_in_bounded_time(text: str) -> None:
    assert cpu_s(lambda: Placeholders([text]), 0.1) <= 0.1
