"""What a new policy would have decided on recorded traffic.

The new configuration is compiled as a worker compiles it, and each record passes the decisions of
the stages in their order: permit, access, targets, caps, limits, guard.  They are the same
functions that decide about requests.  What they need and no record holds (the text above all) is
counted for each rule instead of guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway_extproc.config.compile import Route, Snapshot
from gateway_extproc.config.roles import all_roles
from gateway_extproc.core.access import Facts, Grant
from gateway_extproc.core.endpoint import MODELS
from gateway_extproc.core.errors import Refusal
from gateway_extproc.core.identity import Permit, Proven
from gateway_extproc.core.ports import Guarded, KeyTable, TenantTable
from gateway_extproc.evidence.columns import microseconds
from gateway_extproc.identity.apikeys import says
from gateway_extproc.identity.directory import Directory
from gateway_extproc.limits.rules import Who
from gateway_extproc.replayguards import GuardReplay, Rejudged, draw_of
from gateway_extproc.replaylimits import LimitReplay
from gateway_extproc.routing.candidates import plan_targets
from gateway_extproc.stages.authorize import judge_access, judge_endpoint, request_facts

STAGES: Final[dict[str, str]] = {
    "endpoint_not_allowed": "authorize",
    "model_not_found": "authorize",
    "model_not_allowed": "authorize",
    "data_class_not_allowed": "authorize",
    "condition_not_met": "authorize",
    "no_eligible_target": "route",
    "prompt_too_long": "caps",
    "request_cost_too_high": "caps",
    "rate_limit_exceeded": "limits",
    "insufficient_quota": "limits",
    "request_exceeds_limit": "limits",
    "prompt_blocked": "guard",
    "answer_blocked": "guard",
}
"""Refusals that policy decides about -> where; all others would have happened all the same."""

LIMITED: Final = frozenset(reason for reason, stage in STAGES.items() if stage == "limits")
ASKED: Final = frozenset({"prompt_blocked", "no_eligible_target"})
ANSWERED: Final = frozenset({"answer_blocked"})

ORDER: Final = ("authorize", "route", "caps", "limits", "guard")

_ASKS_SOURCE: Final = re.compile(r"\bsource\b")

Kind = str
"""newly refused, newly allowed, refused otherwise, other action, other target."""


class Why(NamedTuple):
    """Why a request is refused: reason and line of policy."""

    reason: str
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.reason} {self.rule}".strip()


class Difference(NamedTuple):
    """One kind of change, by the rule behind it and by tenant."""

    kind: Kind
    rule: str
    tenant: str
    before: str
    after: str


@dataclass(slots=True)
class Report:
    """All that a replay found."""

    records: int = 0
    unchanged: int = 0
    partly: int = 0
    """Records of which some rule could not be judged."""
    interrupted: int = 0
    anonymous: int = 0
    """Requests of nobody that was recognised: no policy looked at them."""
    revisions: Counter[str] = field(default_factory=Counter)
    differences: Counter[Difference] = field(default_factory=Counter)
    examples: dict[Difference, list[str]] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)

    def note(self, difference: Difference, decision_id: str, examples: int) -> None:
        """Counts a difference, and keeps the first few decisions of its kind."""
        self.differences[difference] += 1
        named = self.examples.setdefault(difference, [])
        if len(named) < examples:
            named.append(decision_id)


@dataclass(slots=True)
class _Outcome:
    """What the new policy says of one record."""

    refused: Why | None = None
    unknown: set[str] = field(default_factory=set)
    target: str = ""
    guards: tuple[Rejudged, ...] = ()


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

    async def _judge(self, record: Mapping[str, Any]) -> _Outcome:
        outcome = _Outcome()
        before = _why(record)
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

    def _access(self, record: Mapping[str, Any], permit: Permit, outcome: _Outcome) -> Why | None:
        refused, before = self._denied(record, permit), _why(record)
        if refused is None or not self._by_source:
            return refused
        # A condition asks for the address, which no record holds: it may have held.
        perhaps = self._permit(self._perhaps, record)
        at_best = None if isinstance(perhaps, Refusal) else self._denied(record, perhaps)
        if refused == at_best:
            return refused
        outcome.unknown.add("conditions on source")
        return before if before is not None and _stage(before) == "authorize" else None

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

    def _caps(
        self, record: Mapping[str, Any], route: Route, before: Why | None, outcome: _Outcome
    ) -> Why | None:
        cap = route.prompt_tokens
        # No prompt has more tokens than bytes; of longer ones only the text tells how many.
        if cap is not None and record.get("request_body_bytes", 0) > cap:
            old = None if self._old is None else self._old.routes.get(route.id)
            same = old is not None and (old.prompt_tokens, old.too_long) == (cap, route.too_long)
            if not (same and _reached(before, "caps")):
                outcome.unknown.add("caps.prompt_tokens")
            if before is not None and before.reason == "prompt_too_long":
                return before
        most = self._new.config.caps.cost_nanos
        if most is not None:
            if record.get("worst_case_nanos", 0) > most:
                return Why("request_cost_too_high")
            if not _reached(before, "limits"):
                outcome.unknown.add("caps.cost_nanos")
        return None

    async def _limit(
        self, record: Mapping[str, Any], provider: str, route: str, outcome: _Outcome
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
            outcome.refused = _stands(_why(record), LIMITED, verdict.unknown)

    def _guards(
        self,
        record: Mapping[str, Any],
        permit: Permit,
        route: Route,
        before: Why | None,
        outcome: _Outcome,
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
            "request", who, findings["request"], looked=_reached(before, "guard")
        )
        outcome.guards = (asked,)
        outcome.unknown |= asked.unknown
        outcome.refused = _stands(before, ASKED, asked.unknown)
        if asked.follows.blocked_by is not None:
            outcome.refused = Why("prompt_blocked", asked.follows.blocked_by)
        if outcome.refused is not None:
            return
        if asked.follows.classes:
            most = self._new.config.failover.max_attempts
            targets = plan_targets(permit, route, most, asked.follows.classes)
            if not targets:
                outcome.refused = Why("no_eligible_target", asked.follows.routed_by)
                return
            outcome.target = targets[0].name
        if record.get("cache_hit"):
            return
        answered = self._guard.judge(
            "response", who, findings["response"], looked=bool(record.get("attempts"))
        )
        outcome.guards = (asked, answered)
        outcome.unknown |= answered.unknown
        outcome.refused = _stands(before, ANSWERED, answered.unknown)
        if answered.follows.blocked_by is not None:
            outcome.refused = Why("answer_blocked", answered.follows.blocked_by)

    # --------------------------------------------------------------------- comparing

    def _compare(self, record: Mapping[str, Any], outcome: _Outcome) -> None:
        report = self.report
        differences = list(_differences(record, outcome))
        for difference in differences:
            report.note(difference, record["decision_id"], self._examples)
        report.unchanged += not differences
        report.partly += bool(outcome.unknown)
        report.unknown.update(outcome.unknown)


def _differences(record: Mapping[str, Any], outcome: _Outcome) -> Iterator[Difference]:
    tenant, before, after = record["tenant"], _why(record), outcome.refused
    if before != after:
        if before is None:
            assert after is not None
            yield Difference("newly refused", _named(after), tenant, "passed", after.reason)
        elif after is None:
            yield Difference("newly allowed", _named(before), tenant, before.reason, "passes")
        else:
            yield Difference("refused otherwise", _named(after), tenant, str(before), str(after))
    elif before is None and outcome.target and record.get("attempts"):
        was = record["attempts"][0]["target"]
        if was != outcome.target:
            route = record.get("route", "")
            yield Difference("other target", f"route {route}", tenant, was, outcome.target)
    for changed in {change for judged in outcome.guards for change in judged.changed}:
        yield Difference("other action", changed.rule, tenant, changed.before, changed.after)


def _named(why: Why) -> str:
    return why.rule or why.reason


def _why(record: Mapping[str, Any]) -> Why | None:
    """Why policy refused a request at the time; None where it did not."""
    refusal = record.get("refusal")
    if not refusal or refusal["reason"] not in STAGES:
        return None
    reason = refusal["reason"]
    rule = refusal.get("rule", "")
    if reason == "no_eligible_target" and not rule:
        rule = record.get("route", "")
    return Why(reason, rule)


def _stands(before: Why | None, reasons: frozenset[str], unknown: frozenset[str]) -> Why | None:
    """The refusal of a rule that cannot be judged anew: what it said is the best that is known."""
    if before is not None and before.reason in reasons and before.rule in unknown:
        return before
    return None


def _stage(why: Why) -> str:
    return STAGES.get(why.reason, "")


def _reached(before: Why | None, stage: str) -> bool:
    """Whether a request came as far as this stage, or past it."""
    return before is None or ORDER.index(_stage(before)) >= ORDER.index(stage)


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
