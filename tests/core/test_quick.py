from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields, replace

import pytest

from gateway_extproc.core.chat import ChatRequest, Chunk, TextDelta
from gateway_extproc.core.quick import quick
from gateway_extproc.core.usage import Usage


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    one: int
    two: str = "b"


def test_it_is_the_dataclass_that_it_was() -> None:
    value = Quick(1)
    assert (value.one, value.two) == (1, "b")
    assert value == Quick(one=1, two="b")
    assert hash(value) == hash(Quick(1, "b"))
    assert repr(value) == "Quick(one=1, two='b')"
    assert replace(value, two="c") == Quick(1, "c")
    with pytest.raises(FrozenInstanceError):
        value.one = 2  # type: ignore[misc]


def test_what_is_missing_or_unknown_is_an_error() -> None:
    with pytest.raises(TypeError, match="one"):
        Quick()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="three"):
        Quick(1, three=3)  # type: ignore[call-arg]


def test_a_default_that_is_made_anew_is_not_for_it() -> None:
    with pytest.raises(TypeError, match="names"):

        @quick
        @dataclass(frozen=True, slots=True)
        class Slow:
            names: list[str] = field(default_factory=list)


@pytest.mark.parametrize("kind", [ChatRequest, Chunk, TextDelta, Usage])
def test_values_of_the_hub_keep_their_defaults_and_stay_frozen(kind: type) -> None:
    value = kind(**{one.name: () for one in fields(kind) if one.default is MISSING})
    for one in fields(kind):
        assert getattr(value, one.name) == (() if one.default is MISSING else one.default)
        with pytest.raises(FrozenInstanceError):
            setattr(value, one.name, 1)
