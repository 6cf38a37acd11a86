"""``decisions replay``: a policy tried on what was recorded."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from gateway_extproc.cli.common import CONFIG_PLACES
from gateway_extproc.cli.decisions import filter_of
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.files import read_file, read_tenants
from gateway_extproc.cli.records import question
from gateway_extproc.cli.tables import table
from gateway_extproc.config.compile import Snapshot, compile_config, tenant_table
from gateway_extproc.core.ports import KeyTable, StoreUnavailable
from gateway_extproc.evidence.query import OLDEST_FIRST
from gateway_extproc.identities import state_dir
from gateway_extproc.replayreport import Report
from gateway_extproc.replays import Replay
from gateway_extproc.stores.following import catch_up
from gateway_extproc.stores.keyfile import FollowedKeys
from gateway_extproc.stores.memory import FixedKeys, FixedTenants


def replay(options: argparse.Namespace) -> int:
    """Prints what the other policy would have decided otherwise."""
    config, _ = read_file(options.policy)
    new = compile_config(config)
    old = _current(options)
    tenants = FixedTenants({**new.tenants, **tenant_table(read_tenants(config))})
    with (
        tempfile.TemporaryDirectory(prefix="gateway-replay-") as folder,
        question(options, "decisions") as asked,
    ):
        tried = Replay(
            old, new, _keys(new), tenants, Path(folder) / "limits.table",
            examples=options.examples,
        )  # fmt: skip
        try:
            asyncio.run(_add_all(tried, asked.records(filter_of(options), None, OLDEST_FIRST)))
        finally:
            tried.close()
    if options.json:
        _write_json(tried.report, old, new)
    else:
        print(told(tried.report, old, new, str(options.policy)))
    return 0


async def _add_all(tried: Replay, records: Iterable[dict[str, Any]]) -> None:
    for record in records:
        await tried.add(record)


def _current(options: argparse.Namespace) -> Snapshot | None:
    """The configuration under which records are made here; with --dir there may be none."""
    path = options.config or next((place for place in CONFIG_PLACES if place.exists()), None)
    if path is None or (options.dir is not None and options.config is None):
        return None
    return compile_config(read_file(path)[0])


def _keys(new: Snapshot) -> KeyTable:
    """The keys that the policy's gateway would know: its own, and those of its key store."""
    state = state_dir(new.config)
    if not state.is_dir():
        return FixedKeys(new.keys)
    keys = FollowedKeys(state, new.keys)
    try:
        catch_up((keys,))
    except StoreUnavailable as error:
        raise CommandFailure(f"{state}: {error}") from None
    return keys


def told(report: Report, old: Snapshot | None, new: Snapshot, name: str) -> str:
    """The report for people."""
    lines = [f"{report.records:,} decisions under {name} (revision {new.revision})", ""]
    rows = [
        (count, *difference, ", ".join(report.examples[difference]))
        for difference, count in sorted(
            report.differences.items(), key=lambda item: (item[0].kind, -item[1], item[0])
        )
    ]
    if rows:
        heads = ("decisions", "what", "rule", "tenant", "before", "after", "such as")
        lines.append(table(heads, rows))
    else:
        lines.append("no decision would have been another one")
    lines += ["", f"{report.unchanged:,} unchanged"]
    if report.anonymous:
        lines.append(f"{report.anonymous:,} of nobody that was recognised: not a matter of policy")
    if report.interrupted:
        lines.append(f"{report.interrupted:,} were interrupted: nothing is known to judge by")
    if report.unknown:
        lines += ["", f"{report.partly:,} could not be judged wholly"]
        lines += [
            f"  {rule}: could not judge {count:,} records"
            for rule, count in sorted(report.unknown.items(), key=lambda item: (-item[1], item[0]))
        ]
    lines += _warnings(report, old)
    return "\n".join(lines)


def _warnings(report: Report, old: Snapshot | None) -> list[str]:
    if old is None:
        return ["", "The configuration of these records is not known (--config): limits were"
                    " counted anew, and guards judged by their findings only."]  # fmt: skip
    others = sum(n for revision, n in report.revisions.items() if revision != old.revision)
    if not others:
        return []
    return ["", f"{others:,} decisions were made under other revisions than {old.revision}, which "
                "--config names: what did not change since then is taken as recorded."]  # fmt: skip


def _write_json(report: Report, old: Snapshot | None, new: Snapshot) -> None:
    document = {
        "policy_revision": new.revision,
        "current_revision": None if old is None else old.revision,
        "records": report.records,
        "unchanged": report.unchanged,
        "anonymous": report.anonymous,
        "interrupted": report.interrupted,
        "partly_judged": report.partly,
        "could_not_judge": dict(report.unknown),
        "differences": [
            {**difference._asdict(), "count": count, "examples": report.examples[difference]}
            for difference, count in report.differences.most_common()
        ],
    }
    print(orjson.dumps(document).decode())
