"""Sealed ids open for their tenant and their kind, and for nobody else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.secret import Secret
from gateway_extproc.stages.sealedids import SealedIds

IDS = SealedIds(Secret("pepper"))
FIELDS = {"p": "openai", "i": "file-abc", "n": [1, 2], "k": "input"}


def test_an_id_opens_for_its_tenant_and_says_nothing_to_others() -> None:
    sealed = IDS.seal("file", "acme", FIELDS)
    assert sealed == IDS.seal("file", "acme", dict(reversed(FIELDS.items())))
    assert IDS.open("file", "acme", sealed) == FIELDS
    assert IDS.open("file", "beta", sealed) is None
    assert IDS.open("batch", "acme", sealed) is None
    assert IDS.open("batch", "acme", sealed.replace("file-", "batch_")) is None
    assert SealedIds(Secret("other")).open("file", "acme", sealed) is None
    told = base64.urlsafe_b64decode(sealed.removeprefix("file-") + "==")
    assert b"abc" not in told
    assert b"openai" not in told
    assert IDS.seal("file", "beta", FIELDS) != sealed


@given(st.integers(0, 10_000), st.sampled_from("ABCDEFGHabcdefgh0123_-"))
def test_no_changed_id_opens(place: int, letter: str) -> None:
    sealed = IDS.seal("file", "acme", FIELDS)
    at = len("file-") + place % (len(sealed) - len("file-") - 1)
    changed = sealed[:at] + letter + sealed[at + 1 :]
    assert IDS.open("file", "acme", changed) == (FIELDS if changed == sealed else None)


@pytest.mark.parametrize("text", ["", "file-", "file-abc", "file-ä", "file-" + "A" * 5000,
                                  "file-a/b+c", "batch_x", "file-====", "file-\x00"])  # fmt: skip
def test_nonsense_is_nobodys(text: str) -> None:
    assert IDS.open("file", "acme", text) is None
