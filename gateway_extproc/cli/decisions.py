"""``decisions``: what the gateway decided, and why."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from gateway_extproc.cli.decisionargs import NAMES
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.records import read_config
from gateway_extproc.cli.remote import asks_gateway
from gateway_extproc.cli.sources import decisions, find, tailed
from gateway_extproc.cli.story import story
from gateway_extproc.cli.tables import dollars, printable, table
from gateway_extproc.evidence.columns import OUTCOMES, Filter, rules_of
from gateway_extproc.evidence.following import Follower
from gateway_extproc.evidence.reading import shown

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
    with decisions(options) as asked:
        if options.count:
            _tell_count(asked.totals(which), as_json=options.json)
        elif options.json:
            _write_lines(asked.newest(which, options.limit))
        else:
            found = list(asked.newest(which, options.limit))
            print(table(HEADS, map(_row, found)))
            if len(found) == options.limit:
                print(f"\n{len(found)} shown; --limit shows more, --count counts them all")
    return 0


def tail(options: argparse.Namespace) -> int:
    """The last decisions, then each new one as it is written."""
    which = filter_of(options)
    with tailed(options, which) as (asked, new):
        last = list(asked.newest(which, options.limit))[::-1]
        lines = _Lines(as_json=options.json)
        lines.show(last)
        seen = {record["decision_id"] for record in last if record["outcome"] != "INTERRUPTED"}
        while not options.no_follow:
            sys.stdout.flush()
            found = [r for r in new.poll() if r["decision_id"] not in seen]
            lines.show(r for r in found if which.matches(r))
            sys.stdout.flush()
            if isinstance(new, Follower):  # a gateway waits itself
                time.sleep(PAUSE_S)
    return 0


def show(options: argparse.Namespace) -> int:
    """One decision, for people to read."""
    record = find(options)
    if options.json:
        _write_lines([record])
    else:
        print(story(shown(record)))
    return 0


def export(options: argparse.Namespace) -> int:
    """Decisions as a file of another kind; said in the admin log, for data leaves the log here."""
    from gateway_extproc.evidence.exports import WRITERS

    which, target = filter_of(options), options.output
    if options.format == "parquet" and target is None:
        raise CommandFailure("parquet is written to a file: name it with --output")
    with decisions(options) as asked, _Output(target) as (file, draft):
        if options.format == "parquet":
            asked.write_parquet(which, options.limit, draft)
        else:
            for data in WRITERS[options.format](asked.oldest(which, options.limit)):
                file.write(data)
    if options.dir is None and not asks_gateway(options):
        from gateway_extproc.cli.adminlog import tell_admin_log

        tell_admin_log(
            read_config(options.config), f"decisions export {options.format}", "view_decisions"
        )
    return 0


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
