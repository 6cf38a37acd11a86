"""Where ``decisions`` and ``costs report`` get their records: files, or a running gateway."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.records import folder_of, question
from gateway_extproc.cli.remote import asks_gateway, gateway, said
from gateway_extproc.evidence.columns import EVERYTHING, Filter
from gateway_extproc.evidence.following import Follower
from gateway_extproc.evidence.query import OLDEST_FIRST, Question, Totals
from gateway_extproc.evidence.reading import shown
from gateway_extproc.evidence.records import rfc3339
from gateway_extproc.evidence.search import find_decision

if TYPE_CHECKING:
    from gateway_extproc.supervisor.admin_client import AdminClient

Record = dict[str, Any]

PAGE = 200
"""Records that one call brings."""


class Decisions(Protocol):
    """Decisions that can be asked for."""

    def totals(self, which: Filter) -> Totals: ...

    def newest(self, which: Filter, limit: int) -> Iterator[Record]: ...

    def oldest(self, which: Filter, limit: int | None) -> Iterator[Record]: ...

    def write_parquet(self, which: Filter, limit: int | None, file: Path) -> None: ...


class FromFiles:
    """Those in a folder, as they were when it was opened."""

    def __init__(self, asked: Question) -> None:
        self._asked = asked

    def totals(self, which: Filter) -> Totals:
        return self._asked.totals(which)

    def newest(self, which: Filter, limit: int) -> Iterator[Record]:
        return self._asked.records(which, limit)

    def oldest(self, which: Filter, limit: int | None) -> Iterator[Record]:
        return self._asked.records(which, limit, OLDEST_FIRST)

    def write_parquet(self, which: Filter, limit: int | None, file: Path) -> None:
        self._asked.write_decisions(which, limit, file)


class FromGateway:
    """Those that a running gateway shows to the holder of a key."""

    def __init__(self, client: AdminClient) -> None:
        self._client = client

    def totals(self, which: Filter) -> Totals:
        found = self._client.call("CountDecisions", arguments(which))
        return Totals(found.get("records", 0), found.get("outcomes", {}))

    def newest(self, which: Filter, limit: int) -> Iterator[Record]:
        return islice(self._pages(which, min(limit, PAGE)), limit)

    def oldest(self, which: Filter, limit: int | None) -> Iterator[Record]:
        asked = {**arguments(which), **said({"limit": limit})}
        return map(shown, self._client.stream("ExportDecisions", asked))

    def write_parquet(self, which: Filter, limit: int | None, file: Path) -> None:
        """By the way of files, so that columns mean the same."""
        with tempfile.TemporaryDirectory(prefix="gateway-export-") as folder:
            with (Path(folder) / "decisions-0.jsonl").open("wb") as spool:
                for record in self._client.stream(
                    "ExportDecisions", {**arguments(which), **said({"limit": limit})}
                ):
                    spool.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            with Question(Path(folder), "decisions", keep=False) as asked:
                asked.write_decisions(EVERYTHING, None, file)

    def _pages(self, which: Filter, size: int) -> Iterator[Record]:
        before = ""
        while True:
            asked = {**arguments(which), "limit": size, **said({"before": before})}
            page = self._client.call("QueryDecisions", asked)
            yield from map(shown, page.get("decisions", ()))
            before = page.get("next", "")
            if not before:
                return


@contextmanager
def decisions(options: argparse.Namespace) -> Iterator[Decisions]:
    """What the options mean."""
    if asks_gateway(options):
        with gateway(options) as client:
            yield FromGateway(client)
    else:
        with question(options, "decisions") as asked:
            yield FromFiles(asked)


def find(options: argparse.Namespace) -> Record:
    """One decision by its id or its request's; raises ``CommandFailure`` without one."""
    if asks_gateway(options):
        with gateway(options) as client:
            return client.call("GetDecision", {"id": options.id})
    folder = folder_of(options)
    record = find_decision(folder, options.id)
    if record is None:
        raise CommandFailure(f"no decision {options.id} in {folder}")
    return record


class Tail(Protocol):
    """Decisions as they are made."""

    def poll(self) -> list[Record]:
        """What came since the last time; may wait for it."""


class GatewayTail:
    """What a running gateway tells."""

    def __init__(self, client: AdminClient, which: Filter) -> None:
        self._records = client.stream("TailDecisions", arguments(which))

    def poll(self) -> list[Record]:
        try:
            return [next(self._records)]
        except StopIteration:
            raise CommandFailure("the gateway ended the tail: is the key still good?") from None


@contextmanager
def tailed(options: argparse.Namespace, which: Filter) -> Iterator[tuple[Decisions, Tail]]:
    """The decisions so far, and those after them; nothing falls between the two."""
    if asks_gateway(options):
        with gateway(options) as client:
            yield FromGateway(client), GatewayTail(client, which)
    else:
        follower = Follower(folder_of(options))
        with question(options, "decisions") as asked:
            yield FromFiles(asked), follower


def arguments(which: Filter) -> Record:
    """A filter as the admin API has it."""
    return said(
        {
            "tenant": which.tenant, "user": which.user, "application": which.application,
            "credential_id": which.key, "endpoint": which.endpoint, "route": which.route,
            "model": which.model, "provider": which.provider, "rule": which.rule,
            "reason": which.reason, "outcome": which.outcome,
            "since": _time(which.since_us), "until": _time(which.until_us),
        }
    )  # fmt: skip


def cost_sums(client: AdminClient, by: Sequence[str], which: Filter) -> list[Record]:
    """Sums of the ledger as ``ledger.report`` gives them."""
    from gateway_extproc.evidence.ledger import SUMS

    names = [f"labels.{name[6:]}" if name.startswith("label:") else name for name in by]
    reply = client.call("SumCosts", {**arguments(which), "by": names})
    return [
        {name: row.get("by", {}).get(asked, "") for name, asked in zip(by, names, strict=True)}
        | {name: row.get(name, 0) for name in SUMS}
        for row in reply.get("sums", ())
    ]


def _time(time_us: int | None) -> str:
    return "" if time_us is None else rfc3339(time_us * 1000)
