"""The gate of the admin server: the same identities, roles and rules as for clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from gateway_extproc.core.access import AdminPermission, Facts, find_admin_grant
from gateway_extproc.core.errors import Refusal, refuse
from gateway_extproc.core.exchange import Exchange
from gateway_extproc.core.identity import Permit
from gateway_extproc.core.stage import Stage
from gateway_extproc.core.verdict import Respond, Verdict
from gateway_extproc.stages.authorize import request_facts
from gateway_extproc.supervisor.admin import AdminCall, Caller

ENDPOINT: Final = "admin"
"""What conditions read as ``endpoint``."""

ADMIN_LOG: Final = "admin.jsonl"
"""The file in ``evidence.dir`` that holds one ``AdminRecord`` a line."""

ENVOYS_WORD: Final = frozenset({"x-forwarded-for", "x-forwarded-client-cert"})
"""Headers that count as Envoy's word; no Envoy stands before this server."""

_NARROWED: Final = refuse(
    "permission_required", "This credential is only for some of the client interfaces."
)


class IdentityGate:
    """``Gate`` with an identify stage of its own.

    ``write`` takes the records of the admin log.
    """

    def __init__(
        self, identify: Stage, now_s: Callable[[], float], write: Callable[[dict[str, Any]], None]
    ) -> None:
        self._identify, self._now_s, self._write = identify, now_s, write

    async def admit(self, call: AdminCall, permission: AdminPermission) -> Caller | Refusal:
        exchange = _exchange(call)
        for verdict in (
            await self._identify.request_headers(exchange),
            await self._identify.request_body(exchange, call.body),
        ):
            refusal = _refusal_in(verdict)
            if refusal is not None:
                return refusal
        permit = exchange.permit
        assert permit is not None
        return self._judge(exchange, permit, permission)

    def record(
        self,
        call: AdminCall,
        permission: AdminPermission,
        outcome: Caller | Refusal,
        status: int,
    ) -> None:
        record: dict[str, Any] = {
            "time": datetime.fromtimestamp(self._now_s(), UTC).isoformat().replace("+00:00", "Z"),
            "method": call.method,
            "path": call.path.partition("?")[0][:256],
            "source": call.address,
            "permission": permission,
            "status": status,
        }
        if isinstance(outcome, Refusal):
            self._write({**record, "reason": outcome.reason})
            return
        principal = outcome.permit.principal
        self._write(
            {
                **record,
                "tenant": principal.tenant.id,
                "user": principal.user,
                "application": principal.application,
                "credential_id": principal.credential_id,
                "auth_method": principal.method,
                "role": outcome.role,
                "rule": outcome.rule,
            }
        )

    def _judge(
        self, exchange: Exchange, permit: Permit, permission: AdminPermission
    ) -> Caller | Refusal:
        if permit.endpoints:
            return _NARROWED

        def facts() -> Facts:
            return request_facts(permit, ENDPOINT, None, exchange.source, self._now_s())

        # One grant must allow all of it: what one role allows everywhere and another one here
        # does not add up.
        wide = [grant for grant in permit.grants if "every_tenant" in grant.admin]
        grant = find_admin_grant(wide, permission, facts)
        if grant is not None:
            return Caller(permit, grant.role, grant.rule, every_tenant=True)
        grant = find_admin_grant(permit.grants, permission, facts)
        if grant is None:
            return refuse("permission_required", f"Your roles do not grant '{permission}'.")
        return Caller(permit, grant.role, grant.rule)


def _refusal_in(verdict: Verdict) -> Refusal | None:
    return verdict.refusal if isinstance(verdict, Respond) else None


def _exchange(call: AdminCall) -> Exchange:
    """The call as an exchange whose addresses are this server's own knowledge."""
    headers = [pair for pair in call.headers if pair[0] not in ENVOYS_WORD]
    counts = Counter(name for name, _ in headers)
    return Exchange(
        call.method,
        call.path,
        {
            **dict(headers),
            ":method": call.method,
            ":path": call.path,
            ":authority": dict(headers).get("host", ""),
            "x-forwarded-for": call.address,
        },
        repeated_headers=frozenset(name for name, count in counts.items() if count > 1),
    )
