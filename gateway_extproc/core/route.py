"""Targets of a request and the attempts that were made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from gateway_extproc.core.endpoint import CHAT_APIS, CHATTING, spoken
from gateway_extproc.core.money import Price


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a catalogue knows of a model; None where it does not know.

    ``capabilities`` are names of ``CAPABILITIES``; ``quality`` lies in [0, 1].  ``regions`` are
    all regions in which it may be processed, where those are more than the provider's own.
    """

    quality: float | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None
    regions: frozenset[str] = frozenset()


UNKNOWN: Final = ModelFacts()

Capability = Literal["tools", "vision", "audio", "json_schema", "reasoning", "streaming"]
CAPABILITIES: Final[tuple[Capability, ...]] = get_args(Capability)
"""What a request may need of a model."""


@dataclass(frozen=True, slots=True)
class Target:
    """One chosen upstream: a model at a provider, behind an Envoy cluster.

    ``host`` is what Envoy writes into the host header, with the port where it is not the usual one.
    ``lacks`` are interfaces of its dialect that it does not have.
    With ``drops`` policy lets fields be left out that its dialect cannot express.
    ``cluster`` serves it as the first attempt, ``fallback_cluster`` (same
    endpoints, with the upstream-level ext_proc filter) as a later one.
    """

    provider: str
    dialect: str
    model: str
    cluster: str
    fallback_cluster: str
    base_path: str
    region: str = ""
    data_classes: frozenset[str] = frozenset({"standard"})
    price: Price | None = None
    facts: ModelFacts = UNKNOWN
    host: str = ""
    lacks: frozenset[str] = frozenset()
    drops: bool = False

    def spoken(self, endpoint: str) -> str:
        """The language in which it is asked what this endpoint's clients ask for."""
        return spoken(self.dialect, endpoint, self.lacks)

    def has(self, endpoint: str) -> bool:
        """Whether it has this interface, or one of the same dialect that stands in for it."""
        lacking = set(CHAT_APIS) if endpoint in CHATTING else {endpoint}
        return not lacking <= self.lacks

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one target; ``status`` 0 means that no response headers came."""

    target: str
    cluster: str
    status: int
    outcome: str
