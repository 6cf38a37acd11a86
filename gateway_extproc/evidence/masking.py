"""What records do not show, by policy; pure.

A hash is ``hmac:`` and 32 hex digits, under a key of its own made from the prompt key: the
fingerprint that a finding shows of a prompt "ann" must not be the hash of a user "ann", or
whoever may send prompts could try out names.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway_extproc.config.evidencing import MaskRule
from gateway_extproc.config.recordfields import FieldPath, field_path

Record = dict[str, Any]
Value = str | int | float | bool
Change = Callable[[str], str | None]
"""What stands for a text; None for nothing."""

SUBJECTS: Final = ("tenant", "user", "application", "credential_id", "route")
"""Fields whose values events name as their subject, too."""

LABEL: Final = "masked"
"""Stands for every masked value in metrics: a hash would be a label that says who it was."""


def remove(_: str) -> None:
    """What is removed leaves nothing."""
    return


@dataclass(frozen=True, slots=True)
class FieldMasks:
    """The masks of one kind of record for one tenant and route."""

    fields: tuple[tuple[FieldPath, Change], ...] = ()

    def apply(self, record: Record) -> None:
        """Masks the record in place and notes in it which of its fields that concerned."""
        masked: list[str] = []
        for path, change in self.fields:
            value = record.get(path[0]) if len(path) == 1 else None
            if _mask(record, path, change):
                masked.append(".".join(path))
            if isinstance(value, str) and path[0] in SUBJECTS and "events" in record:
                masked += _mask_subjects(record["events"], value, change)
        if masked:
            record["masked"] = list(dict.fromkeys(masked))

    def shown(self, field: str, value: Value) -> Value | None:
        """The value as the record shows it; None where it does not."""
        for path, change in self.fields:
            name = ".".join(path)
            if field == name or field.startswith(f"{name}."):
                return change(value) if isinstance(value, str) else None
        return value

    def label(self, field: str, value: str) -> str:
        """A metric's label for this field."""
        if not self.fields or self.shown(field, value) == value:
            return value
        return LABEL


NO_MASKS: Final = FieldMasks()


class Masks:
    """All rules of one kind of record; resolved once for each tenant and route they name.

    A rule for some routes also holds where the route is not known yet, and likewise for
    tenants: what cannot be said to lie outside is masked.
    """

    def __init__(self, kind: str, rules: Sequence[MaskRule], prompt_key: bytes) -> None:
        self._key = hmac.digest(prompt_key, b"masked fields", "sha256")
        self._rules = [
            (rule, [field_path(kind, name, rule.action) for name in rule.fields])
            for rule in rules
            if kind in rule.records
        ]
        self._tenants = frozenset(name for rule, _ in self._rules for name in rule.tenants)
        self._routes = frozenset(name for rule, _ in self._rules for name in rule.routes)
        self._known: dict[tuple[str | None, str | None], FieldMasks] = {}

    def of(self, tenant: str, route: str) -> FieldMasks:
        """The masks for a request; empty names are those that are not known."""
        if not self._rules:
            return NO_MASKS
        key = (_narrowed(tenant, self._tenants), _narrowed(route, self._routes))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._resolve(*key)
        return known

    def _resolve(self, tenant: str | None, route: str | None) -> FieldMasks:
        fields: dict[FieldPath, Change] = {}
        for rule, paths in self._rules:
            if _fits(tenant, rule.tenants) and _fits(route, rule.routes):
                change = remove if rule.action == "remove" else self._hashed
                for path in paths:
                    # Of two rules for one field the one that shows less wins.
                    if fields.get(path) is not remove:
                        fields[path] = change
        return FieldMasks(tuple(fields.items()))

    def _hashed(self, value: str) -> str:
        text = value.encode("utf-8", "surrogatepass")
        return f"hmac:{hmac.digest(self._key, text, 'sha256').hex()[:32]}"


def _narrowed(name: str, named: frozenset[str]) -> str | None:
    """The name, "" when it is unknown, None when no rule names it."""
    return name if not name or name in named else None


def _fits(name: str | None, wanted: Sequence[str]) -> bool:
    return not wanted or name == "" or name in wanted


def _mask(node: Any, path: FieldPath, change: Change) -> bool:
    """Masks one field below a node; whether there was something to mask."""
    if isinstance(node, list):
        done = [_mask(item, path, change) for item in node]  # all of them, not up to the first
        return any(done)
    if not isinstance(node, dict) or path[0] not in node:
        return False
    if len(path) > 1:
        return _mask(node[path[0]], path[1:], change)
    changed = None if change is remove else _changed(node[path[0]], change)
    if changed is None:
        del node[path[0]]
    else:
        node[path[0]] = changed
    return True


def _changed(value: Any, change: Change) -> Any:
    if isinstance(value, str):
        return change(value) if value else value
    if isinstance(value, dict):
        return {key: _changed(item, change) for key, item in value.items()}
    return [_changed(item, change) for item in value]


def _mask_subjects(events: list[Record], value: str, change: Change) -> list[str]:
    named = [e for e in events if value and f"/{value}/" in f"/{e.get('subject', '')}/"]
    for event in named:
        changed = change(event.pop("subject"))
        if changed is not None:
            event["subject"] = changed
    return ["events.subject"] if named else []
