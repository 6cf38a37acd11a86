"""What a request used and what that costs; pure, but for the exchange it reads."""

from __future__ import annotations

from dataclasses import replace

from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.money import cost, is_charged
from gateway_extproc.core.usage import NOTHING, Usage, estimate_tokens


def make_bill(exchange: Exchange) -> None:
    """Writes usage, cost and price version into the exchange, if it used anything."""
    exchange.usage = final_usage(exchange)
    target = exchange.billed_target
    if exchange.usage is None or target is None or target.price is None:
        return
    # A price that does not say what this costs is none: the record then names no price.
    if is_charged(exchange.usage, target.price):
        exchange.cost_nanos = cost_of(exchange)
        exchange.price_version = target.price.version


def cost_of(exchange: Exchange) -> int:
    """What a request cost, in nano-dollars, as far as it is known now; 0 without a price."""
    usage, target = final_usage(exchange), exchange.billed_target
    if usage is None or target is None or target.price is None:
        return 0
    if not is_charged(usage, target.price):
        return 0
    batch = exchange.endpoint is not None and exchange.endpoint.batch
    return cost(usage, target.price, batch=batch)


def final_usage(exchange: Exchange) -> Usage | None:
    """What the provider reported; an estimate, marked as such, for what it did not.

    None where nothing was used: refused here, answered from the cache, failed at the provider.
    """
    if exchange.answered_by is None or exchange.response_status != 200:
        return _abandoned(exchange)
    reported = exchange.reported_usage
    if exchange.relayed is not None:
        return reported
    if reported is not None and exchange.answer_ended_well:
        return reported
    completion = estimate_tokens(exchange.answer_text_bytes)
    if reported is not None:
        # The stream broke off: the last report may be older than the last text.
        completion = max(completion, reported.completion_tokens)
        return replace(reported, completion_tokens=completion, source="estimated")
    return _estimated(exchange, completion)


def _abandoned(exchange: Exchange) -> Usage | None:
    """A client that leaves before the answer begins has still made a provider work.

    Whole answers are made in one go, so what is usual counts; of a stream that had not begun, only
    its prompt.
    """
    sent = exchange.targets and not exchange.answer_status and not exchange.response_status
    if not sent or exchange.outcome != "aborted" or exchange.asked is None:
        return None
    completion = 0 if exchange.asked.stream else exchange.expected_completion_tokens
    return _estimated(exchange, completion)


def _estimated(exchange: Exchange, completion: int) -> Usage:
    beside = NOTHING if exchange.asked is None else exchange.asked.beside
    return replace(
        beside,
        prompt_tokens=exchange.expected_prompt_tokens,
        completion_tokens=completion,
        source="estimated",
    )
