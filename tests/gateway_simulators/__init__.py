"""Providers that are not there: an OpenAI-shaped and an Anthropic-shaped server.

They answer over real HTTP/1.1 as the providers do, and they check what reaches
them as the providers do, so that a test through the gateway proves what arrived
and not what was meant.  This package imports nothing of the gateway: a mistake
in the gateway's idea of a wire format must not be repeated by its judge.

In a test: ``async with Simulator("openai", key="sk-test") as sim`` and then
``sim.url``, ``sim.requests``, ``sim.violations``, ``sim.faults.set(status=503)``.
As a process: ``python -m gateway_simulators --openai 127.0.0.1:9001``.
"""

from gateway_simulators.answers import completion_tokens, count_tokens, prompt_tokens
from gateway_simulators.faults import Faults
from gateway_simulators.journal import Received, Violation
from gateway_simulators.server import Simulator, ThreadedSimulator

__all__ = [
    "Faults",
    "Received",
    "Simulator",
    "ThreadedSimulator",
    "Violation",
    "completion_tokens",
    "count_tokens",
    "prompt_tokens",
]
