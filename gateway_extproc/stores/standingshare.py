"""Hosts tell each other how targets stand, over Redis; beside every request, in the supervisor.

Each host keeps one field of a hash: what is not in order with its targets.  It is written when it
changes, and from time to time so that others know it is still meant; the others' fields are
read every ``SHARE_S``.  What they say counts as follows:

- an outage opens the circuit here, too, once; then this host's own probes decide;
- the rest of a credential, and what is left of its quota, are the account's: the later word counts;
- latency is each host's own matter.

Drains live in a hash of their own, an entry each; the later word of two counts.  While Redis is
away every host goes on with what it sees itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import hiredis
import orjson

from gateway_extproc.config.quotaheaders import MEASURES
from gateway_extproc.core.ports import StoreUnavailable
from gateway_extproc.routing.circuit import State
from gateway_extproc.routing.quota import Meter
from gateway_extproc.routing.row import TargetRow
from gateway_extproc.routing.watched import name_of
from gateway_extproc.stores.drains import Drain, DrainFile, drain_of, shown
from gateway_extproc.stores.redistopology import Topology
from gateway_extproc.stores.standings import HostStandings

log = logging.getLogger(__name__)

SHARE_S: Final = 0.25
RETELL_S: Final = 3.0
FRESH_S: Final = 10.0
"""What a host said is as good as unsaid after so long, by its own clock and ours."""
FORGOTTEN_S: Final = 3600.0
"""A host that said nothing for so long is taken off the list."""
QUOTA_S: Final = 10.0
"""How long what was told of a quota is worth telling."""

Summary = dict[str, dict[str, Any]]


class StandingShare:
    """One host's part; ``host`` names it among all that use ``prefix``."""

    def __init__(
        self,
        topology: Topology,
        prefix: str,
        host: str,
        standings: HostStandings,
        drains: DrainFile,
        now_s: Callable[[], float],
    ) -> None:
        self._topology, self._host, self._now_s = topology, host, now_s
        self._standings, self._drains = standings, drains
        self._hosts_key, self._drains_key = f"{prefix}:health", f"{prefix}:drains"
        self._told: Summary | None = None
        self._told_s = 0.0
        self.trouble = ""

    async def run(self) -> None:
        """Shares until it is cancelled."""
        await self._topology.open()
        try:
            while True:
                await self._try_step()
                await asyncio.sleep(SHARE_S)
        finally:
            await self._topology.close()

    async def _try_step(self) -> None:
        trouble = ""
        try:
            await self.step()
        except StoreUnavailable as error:
            trouble = str(error)
        except Exception:
            log.exception("standings were not shared")
            trouble = "standings were not shared"
        if bool(trouble) != bool(self.trouble):
            log.warning("%s", trouble or "standings are shared again")
        self.trouble = trouble

    async def step(self) -> None:
        """Tells what is news, hears what others say; raises ``StoreUnavailable``."""
        now_s = self._now_s()
        summary = summary_of(self._standings, now_s)
        if summary != self._told or now_s - self._told_s >= RETELL_S:
            told = orjson.dumps({"at_s": now_s, "targets": summary})
            await self._ask("HSET", self._hosts_key, self._host, told)
            self._told, self._told_s = summary, now_s
        for host, document in _fields(await self._ask("HGETALL", self._hosts_key)).items():
            if host != self._host:
                await self._hear(host, document, now_s)
        await self._share_drains(now_s)

    async def _hear(self, host: str, document: Any, now_s: float) -> None:
        age_s = now_s - document.get("at_s", 0.0) if isinstance(document, dict) else FORGOTTEN_S
        if age_s >= FORGOTTEN_S:
            await self._ask("HDEL", self._hosts_key, host)
        elif abs(age_s) < FRESH_S:
            absorb(self._standings, document.get("targets", {}), now_s)

    async def _share_drains(self, now_s: float) -> None:
        mine = self._drains.all()
        theirs: dict[str, Drain] = {}
        for name, document in _fields(await self._ask("HGETALL", self._drains_key)).items():
            try:
                theirs[name] = drain_of(document)
            except (ValueError, TypeError) as error:
                log.warning("a drain in Redis is left out: %s", error)
        news = [d for d in theirs.values() if d.name not in mine or mine[d.name].at_s < d.at_s]
        if news:
            self._drains.put(news, now_s)
        for drain in mine.values():
            if drain.name not in theirs or theirs[drain.name].at_s < drain.at_s:
                await self._ask("HSET", self._drains_key, drain.name, orjson.dumps(shown(drain)))

    async def _ask(self, *command: Any) -> Any:
        reply = await self._topology.send(command[1], command)
        if isinstance(reply, hiredis.ReplyError):
            raise StoreUnavailable(f"Redis: {reply}")
        return reply


def summary_of(standings: HostStandings, now_s: float) -> Summary:
    """What is worth telling of each target; those in order are left out."""
    found: Summary = {}
    for key, row in standings.rows().items():
        about = _about(row, standings.keys_of(key), now_s)
        if about:
            found[name_of(key)] = about
    return found


def _about(row: TargetRow, keys: int, now_s: float) -> dict[str, Any]:
    about: dict[str, Any] = {}
    circuit = row.circuit
    if circuit.state != State.CLOSED:
        about["opened_s"] = circuit.opened_s
    if (rest_s := row.asked_rest_s) > now_s:
        about["rest_s"] = rest_s
    rests = {str(key): row.key_rest_s(key) for key in range(keys) if row.key_rest_s(key) > now_s}
    if rests:
        about["key_rests_s"] = rests
    meters = [
        [key, measure, *meter]
        for key in range(keys)
        for measure in range(len(MEASURES))
        if (meter := row.meter(key, measure)).seen_s > now_s - QUOTA_S
    ]
    if meters:
        about["meters"] = meters
    return about


def absorb(standings: HostStandings, summary: Mapping[str, Any], now_s: float) -> None:
    """Takes over what another host says."""
    for key in standings.rows():
        about = summary.get(name_of(key))
        if about:
            standings.change(key, partial(_take_over, about=about, now_s=now_s))


def _take_over(row: TargetRow, about: Mapping[str, Any], now_s: float) -> None:
    try:
        _take(row, about, now_s)
    except (TypeError, ValueError, AttributeError) as error:
        log.warning("what another host says of a target is left out: %s", error)


def _take(row: TargetRow, about: Mapping[str, Any], now_s: float) -> None:
    if "opened_s" in about:
        row.foreign_outage(float(about["opened_s"]), now_s)
    if "rest_s" in about:
        row.rest(float(about["rest_s"]), now_s)
    for key, until_s in about.get("key_rests_s", {}).items():
        if row.has_key(int(key)):
            row.foreign_rest(int(key), float(until_s))
    for key, measure, *meter in about.get("meters", ()):
        if row.has_key(key) and 0 <= measure < len(MEASURES):
            row.foreign_meter(key, measure, Meter(*meter))


def _fields(reply: Any) -> dict[str, Any]:
    """The fields of a hash, read as JSON; those that are none are left out."""
    found = {}
    flat = [item for pair in reply.items() for item in pair] if isinstance(reply, dict) else reply
    for name, value in zip(flat[::2], flat[1::2], strict=True):
        try:
            found[name.decode()] = orjson.loads(value)
        except ValueError:
            log.warning("a field in Redis is no JSON")
    return found
