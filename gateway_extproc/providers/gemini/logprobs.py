"""Gemini's ``logprobsResult``, both ways: chosen tokens, and the likeliest ones at each place."""

from __future__ import annotations

from typing import Any

from gateway_extproc.core.chat import TokenProb


def read_logprobs(result: Any) -> tuple[TokenProb, ...] | None:
    """What is told of an answer's tokens; None where nothing is, or nothing that can be read.

    They stand beside the answer: nobody loses a text over them.
    """
    if type(result) is not dict or type(result.get("chosenCandidates")) is not list:
        return None
    chosen = result["chosenCandidates"]
    try:
        beside = result.get("topCandidates") or [{}] * len(chosen)
        return tuple(
            [
                TokenProb(*_pair(one), tuple([_pair(x) for x in others.get("candidates") or ()]))
                for one, others in zip(chosen, beside, strict=True)
            ]
        )
    except (AttributeError, TypeError, ValueError):
        return None


def _pair(one: Any) -> tuple[str, float]:
    # Protobuf's JSON leaves out zeros and empty texts.
    token, logprob = one.get("token", ""), one.get("logProbability", 0.0)
    if type(token) is not str or type(logprob) not in (int, float):
        raise TypeError
    return token, float(logprob)


def write_logprobs(told: tuple[TokenProb, ...]) -> dict[str, Any]:
    """The same for a client."""
    result: dict[str, Any] = {"chosenCandidates": [_write(p.token, p.logprob) for p in told]}
    if any(one.beside for one in told):
        result["topCandidates"] = [
            {"candidates": [_write(token, logprob) for token, logprob in one.beside]}
            for one in told
        ]
    return result


def _write(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logProbability": logprob}
