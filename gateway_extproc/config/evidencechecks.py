"""What can be wrong with the rules for evidence beyond the form of their fields."""

from __future__ import annotations

from collections.abc import Iterator

from gateway_extproc.config.evidencing import MaskRule
from gateway_extproc.config.mistakes import Mistake, twice, unknown
from gateway_extproc.config.model import Config
from gateway_extproc.config.recordfields import FieldUnknown, field_path


def evidence_mistakes(config: Config, tenants: set[str] | None) -> Iterator[Mistake]:
    """Fields that no record has, names that nothing defines; ``tenants`` None: not all known."""
    evidence = config.evidence
    routes = {route.model for route in config.models}
    for section in ("mask", "drop", "texts"):
        for i, scope in enumerate(getattr(evidence, section)):
            path = f"evidence.{section}[{i}]"
            yield from unknown(f"{path}.tenants", scope.tenants, tenants, "tenants of this file")
            yield from unknown(f"{path}.routes", scope.routes, routes, "models of this file")
    for i, rule in enumerate(evidence.mask):
        yield from _fields(f"evidence.mask[{i}]", rule)
    for section in ("drop", "reviewers", "texts"):
        yield from twice(f"evidence.{section}", [item.id for item in getattr(evidence, section)])
    for i, drop in enumerate(evidence.drop):
        for j, status in enumerate(drop.statuses):
            if not 200 <= status <= 299:
                expected = "200 to 299: what was refused or failed is always kept"
                yield Mistake(f"evidence.drop[{i}].statuses[{j}]", str(status), expected)
    if evidence.drop and evidence.durability == "strict":
        expected = "none where durability is strict: that keeps every decision"
        yield Mistake("evidence.drop", f"{len(evidence.drop)} rules", expected)
    checkpoints = evidence.checkpoints
    if checkpoints is not None and ("file" in checkpoints.to) != bool(checkpoints.file):
        expected = "a file where 'to' says file, and only there"
        yield Mistake("evidence.checkpoints.file", repr(checkpoints.file), expected)
    if checkpoints is not None and checkpoints.otlp_endpoint and "otlp" not in checkpoints.to:
        expected = "a collector only where 'to' says otlp"
        yield Mistake(
            "evidence.checkpoints.otlp_endpoint", repr(checkpoints.otlp_endpoint), expected
        )
    reviewers = {reviewer.id for reviewer in evidence.reviewers}
    for i, text in enumerate(evidence.texts):
        path = f"evidence.texts[{i}].reviewers"
        yield from unknown(path, text.reviewers, reviewers, "evidence.reviewers of this file")


def _fields(path: str, rule: MaskRule) -> Iterator[Mistake]:
    for i, name in enumerate(rule.fields):
        for kind in rule.records:
            try:
                field_path(kind, name, rule.action)
            except FieldUnknown as error:
                yield Mistake(f"{path}.fields[{i}]", repr(name), str(error))
    if "alerts" in rule.records and (rule.tenants or rule.routes):
        expected = "no tenants and no routes: an alert is of a budget, which may have many"
        yield Mistake(f"{path}.records", "'alerts'", expected)
