from typing import NamedTuple

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.usage import estimate_tokens


class Tokens(NamedTuple):
    expected: int
    at_most: int


def estimate(request: LlmRequest, model: str) -> Tokens:
    n = sum(len(at.text.encode()) for at in request.texts)
    return Tokens(estimate_tokens(n), n)
