"""How a target stands, for people: what status, commands and metrics show.  Pure."""

from __future__ import annotations

import math
from typing import Any, Final

from gateway_extproc.config.health import Health
from gateway_extproc.config.quotaheaders import MEASURES
from gateway_extproc.core.standing import Standing
from gateway_extproc.routing.circuit import State, advance
from gateway_extproc.routing.quota import fullness, renewed_s, seconds_left
from gateway_extproc.routing.row import TargetRow
from gateway_extproc.routing.watched import TargetKey, name_of

STATES: Final = {State.CLOSED: "closed", State.OPEN: "open", State.HALF_OPEN: "half_open"}


def target_figures(
    key: TargetKey, keys: int, row: TargetRow, standing: Standing, policy: Health, now_s: float
) -> dict[str, Any]:
    """One target as a JSON object; what is not known is left out."""
    figures: dict[str, Any] = {
        "target": name_of(key),
        "provider": key[0],
        "circuit": STATES[State(int(advance(row.circuit, now_s).state))],
        # A target that is probed with its next request is not one that has all of its traffic.
        "share": min(round(standing.share, 3), 1.0 if standing.share == 1.0 else 0.999),
    }
    if standing.why:
        figures["why"] = standing.why
    for name, value in (("p50_ms", standing.p50_ms), ("p95_ms", standing.p95_ms)):
        if value is not None:
            figures[name] = round(value, 1)
    if row.rest_until_s > now_s:
        figures["rests_s"] = round(row.rest_until_s - now_s, 1)
    quotas = [
        quota for credential in range(keys) for quota in _quotas(row, credential, policy, now_s)
    ]
    if quotas:
        figures["quotas"] = quotas
    return figures


def _quotas(row: TargetRow, credential: int, policy: Health, now_s: float) -> list[dict[str, Any]]:
    found = []
    for number, measure in enumerate(MEASURES):
        meter = row.meter(credential, number)
        renewed_in_s = renewed_s(meter, policy.quota) - now_s
        if not meter.seen_s or renewed_in_s <= 0:
            continue
        quota: dict[str, Any] = {
            "credential": credential,
            "measure": measure,
            "remaining": meter.remaining,
            "limit": meter.limit,
            "left": round(fullness(meter, now_s, policy.quota), 4),
            "renewed_s": round(renewed_in_s, 1),
        }
        exhausted_s = seconds_left(meter)
        if math.isfinite(exhausted_s):
            quota["exhausted_s"] = round(exhausted_s, 1)
        found.append(quota)
    return found
