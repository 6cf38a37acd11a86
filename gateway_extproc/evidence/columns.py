"""What questions ask of records: a few flat columns, the same for files and for what is followed.

A row is made of a record in one place (``decision_row``, ``cost_row``), whoever asks: so a filter
means the same in a question over a million records and in ``tail``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zlib import crc32

from gateway_extproc.evidence.reading import Kind

Row = tuple[Any, ...]

SEPARATOR: Final = "\x1f"
"""Between the names of several rules, and around all of them."""

NO_TIME: Final = 0
"""Microseconds of a record that names no time: Envoy answered before the request was read."""

DECISION_COLUMNS: Final[dict[str, str]] = {
    "decision_id": "VARCHAR",
    "id_hash": "BIGINT",
    "request_id": "VARCHAR",
    "time_us": "BIGINT",
    "tenant": "VARCHAR",
    "user": "VARCHAR",
    "key": "VARCHAR",
    "application": "VARCHAR",
    "endpoint": "VARCHAR",
    "route": "VARCHAR",
    "requested_model": "VARCHAR",
    "target_model": "VARCHAR",
    "provider": "VARCHAR",
    "outcome": "VARCHAR",
    "status": "BIGINT",
    "reason": "VARCHAR",
    "rules": "VARCHAR",
    "cost_nanos": "BIGINT",
    "prompt_tokens": "BIGINT",
    "completion_tokens": "BIGINT",
    "duration_ms": "DOUBLE",
}

COST_COLUMNS: Final[dict[str, str]] = {
    "decision_id": "VARCHAR",
    "id_hash": "BIGINT",
    "time_us": "BIGINT",
    "tenant": "VARCHAR",
    "user": "VARCHAR",
    "key": "VARCHAR",
    "application": "VARCHAR",
    "endpoint": "VARCHAR",
    "route": "VARCHAR",
    "requested_model": "VARCHAR",
    "model": "VARCHAR",
    "provider": "VARCHAR",
    "outcome": "VARCHAR",
    "cached": "BIGINT",
    "cost_nanos": "BIGINT",
    "saved_nanos": "BIGINT",
    "prompt_tokens": "BIGINT",
    "completion_tokens": "BIGINT",
    "cached_tokens": "BIGINT",
    "reasoning_tokens": "BIGINT",
    "price_version": "VARCHAR",
    "labels": "VARCHAR",
}

COLUMNS: Final[dict[Kind, dict[str, str]]] = {
    "decisions": DECISION_COLUMNS,
    "costs": COST_COLUMNS,
}


def decision_row(record: Mapping[str, Any]) -> Row:
    """The values of ``DECISION_COLUMNS``; texts that are missing are empty, numbers 0."""
    get = record.get
    usage = get("usage") or {}
    refusal = get("refusal") or {}
    id_ = record["decision_id"]
    return (
        id_,
        id_hash(id_),
        get("request_id", ""),
        microseconds(get("time", "")),
        get("tenant", ""),
        get("user", ""),
        get("credential_id", ""),
        get("application", ""),
        get("endpoint", ""),
        get("route", ""),
        get("requested_model", ""),
        get("target_model", ""),
        get("provider", ""),
        get("outcome", ""),
        get("status", 0),
        refusal.get("reason", ""),
        _joined(rules_of(record)),
        get("cost_nanos", 0),
        usage.get("prompt_tokens", 0),
        usage.get("completion_tokens", 0),
        get("duration_ms", 0.0),
    )


def cost_row(record: Mapping[str, Any]) -> Row:
    """The values of ``COST_COLUMNS``."""
    get = record.get
    usage = get("usage") or {}
    id_ = record["decision_id"]
    return (
        id_,
        id_hash(id_),
        microseconds(get("time", "")),
        get("tenant", ""),
        get("user", ""),
        get("credential_id", ""),
        get("application", ""),
        get("endpoint", ""),
        get("route", ""),
        get("requested_model", ""),
        get("model", ""),
        get("provider", ""),
        get("outcome", ""),
        int(get("cache_hit", False)),
        get("cost_nanos", 0),
        get("saved_nanos", 0),
        usage.get("prompt_tokens", 0),
        usage.get("completion_tokens", 0),
        usage.get("cached_tokens", 0),
        usage.get("reasoning_tokens", 0),
        get("price_version", ""),
        _joined(f"{name}={value}" for name, value in (get("labels") or {}).items()),
    )


ROWS: Final[dict[Kind, Callable[[Mapping[str, Any]], Row]]] = {
    "decisions": decision_row,
    "costs": cost_row,
}


def id_hash(decision_id: str) -> int:
    """63 bits that tell ids apart; with fewer, some of a million would look alike."""
    data = decision_id.encode("utf-8", "replace")
    return crc32(data) << 31 ^ crc32(data[::-1])


_TYPES: Final[dict[Kind, tuple[type, ...]]] = {
    kind: tuple({"VARCHAR": str, "BIGINT": int, "DOUBLE": float}[name] for name in columns.values())
    for kind, columns in COLUMNS.items()
}


def typed(row: Row, kind: Kind) -> Row:
    """The row, with nothing in place of values that are not of their column's type."""
    types = _TYPES[kind]
    if tuple(map(type, row)) == types:
        return row
    # Nobody but the gateway writes there, but one odd line shall not hide all others.
    return tuple(
        [
            value if type(value) is type_ else type_()
            for value, type_ in zip(row, types, strict=True)
        ]
    )


