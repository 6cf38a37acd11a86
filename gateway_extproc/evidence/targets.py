"""Metrics of targets: what the workers of a host know together, so told once, by the supervisor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

CIRCUITS: Final = {"closed": 0.0, "half_open": 0.5, "open": 1.0}
QUANTILES: Final = (("p50_ms", "0.5"), ("p95_ms", "0.95"))


class _Targets(Collector):
    def __init__(self, figures: Iterable[Mapping[str, Any]]) -> None:
        self._figures = list(figures)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        circuit = GaugeMetricFamily(
            "gateway_target_circuit", "0 closed, 0.5 half-open, 1 open.", labels=["target"]
        )
        share = GaugeMetricFamily(
            "gateway_target_share", "Share of its traffic that a target gets.", labels=["target"]
        )
        latency = GaugeMetricFamily(
            "gateway_target_first_byte_seconds",
            "Latency to an answer's headers, of late.",
            labels=["target", "quantile"],
        )
        left = GaugeMetricFamily(
            "gateway_quota_left", "What is left of a quota, as a share.", labels=_OF_QUOTA
        )
        exhaustion = GaugeMetricFamily(
            "gateway_quota_exhaustion_seconds",
            "Time until a quota would be used up by all of the target's traffic.",
            labels=_OF_QUOTA,
        )
        for one in self._figures:
            target = one["target"]
            circuit.add_metric([target], CIRCUITS[one["circuit"]])
            share.add_metric([target], one["share"])
            for name, quantile in QUANTILES:
                if name in one:
                    latency.add_metric([target, quantile], one[name] / 1000)
            for quota in one.get("quotas", ()):
                labels = [target, str(quota["credential"]), quota["measure"]]
                left.add_metric(labels, quota["left"])
                if "exhausted_s" in quota:
                    exhaustion.add_metric(labels, quota["exhausted_s"])
        return iter((circuit, share, latency, left, exhaustion))


_OF_QUOTA: Final = ["target", "credential", "measure"]


def render_targets(figures: Iterable[Mapping[str, Any]]) -> bytes:
    """The figures of targets as Prometheus text."""
    registry = CollectorRegistry()
    registry.register(_Targets(figures))
    return generate_latest(registry)
