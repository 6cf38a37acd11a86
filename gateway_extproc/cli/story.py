"""One decision, told for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gateway_extproc.cli.tables import dollars, indented, printable, table


def story(record: Mapping[str, Any]) -> str:
    """All that a record holds, in the order in which a reviewer asks."""
    return "\n".join(line for part in _PARTS for line in part(record))


def _what_happened(record: Mapping[str, Any]) -> Iterator[str]:
    refusal = record.get("refusal") or {}
    yield f"decision  {printable(record['decision_id'])}"
    yield f"request   {printable(record.get('request_id', '-'))}"
    if record.get("trace_id"):
        yield f"trace     {record['trace_id']}"
    yield f"time      {record.get('time', '-')}, {record.get('duration_ms', 0):g} ms"
    yield (
        f"outcome   {record.get('outcome', '-').lower()}, status {record.get('status', 0)}"
        + (f": {refusal['reason']}" if refusal else "")
        + (f" by {printable(refusal['rule'])}" if refusal.get("rule") else "")
    )
    yield (
        f"policy    {record.get('policy_revision', '-')}, worker {record.get('worker', 0)}, "
        f"version {record.get('gateway_version', '-')}"
    )
    if record.get("outcome") == "INTERRUPTED":
        yield "          only its beginning was written: its worker died, or it still runs"


def _who_asked(record: Mapping[str, Any]) -> Iterator[str]:
    yield "\nwho asked"
    if not record.get("tenant"):
        yield "  nobody that was recognised"
        return
    yield from _fields(record, ("tenant", "user", "application"))
    yield f"  credential   {record.get('credential_id', '-')} ({record.get('auth_method', '-')})"
    yield f"  roles        {', '.join(record.get('roles', ())) or '-'}"
    if record.get("role"):
        yield f"  allowed by   {record['role']}/{record.get('rule', '')}"
    yield f"  data classes {', '.join(record.get('data_classes', ())) or '-'}"
    for name, value in (record.get("labels") or {}).items():
        yield f"  label        {printable(name)}={printable(value)}"


def _what_was_asked(record: Mapping[str, Any]) -> Iterator[str]:
    yield "\nwhat was asked"
    path = printable(f"{record.get('method', '')} {record.get('path', '')}")
    yield f"  endpoint     {record.get('endpoint') or 'none'} ({path})"
    yield from _fields(record, ("requested_model", "client_dialect"))
    prompt = record.get("prompt")
    if prompt:
        yield f"  prompt       {prompt['bytes']:,} bytes, HMAC {prompt['hmac_sha256']}"
    if record.get("scannable_chars"):
        yield (
            f"  looked at    {record.get('scanned_chars', 0):,} of "
            f"{record['scannable_chars']:,} characters"
        )
    if record.get("dropped_messages"):
        yield f"  left out     {record['dropped_messages']} of the oldest messages"


def _why(record: Mapping[str, Any]) -> Iterator[str]:
    if record.get("trail"):
        rows = [
            (e["stage"], e["phase"], e["verdict"], e.get("rule", ""), e["microseconds"])
            for e in record["trail"]
        ]
        yield "\nhow it was decided"
        yield indented(table(("stage", "phase", "verdict", "rule", "us"), rows))
    if record.get("limits"):
        limits = [
            (
                limit["id"],
                "budget" if limit.get("budget") else "limit",
                limit["measure"],
                limit["limit"],
                limit["remaining"],
                limit.get("held", 0),
                limit.get("settled", 0),
                "yes" if limit["allowed"] else "no",
                limit["mode"],
            )
            for limit in record["limits"]
        ]
        yield "\nlimits and budgets"
        heads = ("id", "kind", "measure", "limit", "left", "held", "settled", "fit", "mode")
        yield indented(table(heads, limits))
    if record.get("findings"):
        found = [
            (f["rule"], f["kind"], f["direction"], f["action"], f["mode"], f["path"],
             f"{f['start']}-{f['end']}", f"{f['score']:.3f}")
            for f in record["findings"]
        ]  # fmt: skip
        yield "\nfindings"
        whose = ("rule", "kind", "direction", "action", "mode", "where", "at", "score")
        yield indented(table(whose, found))
        if record.get("findings_left_out"):
            yield f"  and {record['findings_left_out']:,} more"
    for event in record.get("events") or ():
        yield (
            f"\nevent: {event['category']} {event['kind']}, {event['action']}, "
            f"{printable(event.get('subject', ''))} {printable(event.get('rule', ''))}".rstrip()
        )
    if record.get("degraded"):
        without = ", ".join(record["degraded"])
        opened = " (and a rule was skipped)" if record.get("failed_open") else ""
        yield f"\ndecided without {without}{opened}"


def _who_answered(record: Mapping[str, Any]) -> Iterator[str]:
    if record.get("route"):
        yield "\nwho answered"
        yield from _fields(record, ("route",))
    if record.get("attempts"):
        rows = [
            (a["target"], a["cluster"], a["status"] or "none", a["outcome"])
            for a in record["attempts"]
        ]
        yield indented(table(("target", "cluster", "status", "outcome"), rows))
    names = ("provider", "target_model", "response_model", "stop_reason", "provider_request_id")
    yield from _fields(record, names)
    if record.get("cache_hit"):
        yield "  answered from the cache"


def _what_it_cost(record: Mapping[str, Any]) -> Iterator[str]:
    usage = record.get("usage")
    if not usage:
        return
    yield "\nwhat it cost"
    yield (
        f"  tokens       {usage['prompt_tokens']:,} in ({usage.get('cached_tokens', 0):,} cached), "
        f"{usage['completion_tokens']:,} out ({usage.get('reasoning_tokens', 0):,} reasoning), "
        f"{usage['source']}"
    )
    yield (
        f"  cost         {dollars(record.get('cost_nanos', 0))} by prices "
        f"{printable(record.get('price_version', '-'))}"
    )
    if record.get("worst_case_nanos"):
        yield f"  held         {dollars(record['worst_case_nanos'])} while it ran"


_PARTS: Final = (
    _what_happened, _who_asked, _what_was_asked, _why, _who_answered, _what_it_cost,
)  # fmt: skip


_CALLED: Final = {
    "requested_model": "model",
    "client_dialect": "dialect",
    "target_model": "asked for",
    "response_model": "said to be",
    "stop_reason": "ended by",
    "provider_request_id": "its id",
}


def _fields(record: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if record.get(name):
            yield f"  {_CALLED.get(name, name):<12} {printable(str(record[name]))}"
