"""Log probabilities of tokens, as OpenAI's two interfaces for chat carry them."""

from __future__ import annotations

from typing import Any

from gateway_extproc.core.chat import TokenProb


def read_logprobs(listed: Any) -> tuple[TokenProb, ...] | None:
    """What is told of an answer's tokens; None where nothing is, or nothing that can be read.

    They stand beside the answer: nobody loses a text over them.
    """
    if type(listed) is not list:
        return None
    try:
        return tuple([_read(one) for one in listed])
    except (AttributeError, KeyError, TypeError):
        return None


def _read(one: Any) -> TokenProb:
    beside = one.get("top_logprobs") or ()
    return TokenProb(*_pair(one), tuple([_pair(other) for other in beside]))


def _pair(one: Any) -> tuple[str, float]:
    token, logprob = one["token"], one["logprob"]
    if type(token) is not str or type(logprob) not in (int, float):
        raise TypeError
    return token, float(logprob)


def write_logprobs(told: tuple[TokenProb, ...]) -> list[dict[str, Any]]:
    """The same for a client; ``bytes`` are those of the token's text."""
    return [
        {
            **_write(one.token, one.logprob),
            "top_logprobs": [_write(token, logprob) for token, logprob in one.beside],
        }
        for one in told
    ]


def _write(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
