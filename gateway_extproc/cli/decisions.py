"""``decisions``: what the gateway decided, and why."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from gateway_extproc.cli.decisionargs import NAMES
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.records import folder_of, question, read_config
from gateway_extproc.cli.tables import dollars, printable, table
from gateway_extproc.evidence.columns import OUTCOMES, Filter, rules_of
from gateway_extproc.evidence.following import Follower
from gateway_extproc.evidence.reading import shown
from gateway_extproc.evidence.search import find_decision

PAUSE_S: Final = 0.3
HEADS: Final = (
    "time", "outcome", "why", "tenant", "user", "model", "provider", "tokens", "cost", "ms", "id",
)  # fmt: skip


def filter_of(options: argparse.Namespace) -> Filter:
    """The filter that the arguments name."""
    names = {name: getattr(options, name) for name, _ in NAMES}
    return Filter(
        **names,
        outcome=OUTCOMES[options.outcome] if options.outcome else "",
        since_us=options.since,
        until_us=options.until,
    )


def query(options: argparse.Namespace) -> int:
    """The newest decisions that are meant."""
    which = filter_of(options)
    with question(options, "decisions") as asked:
        if options.count:
            _tell_count(asked.totals(which), as_json=options.json)
        elif options.json:
            _write_lines(asked.records(which, options.limit))
        else:
            found = list(asked.records(which, options.limit))
            print(table(HEADS, map(_row, found)))
            if len(found) == options.limit:
                print(f"\n{len(found)} shown; --limit shows more, --count counts them all")
    return 0


def tail(options: argparse.Namespace) -> int:
    """The last decisions, then each new one as it is written."""
    which = filter_of(options)
    folder = folder_of(options)
    follower = Follower(folder)  # before the question, so that nothing falls between them
    try:
        with question(options, "decisions") as asked:
            last = list(asked.records(which, options.limit))[::-1]
        lines = _Lines(as_json=options.json)
        lines.show(last)
        seen = {record["decision_id"] for record in last if record["outcome"] != "INTERRUPTED"}
        while not options.no_follow:
            new = (r for r in follower.poll() if r["decision_id"] not in seen)
            lines.show(r for r in new if r.get("outcome") != "OPENED" and which.matches(r))
            sys.stdout.flush()
            time.sleep(PAUSE_S)
    except BrokenPipeError:
        return _end_quietly()
    finally:
        follower.close()
    return 0


def show(options: argparse.Namespace) -> int:
    """One decision, for people to read."""
    record = find_decision(folder_of(options), options.id)
    if record is None:
        raise CommandFailure(f"no decision {options.id} in {folder_of(options)}")
    if options.json:
        _write_lines([record])
    else:
        print(story(shown(record)))
    return 0


def export(options: argparse.Namespace) -> int:
    """Decisions as a file of another kind; said in the admin log, for data leaves the log here."""
    from gateway_extproc.evidence.exports import PARQUET, WRITERS
    from gateway_extproc.evidence.query import OLDEST_FIRST

    which, target = filter_of(options), options.output
    if options.format == "parquet" and target is None:
        raise CommandFailure("parquet is written to a file: name it with --output")
    with question(options, "decisions") as asked, _Output(target) as (file, draft):
        if options.format == "parquet":
            test, values = which.sql("decisions")
            upto = "" if options.limit is None else f" LIMIT {options.limit}"
            sql = f"SELECT {PARQUET} FROM latest WHERE {test} ORDER BY {OLDEST_FIRST}{upto}"
            asked.copy(sql, values, draft)
        else:
            for data in WRITERS[options.format](asked.records(which, options.limit, OLDEST_FIRST)):
                file.write(data)
    if options.dir is None:
        from gateway_extproc.cli.adminlog import tell_admin_log

        tell_admin_log(
            read_config(options.config), f"decisions export {options.format}", "view_decisions"
        )
    return 0


# ----------------------------------------------------------------------- one record


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
        yield _indented(table(("stage", "phase", "verdict", "rule", "us"), rows))
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
        yield _indented(table(heads, limits))
    if record.get("findings"):
        found = [
            (f["rule"], f["kind"], f["direction"], f["action"], f["mode"], f["path"],
             f"{f['start']}-{f['end']}", f"{f['score']:.3f}")
            for f in record["findings"]
        ]  # fmt: skip
        yield "\nfindings"
        whose = ("rule", "kind", "direction", "action", "mode", "where", "at", "score")
        yield _indented(table(whose, found))
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
        yield _indented(table(("target", "cluster", "status", "outcome"), rows))
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


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


# ---------------------------------------------------------------------- many records


def _row(record: Mapping[str, Any]) -> tuple[Any, ...]:
    usage = record.get("usage") or {}
    return (
        record.get("time", "")[:19],
        record.get("outcome", "").lower(),
        _why_in_short(record),
        record.get("tenant", ""),
        record.get("user", ""),
        record.get("requested_model", ""),
        _providers(record),
        f"{usage['prompt_tokens']} + {usage['completion_tokens']}" if usage else "",
        dollars(record["cost_nanos"]) if "cost_nanos" in record else "",
        f"{record['duration_ms']:.0f}" if "duration_ms" in record else "",
        record["decision_id"],
    )


def _why_in_short(record: Mapping[str, Any]) -> str:
    refusal = record.get("refusal")
    if refusal:
        return " ".join(filter(None, (refusal["reason"], refusal.get("rule", ""))))
    granted = f"{record.get('role', '')}/{record.get('rule', '')}"
    return ", ".join(rule for rule in rules_of(record) if rule != granted)


def _providers(record: Mapping[str, Any]) -> str:
    tried = [attempt["target"].partition("/")[0] for attempt in record.get("attempts") or ()]
    return " > ".join(tried) or record.get("provider", "")


class _Lines:
    """Rows of a table that has no end yet: widths are those of what came so far."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._widths = [len(head) for head in HEADS]
        self._begun = False

    def show(self, records: Iterable[dict[str, Any]]) -> None:
        if self._as_json:
            _write_lines(records)
            return
        rows = [[printable(str(cell)) or "-" for cell in _row(record)] for record in records]
        for row in rows:
            self._widths = [max(w, len(c)) for w, c in zip(self._widths, row, strict=True)]
        for row in rows if self._begun else [list(HEADS), *rows]:
            cells = zip(row, self._widths, strict=True)
            print("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
        self._begun = True


def _tell_count(totals: Any, *, as_json: bool) -> None:
    names = {stands: asked for asked, stands in OUTCOMES.items()}
    named = {names.get(outcome, outcome.lower()): n for outcome, n in totals.outcomes.items()}
    if as_json:
        print(orjson.dumps({"records": totals.records, **named}).decode())
        return
    told = ", ".join(f"{count:,} {name}" for name, count in named.items())
    print(f"{totals.records:,} decisions" + (f": {told}" if told else ""))


def _write_lines(records: Iterable[Mapping[str, Any]]) -> None:
    for record in records:
        sys.stdout.buffer.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def _end_quietly() -> int:
    """Whoever read the output has enough of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


class _Output:
    """Standard output, or a private file that takes the target's place when all is well."""

    def __init__(self, target: Path | None) -> None:
        self._target = target
        self._path = Path() if target is None else target.with_name(f".{target.name}.part")

    def __enter__(self) -> tuple[BinaryIO, Path]:
        if self._target is None:
            return sys.stdout.buffer, self._path
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise CommandFailure(f"{self._target}: {error.strerror}") from None
        self._file = os.fdopen(handle, "wb")
        return self._file, self._path

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._target is None:
            sys.stdout.buffer.flush()
            return
        self._file.close()
        if kind is None:
            self._path.chmod(0o600)
            self._path.replace(self._target)
        else:
            self._path.unlink(missing_ok=True)