def rules_of(record: Mapping[str, Any]) -> dict[str, None]:
    """The lines of policy that had a part in a decision, in the order in which they stand."""
    found: dict[str, None] = {}
    if record.get("rule"):
        found[f"{record.get('role', '')}/{record['rule']}"] = None
    refusal = record.get("refusal")
    if refusal and refusal.get("rule"):
        found[refusal["rule"]] = None
    for name in ("trail", "findings", "events"):
        for entry in record.get(name) or ():
            if "rule" in entry:
                found[entry["rule"]] = None
    for limit in record.get("limits") or ():
        if not limit.get("allowed", False):
            found[limit["id"]] = None
    return found


def microseconds(text: str) -> int:
    """An RFC 3339 time as microseconds since 1970; 0 for none."""
    if not text:
        return NO_TIME
    at = datetime.fromisoformat(text)
    return int(at.timestamp()) * 1_000_000 + at.microsecond


def _joined(names: Any) -> str:
    text = SEPARATOR.join(names)
    return f"{SEPARATOR}{text}{SEPARATOR}" if text else ""


# ------------------------------------------------------------------------- filters

OUTCOMES: Final[dict[str, str]] = {
    "allowed": "ALLOWED",
    "refused": "REFUSED",
    "failed": "FAILED",
    "aborted": "ABORTED",
    "interrupted": "OPENED",
}
"""As it is asked for -> as it stands in a record."""

EXACT: Final = (
    "tenant", "user", "key", "application", "endpoint", "route", "provider", "reason", "outcome",
    "requested_model", "request_id", "status",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are meant; empty texts, 0 and None ask for nothing.

    ``model`` is what was asked for or what answered, ``outcome`` as in a record, the times are
    microseconds since 1970 (from, inclusive; to, exclusive).  Costs have no ``request_id``, no
    ``status`` and no ``rule``.
    """

    tenant: str = ""
    user: str = ""
    key: str = ""
    application: str = ""
    endpoint: str = ""
    route: str = ""
    model: str = ""
    provider: str = ""
    rule: str = ""
    reason: str = ""
    outcome: str = ""
    requested_model: str = ""
    request_id: str = ""
    status: int = 0
    since_us: int | None = None
    until_us: int | None = None

    def sql(self, kind: Kind) -> tuple[str, list[Any]]:
        """A condition over the columns, and its parameters."""
        tests, values = ["true"], list[Any]()
        for test, value in self._tests(kind):
            tests.append(test)
            values += value
        return " AND ".join(tests), values

    def _tests(self, kind: Kind) -> Iterator[tuple[str, list[Any]]]:
        for name in EXACT:
            if getattr(self, name):
                yield f'"{name}" = ?', [getattr(self, name)]
        if self.model:
            target = "target_model" if kind == "decisions" else "model"
            yield f"(requested_model = ? OR {target} = ?)", [self.model, self.model]
        if self.rule:
            yield "contains(rules, ?)", [f"{SEPARATOR}{self.rule}{SEPARATOR}"]
        if self.since_us is not None:
            yield "time_us >= ?", [self.since_us]
        if self.until_us is not None:
            yield "time_us < ?", [self.until_us]

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a decision record is meant."""
        row = dict(zip(DECISION_COLUMNS, decision_row(record), strict=True))
        if any(getattr(self, name) and row[name] != getattr(self, name) for name in EXACT):
            return False
        if self.model and self.model not in (row["requested_model"], row["target_model"]):
            return False
        if self.rule and f"{SEPARATOR}{self.rule}{SEPARATOR}" not in row["rules"]:
            return False
        if self.since_us is not None and row["time_us"] < self.since_us:
            return False
        return self.until_us is None or row["time_us"] < self.until_us


EVERYTHING: Final = Filter()
