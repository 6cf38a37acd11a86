"""What of each record is kept, by the configuration; compiled once a worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway_extproc.config.evidencing import DropRule, Evidence
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.evidence.dropping import route_of, tenant_of
from gateway_extproc.evidence.masking import Masks


@dataclass(frozen=True, slots=True)
class RecordPolicy:
    """Masks of each kind of record, and which decision records are left out."""

    decisions: Masks
    costs: Masks
    alerts: Masks
    drop: tuple[DropRule, ...] = ()

    @classmethod
    def of(cls, evidence: Evidence, prompt_key: bytes) -> RecordPolicy:
        """The policy of a configuration; hashes are made under a key derived from this one."""
        return cls(
            Masks("decisions", evidence.mask, prompt_key),
            Masks("costs", evidence.mask, prompt_key),
            Masks("alerts", evidence.mask, prompt_key),
            evidence.drop,
        )


WHOLE: Final = RecordPolicy.of(Evidence(), b"")
"""Everything is kept and shown."""

LogFields = Callable[[Exchange], dict[str, str]]

FIELDS: Final = {"decision_id": "decision_id", "tenant": "tenant", "reason": "refusal.reason"}
"""The record's fields of what Envoy's access log shows."""


def masked_log_fields(masks: Masks, fields_of: LogFields) -> LogFields:
    """What Envoy's access log may show, without what the decision record does not."""

    def fields(exchange: Exchange) -> dict[str, str]:
        found = fields_of(exchange)
        shown = masks.of(tenant_of(exchange), route_of(exchange)).shown
        return {
            name: str(value)
            for name, text in found.items()
            if (value := shown(FIELDS[name], text)) is not None
        }

    return fields
