"""Names of fields in evidence, checked against the records' schema.

A name is dotted (``labels.team``) or a JSON pointer (RFC 6901, ``/labels/team``).  Lists have
no indexes: a name below a list means the field of each of its items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway_extproc.pb.gateway.v1 import decision_pb2

FieldPath = tuple[str, ...]

RECORDS: Final[Mapping[str, Any]] = {
    "decisions": decision_pb2.DecisionRecord.DESCRIPTOR,
    "costs": decision_pb2.CostRecord.DESCRIPTOR,
    "alerts": decision_pb2.AlertRecord.DESCRIPTOR,
}

NEEDED: Final[Mapping[str, frozenset[str]]] = {
    "decisions": frozenset({"decision_id", "time", "outcome", "masked", "texts"}),
    "costs": frozenset({"decision_id", "time", "outcome", "cost_nanos", "usage", "masked"}),
    "alerts": frozenset({"time", "kind", "budget", "percent", "used", "limit", "masked"}),
}
"""What a record of a kind is worth nothing without."""


class FieldUnknown(ValueError):
    """No field that could be masked; says what was expected."""


def field_path(kind: str, name: str, action: str) -> FieldPath:
    """The keys that lead to a field; raises ``FieldUnknown``."""
    parts = _parts(name)
    message, path = RECORDS[kind], list[str]()
    if parts[0] in NEEDED[kind]:
        raise FieldUnknown(f"another field: no record of {kind} is without {parts[0]}")
    for at, part in enumerate(parts):
        field = message.fields_by_name.get(part) if message is not None else None
        if field is None:
            known = sorted(message.fields_by_name) if message is not None else []
            where = ".".join(parts[:at]) or f"a record of {kind}"
            raise FieldUnknown(f"a field of {where} ({', '.join(known) or 'it has none'})")
        path.append(part)
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            # The rest is one key, dots included.
            rest = "/".join(parts[at + 1 :]) if name.startswith("/") else ".".join(parts[at + 1 :])
            path += [rest] if rest else []
            message = None
            break
    if action == "hash" and (message is not None or not _is_text(field)):
        raise FieldUnknown("a field of text, or 'remove'")
    return tuple(path)


def _parts(name: str) -> list[str]:
    if name.startswith("/"):
        return [part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/")]
    return name.split(".")


def _is_text(field: Any) -> bool:
    if field.message_type is not None:  # a map
        field = field.message_type.fields_by_name["value"]
    return bool(field.type == field.TYPE_STRING)
