"""What a new policy would have decided on recorded traffic.

The new configuration is compiled as a worker compiles it, and each record passes the decisions of
the stages in their order: permit, access, targets, caps, limits, guard.  They are the same
functions that decide about requests.  What they need and no record holds (the text above all) is
counted for each rule instead of guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from gateway_extproc.config.compile import Route, Snapshot
from gateway_extproc.config.roles import all_roles
from gateway_extproc.core.access import Facts, Grant
from gateway_extproc.core.endpoint import MODELS
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.identity import Permit, Proven
from gateway_extproc.core.ports import Guarded, KeyTable, TenantTable
from gateway_extproc.core.route import Target
from gateway_extproc.evidence.columns import microseconds
from gateway_extproc.identity.apikeys import says
from gateway_extproc.identity.directory import Directory
from gateway_extproc.limits.rules import Who
from gateway_extproc.replayguards import GuardReplay, draw_of
from gateway_extproc.replaylimits import LimitReplay
from gateway_extproc.replayreport import (
    ANSWERED,
    ASKED,
    LIMITED,
    Judged,
    Report,
    Why,
    differences_of,
    reached,
    stage_of,
    stands,
    why_of,
)
from gateway_extproc.routing.candidates import plan_targets
from gateway_extproc.routing.rules import RuleIndex
from gateway_extproc.stages.authorize import judge_access, judge_endpoint, request_facts

_ASKS_SOURCE: Final = re.compile(r"\bsource\b")


class Replay:
    """One new configuration; ``add`` takes records in order of time, ``report`` is what came of it.

    ``old`` is the configuration under which the records were made, as far as it is known; ``keys``
    are those that the new one would know; ``table`` is a file for counters of its own.
    """

    def __init__(
        self,
        old: Snapshot | None,
        new: Snapshot,
        keys: KeyTable,
        tenants: TenantTable,
        table: Path,
        *,
        examples: int = 3,
    ) -> None:
        self._old, self._new, self._keys, self._examples = old, new, keys, examples
        self.report = Report()
        self._sure = Directory(_without_source(new, sure=True), tenants)
        self._perhaps = Directory(_without_source(new, sure=False), tenants)
        self._by_source = bool(_asking_for_source(new))
        old_config = None if old is None else old.config
        self._guard = GuardReplay(old_config, new.config)
        self._rules = RuleIndex(new.rules)
        self._limits = LimitReplay(old_config, new.config, table)

    def close(self) -> None:
        """Lets go of the table."""
        self._limits.close()

    async def add(self, record: Mapping[str, Any]) -> None:
        """Judges one record."""
        report = self.report
        report.records += 1
        report.revisions[record.get("policy_revision", "")] += 1
        if record.get("outcome") in ("OPENED", "INTERRUPTED"):
            report.interrupted += 1
            return
        if not record.get("tenant"):
            report.anonymous += 1
            return
        outcome = await self._judge(record)
        self._compare(record, outcome)

    # ------------------------------------------------------------------------- stages

    async def _judge(self, record: Mapping[str, Any]) -> Judged:
        outcome = Judged()
        before = why_of(record)
        permit = self._permit(self._sure, record)
        if isinstance(permit, Refusal):
            outcome.refused = Why(permit.reason)
            return outcome
        access = self._access(record, permit, outcome)
        if access is not None:
            outcome.refused = access
            return outcome
        route = self._route(record)
        if route is None:
            if record.get("endpoint") == MODELS.name:
                await self._limit(record, "", "", outcome)
            return outcome
        targets = plan_targets(permit, route, self._new.config.failover.max_attempts)
        if self._chooses(record, route):
            # Who would serve it hangs on the text, on draws and on what was measured then.
            outcome.unknown.add("routing")
            if before is not None and stage_of(before) == "route":
                outcome.refused = before
                return outcome
            targets = (self._recorded(record, route),)
        if not targets:
            outcome.refused = Why("no_eligible_target", route.id)
            return outcome
        outcome.target = targets[0].name
        outcome.refused = self._caps(record, route, before, outcome)
        if outcome.refused is None:
            await self._limit(record, targets[0].provider, route.id, outcome)
        if outcome.refused is None:
            self._guards(record, permit, route, before, outcome)
        return outcome

    def _permit(self, directory: Directory, record: Mapping[str, Any]) -> Permit | Refusal:
        permit = directory.permit(self._proven(record))
        if isinstance(permit, Refusal) or not self._new.config.identity.data_class_header:
            return permit
        return replace(permit, data_classes=permit.data_classes | self._added_classes(record))

    def _proven(self, record: Mapping[str, Any]) -> Proven:
        """What the credential would prove now; of one that is not known here, what it proved."""
        if record.get("auth_method") == "api_key":
            key = self._keys.find(record.get("credential_id", ""))
            if key is not None:
                proven = says(key)
                application = proven.application or record.get("application", "")
                return replace(proven, application=application)
        return Proven(
            tenant=record["tenant"],
            user=record.get("user", ""),
            application=record.get("application", ""),
            roles=tuple(record.get("roles") or ()),
            method=record.get("auth_method", ""),
            credential_id=record.get("credential_id", ""),
            labels=tuple((record.get("labels") or {}).items()),
        )

    def _added_classes(self, record: Mapping[str, Any]) -> frozenset[str]:
        """The classes that the request itself named, beside its tenant's at that time."""
        classes = frozenset(record.get("data_classes") or ())
        tenant = None if self._old is None else self._old.tenants.get(record["tenant"])
        if tenant is None:
            return classes
        return classes - tenant.classes_of(record.get("application", ""))

    def _access(self, record: Mapping[str, Any], permit: Permit, outcome: Judged) -> Why | None:
        refused, before = self._denied(record, permit), why_of(record)
        if refused is None or not self._by_source:
            return refused
        # A condition asks for the address, which no record holds: it may have held.
        perhaps = self._permit(self._perhaps, record)
        at_best = None if isinstance(perhaps, Refusal) else self._denied(record, perhaps)
        if refused == at_best:
            return refused
        outcome.unknown.add("conditions on source")
        return before if before is not None and stage_of(before) == "authorize" else None

    def _denied(self, record: Mapping[str, Any], permit: Permit) -> Why | None:
        endpoint = record.get("endpoint", "")
        if not endpoint:
            return None  # an address that is not served, whatever policy says
        model: str | None = record.get("requested_model")
        access = judge_endpoint(permit, endpoint) or judge_access(
            permit, endpoint, model, self._new.routes, self._facts(record, permit, endpoint, model)
        )
        return None if isinstance(access, Grant) else Why(access.reason, access.rule or "")

    @staticmethod
    def _facts(
        record: Mapping[str, Any], permit: Permit, endpoint: str, model: str | None
    ) -> Callable[[], Facts]:
        at_s = microseconds(record.get("time", "")) / 1e6
        return lambda: request_facts(permit, endpoint, model, "", at_s)

    def _route(self, record: Mapping[str, Any]) -> Route | None:
        """The route that serves it: the model's own, or the one that a budget switched to."""
        routes = self._new.routes
        model = record.get("requested_model", "")
        return routes.get(record.get("route", "")) or routes.get(model)

    def _chooses(self, record: Mapping[str, Any], route: Route) -> bool:
        """Whether more than data classes and the file's order decides about the target."""
        dropped = (record.get("routing") or {}).get("dropped") or ()
        if any(drop["cause"] != "data_class" for drop in dropped):
            return True
        if route.own_policy.strategy != "priority":
            return True
        tenant, endpoint = record["tenant"], record.get("endpoint", "")
        return bool(self._rules.candidates(tenant, endpoint, route.id))

    def _recorded(self, record: Mapping[str, Any], route: Route) -> Target:
        """The target that was tried first, or else the entry's first."""
        attempts = record.get("attempts") or ()
        known = {target.name: target for target in self._new.targets}
        first = known.get(attempts[0]["target"]) if attempts else None
        return first or route.targets[0]

    def _caps(
        self, record: Mapping[str, Any], route: Route, before: Why | None, outcome: Judged
    ) -> Why | None:
        cap = route.prompt_tokens
        # No prompt has more tokens than bytes; of longer ones only the text tells how many.
        if cap is not None and record.get("request_body_bytes", 0) > cap:
            old = None if self._old is None else self._old.routes.get(route.id)
            same = old is not None and (old.prompt_tokens, old.too_long) == (cap, route.too_long)
            if not (same and reached(before, "caps")):
                outcome.unknown.add("caps.prompt_tokens")
            if before is not None and before.reason == "prompt_too_long":
                return before
        most = self._new.config.caps.cost_nanos
        if most is not None:
            if record.get("worst_case_nanos", 0) > most:
                return Why("request_cost_too_high")
            if not reached(before, "limits"):
                outcome.unknown.add("caps.cost_nanos")
        return None

    async def _limit(
        self, record: Mapping[str, Any], provider: str, route: str, outcome: Judged
    ) -> None:
        who = Who(
            record["tenant"],
            record.get("user", ""),
            record.get("application", ""),
            record.get("credential_id", ""),
            record.get("endpoint", ""),
            record.get("requested_model", ""),
            route,
            provider,
        )
        verdict = await self._limits.judge(record, who, microseconds(record.get("time", "")))
        outcome.unknown |= verdict.unknown
        if verdict.refused is not None:
            outcome.refused = Why(*verdict.refused)
        else:
            outcome.refused = stands(why_of(record), LIMITED, verdict.unknown)

    def _guards(
        self,
        record: Mapping[str, Any],
        permit: Permit,
        route: Route,
        before: Why | None,
        outcome: Judged,
    ) -> None:
        who = Guarded(
            record["tenant"],
            record.get("requested_model", ""),
            record.get("credential_id", ""),
            draw_of(record["decision_id"]),
        )
        findings: dict[str, list[Mapping[str, Any]]] = {"request": [], "response": []}
        for found in record.get("findings") or ():
            findings[found["direction"]].append(found)
        asked = self._guard.judge(
            "request", who, findings["request"], looked=reached(before, "guard")
        )
        outcome.guards = (asked,)
        outcome.unknown |= asked.unknown
        outcome.refused = stands(before, ASKED, asked.unknown)
        if asked.follows.blocked_by is not None:
            outcome.refused = Why("prompt_blocked", asked.follows.blocked_by)
        if outcome.refused is not None:
            return
        if asked.follows.classes:
            most = self._new.config.failover.max_attempts
            targets = plan_targets(permit, route, most, asked.follows.classes)
            if not targets and not self._chooses(record, route):
                outcome.refused = Why("no_eligible_target", asked.follows.routed_by)
                return
            outcome.target = targets[0].name if targets else ""
        if record.get("cache_hit"):
            return
        answered = self._guard.judge(
            "response", who, findings["response"], looked=bool(record.get("attempts"))
        )
        outcome.guards = (asked, answered)
        outcome.unknown |= answered.unknown
        outcome.refused = stands(before, ANSWERED, answered.unknown)
        if answered.follows.blocked_by is not None:
            outcome.refused = Why("answer_blocked", answered.follows.blocked_by)

    # --------------------------------------------------------------------- comparing

    def _compare(self, record: Mapping[str, Any], outcome: Judged) -> None:
        report = self.report
        differences = list(differences_of(record, outcome))
        for difference in differences:
            report.note(difference, record["decision_id"], self._examples)
        report.unchanged += not differences
        report.partly += bool(outcome.unknown)
        report.unknown.update(outcome.unknown)


def _asking_for_source(snapshot: Snapshot) -> frozenset[tuple[str, str]]:
    """The grants, as (role, rule), whose condition asks for the caller's address."""
    conditions = [
        (role.id, name, when)
        for role in all_roles(snapshot.config.roles).values()
        for name, when in (("base", role.when), *((rule.id, rule.when) for rule in role.rules))
    ]
    return frozenset((role, rule) for role, rule, when in conditions if _ASKS_SOURCE.search(when))


def _without_source(snapshot: Snapshot, *, sure: bool) -> dict[str, tuple[Grant, ...]]:
    """Roles without conditions that ask for the address: as if these failed, or as if they held."""
    asking = _asking_for_source(snapshot)
    return {
        name: tuple(
            replace(grant, condition=None) if (grant.role, grant.rule) in asking else grant
            for grant in grants
            if not sure or (grant.role, grant.rule) not in asking
        )
        for name, grants in snapshot.roles.items()
    }
