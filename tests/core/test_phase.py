"""What may follow what in one ext_proc stream."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway_extproc.core.phase import MAY_FOLLOW, Phase
from gateway_extproc.core.stage import Stage

LETTERS = {
    Phase.REQUEST_HEADERS: "h",
    Phase.REQUEST_BODY: "b",
    Phase.RESPONSE_HEADERS: "H",
    Phase.RESPONSE_BODY: "B",
    Phase.CLOSE: ".",
}

GRAMMAR = re.compile(r"(h(b?(H(B*))?)?\.?|H(B*)\.?)?")
"""The module's picture as an expression: request headers, maybe a body, maybe an answer."""


def legal(phases: list[Phase]) -> bool:
    before: Phase | None = None
    for phase in phases:
        if phase not in MAY_FOLLOW[before]:
            return False
        before = phase
    return True


@given(st.lists(st.sampled_from(Phase), max_size=7))
def test_the_table_is_the_picture(phases: list[Phase]) -> None:
    word = "".join(LETTERS[phase] for phase in phases)
    assert legal(phases) == bool(GRAMMAR.fullmatch(word))


def test_every_phase_has_a_row_and_a_method() -> None:
    assert set(MAY_FOLLOW) == {None, *Phase}
    assert all(callable(getattr(Stage, phase.value)) for phase in Phase)


def test_nothing_follows_close_and_close_follows_everything() -> None:
    assert MAY_FOLLOW[Phase.CLOSE] == frozenset()
    for phase in Phase:
        assert phase is Phase.CLOSE or Phase.CLOSE in MAY_FOLLOW[phase]
