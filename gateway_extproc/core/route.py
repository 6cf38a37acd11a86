"""Targets of a request and the attempts that were made."""

from __future__ import annotations

from dataclasses import dataclass

from gateway_extproc.core.money import Price


@dataclass(frozen=True, slots=True)
class Target:
    """One chosen upstream: a model at a provider, behind an Envoy cluster.

    ``host`` is what Envoy writes into the host header, with the port where it is not the usual one.
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
    host: str = ""

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
