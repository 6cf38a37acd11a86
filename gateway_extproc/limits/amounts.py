"""What a request may use at worst, what it will probably use, and what it did use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway_extproc.core.limits import MAX_AMOUNT, Measure
from gateway_extproc.core.money import Price, cost, most
from gateway_extproc.core.usage import NOTHING as UNUSED
from gateway_extproc.core.usage import Usage
from gateway_extproc.limits.estimate import Tokens
from gateway_extproc.limits.rules import Named


class Amounts(NamedTuple):
    """What one request uses of everything that is measured."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    nanos: int = 0

    def of(self, measure: Measure) -> int:
        """The amount under one measure."""
        match measure:
            case "tokens":
                return self.prompt_tokens + self.completion_tokens
            case "prompt_tokens":
                return self.prompt_tokens
            case "completion_tokens":
                return self.completion_tokens
            case "nanos":
                return self.nanos
            case _:
                return 1


class Forecast(NamedTuple):
    """What is known of a request before it is sent.

    ``cap_tokens`` is the cap of one completion, ``completions`` how many there will be.
    """

    prompt: Tokens
    completions: int
    cap_tokens: int
    worst: Amounts
    expected: Amounts


NOTHING = Forecast(Tokens(0, 0), 1, 0, Amounts(), Amounts())


def forecast(
    prompt: Tokens, completions: int, cap_tokens: int, usual: int, prices: Sequence[Price],
    beside: Usage = UNUSED, *, media: bool = False,
) -> Forecast:  # fmt: skip
    """``usual`` completion tokens are expected; the dearest of the targets' prices counts.

    ``beside`` is what may be charged instead of tokens; with ``media`` any of them may be of a
    sound or an image.
    """
    said = completions * cap_tokens
    usual = min(usual, said)
    return Forecast(
        prompt, completions, cap_tokens,
        Amounts(prompt.at_most, said, _nanos(prompt.at_most, said, prices, beside, media)),
        Amounts(prompt.expected, usual, _nanos(prompt.expected, usual, prices, beside)),
    )  # fmt: skip


def affordable_cap(rules: Sequence[Named], plan: Forecast, prices: Sequence[Price]) -> int:
    """The cap for a client that named none: no strict rule is held to more than half by it.

    Else the first request of a narrow budget would be refused for tokens that nobody asked for.
    """
    cap = plan.cap_tokens
    completion_nanos = max((price.completion_nanos for price in prices), default=0)
    for named in rules:
        rule = named.rule
        half = rule.counter.limit // 2
        if not rule.strict or plan.worst.of(rule.measure) <= half:
            continue
        match rule.measure:
            case "tokens":
                left = half - plan.prompt.at_most
            case "completion_tokens":
                left = half
            case "nanos":
                left = (half - _nanos(plan.prompt.at_most, 0, prices)) // max(1, completion_nanos)
            case _:
                continue
        cap = min(cap, max(1, left // max(1, plan.completions)))
    return cap


def _nanos(
    prompt: int, completion: int, prices: Sequence[Price], beside: Usage = UNUSED,
    media: bool = False,
) -> int:  # fmt: skip
    usage = Usage(prompt, completion, seconds=beside.seconds, characters=beside.characters)
    charge = most if media else cost
    return min(MAX_AMOUNT, max((charge(usage, price) for price in prices), default=0))
