"""Conditions of roles and route rules, in CEL: the one function behind which its engine stands.

The variables and their types are those below; a condition is type-checked when it is
compiled, so that a misspelt name is a mistake of the configuration and not a refusal
at night.  What cannot be evaluated (a label that the caller does not have) does not hold.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from cel_expr_python import cel

from gateway_extproc.core.access import Condition, Facts

MAX_CHARS: Final = 2000

VARIABLES: Final = {
    "tenant": cel.Type.STRING,
    "user": cel.Type.STRING,
    "application": cel.Type.STRING,
    "roles": cel.Type.List(cel.Type.STRING),
    "method": cel.Type.STRING,
    "labels": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "data_classes": cel.Type.List(cel.Type.STRING),
    "endpoint": cel.Type.STRING,
    "model": cel.Type.STRING,
    "source": cel.Type.STRING,
    "hour": cel.Type.INT,
    "weekday": cel.Type.INT,
}
"""What a condition may ask: ``hour`` 0 to 23 and ``weekday`` 1 (Monday) to 7, both in UTC."""


ROUTE_VARIABLES: Final = {
    **VARIABLES,
    "region": cel.Type.STRING,
    "prompt_tokens": cel.Type.INT,
    "max_tokens": cel.Type.INT,
    "stream": cel.Type.BOOL,
    "tools": cel.Type.BOOL,
    "vision": cel.Type.BOOL,
    "language": cel.Type.STRING,
    "complexity": cel.Type.DOUBLE,
}
"""What a condition of a route rule may ask; docs/routing.md says what each means."""


class ConditionError(ValueError):
    """A text that is no condition; the message says why, in one line."""


def compile_route_condition(text: str) -> tuple[Condition, frozenset[str]]:
    """A condition over ``ROUTE_VARIABLES`` and those of them that it may ask."""
    words = frozenset(re.findall(r"\w+", text))
    return _compile(text, _route_environment()), words & ROUTE_VARIABLES.keys()


def compile_condition(text: str) -> Condition:
    """A condition over ``VARIABLES``; raises ``ConditionError``."""
    return _compile(text, _environment())


def _compile(text: str, environment: cel.Env) -> Condition:
    if len(text) > MAX_CHARS:
        raise ConditionError(f"more than {MAX_CHARS} characters")
    try:
        expression = environment.compile(text)
    except RuntimeError as error:
        raise ConditionError(_reason(str(error))) from None
    if expression.return_type() != cel.Type.BOOL:
        raise ConditionError("its value is not true or false")

    def holds(facts: Facts) -> bool:
        try:
            # An error is a value in CEL, of the type ERROR; only the value true is true.
            return expression.eval(data=facts).value() is True
        except RuntimeError:
            return False

    return holds


@lru_cache(maxsize=1)
def _environment() -> cel.Env:
    return cel.NewEnv(variables=VARIABLES)


@lru_cache(maxsize=1)
def _route_environment() -> cel.Env:
    return cel.NewEnv(variables=ROUTE_VARIABLES)


def _reason(message: str) -> str:
    """The engine's message without its drawing of where the mistake stands."""
    line = message.partition("\n")[0]
    return line.partition("ERROR: ")[2] or line
