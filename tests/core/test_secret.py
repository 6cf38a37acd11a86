"""A secret can be used, and cannot be printed."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import orjson
import pytest

from gateway_extproc.core.secret import Secret

PLANTED = "planted-secret-4711"


@dataclass(frozen=True)
class Holder:
    secret: Secret


def raised() -> str:
    try:
        raise ValueError(Secret(PLANTED))
    except ValueError:
        return traceback.format_exc()


PRINTERS: list[Callable[[Secret], object]] = [
    repr,
    str,
    lambda s: f"{s}",
    lambda s: f"{s!r:>40}",
    lambda s: "{}".format(s),  # noqa: UP032
    lambda s: "%s %r" % (s, s),  # noqa: UP031
    lambda s: repr(Holder(s)),
    lambda s: repr({"a": [s]}),
    lambda s: raised(),
    dir,
    lambda s: json.dumps({"a": s}, default=str),
    lambda s: orjson.dumps({"a": s}, default=str).decode(),
]


@pytest.mark.parametrize("printer", PRINTERS)
def test_nothing_prints_it(printer: Callable[[Secret], object]) -> None:
    assert PLANTED not in str(printer(Secret(PLANTED)))


@pytest.mark.parametrize("encode", [json.dumps, orjson.dumps, pickle.dumps, copy.copy, vars])
def test_nothing_serialises_it(encode: Callable[[Secret], object]) -> None:
    with pytest.raises(TypeError) as caught:
        encode(Secret(PLANTED))
    assert PLANTED not in str(caught.value)


def test_logging_does_not_print_it(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").error("secret %s", Secret(PLANTED))
    assert PLANTED not in caplog.text
    assert "***" in caplog.text


def test_its_owner_gets_it_back() -> None:
    assert Secret(PLANTED).reveal() == PLANTED
    assert Secret(PLANTED) == Secret(PLANTED)
    assert Secret(PLANTED) != Secret("other")
    assert Secret(PLANTED) != PLANTED
