"""Decision records as events of the Open Cybersecurity Schema Framework: an export view.

Class API Activity (6003) with the profiles ``ai_operation``, ``security_control`` and ``trace``
of OCSF 1.8.  What the schema has no place for stands whole in ``unmapped``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway_extproc.evidence.columns import microseconds, rules_of

VERSION: Final = "1.8.0"
CLASS_UID: Final = 6003
CATEGORY_UID: Final = 6

_CREATE, _READ, _OTHER = 1, 2, 99
_ACTIVITIES: Final = {"POST": (_CREATE, "Create"), "GET": (_READ, "Read")}

# Outcome -> (status id, status, action id, action, severity id, severity)
_OUTCOMES: Final[dict[str, tuple[int, str, int, str, int, str]]] = {
    "ALLOWED": (1, "Success", 1, "Allowed", 1, "Informational"),
    "REFUSED": (2, "Failure", 2, "Denied", 2, "Low"),
    "FAILED": (2, "Failure", 1, "Allowed", 3, "Medium"),
    "ABORTED": (2, "Failure", 1, "Allowed", 1, "Informational"),
}
_UNKNOWN: Final = (0, "Unknown", 0, "Unknown", 1, "Informational")
_GUARDED: Final = frozenset({"prompt_blocked", "answer_blocked"})
_STOPS: Final = ("decision_id", "time", "tenant", "user", "usage", "trace_id", "span_id")


def api_activity(record: Mapping[str, Any]) -> dict[str, Any]:
    """The event of one decision; times are milliseconds since 1970, as the schema wants them."""
    get = record.get
    activity_id, activity = _ACTIVITIES.get(get("method", ""), (_OTHER, get("method") or "Unknown"))
    status_id, status, action_id, action, severity_id, severity = _OUTCOMES.get(
        get("outcome", ""), _UNKNOWN
    )
    refusal = get("refusal") or {}
    if refusal.get("reason") in _GUARDED:
        severity_id, severity = 3, "Medium"
    time_us = microseconds(get("time", ""))
    event: dict[str, Any] = {
        "activity_id": activity_id,
        "activity_name": activity,
        "category_uid": CATEGORY_UID,
        "category_name": "Application Activity",
        "class_uid": CLASS_UID,
        "class_name": "API Activity",
        "type_uid": CLASS_UID * 100 + activity_id,
        "type_name": f"API Activity: {activity}",
        "time": time_us // 1000,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "status_code": str(get("status", 0)),
        "action_id": action_id,
        "action": action,
        "metadata": _metadata(record),
        "actor": _actor(record),
        "api": _api(record, refusal),
        "src_endpoint": _source(record),
        "http_request": {
            "uid": get("request_id", ""),
            "http_method": get("method", ""),
            "url": {"path": get("path", "")},
        },
        "http_response": {"code": get("status", 0), "length": get("delivered_bytes", 0)},
        "unmapped": {name: value for name, value in record.items() if name not in _STOPS},
    }
    if refusal:
        event["status_detail"] = refusal.get("reason", "")
        event["policy"] = {"name": refusal.get("rule") or refusal.get("reason", "")}
    if rules_of(record):
        event["firewall_rule"] = {"name": ", ".join(rules_of(record))}
    if "duration_ms" in record:
        event["duration"] = round(record["duration_ms"])
        event["end_time"] = time_us // 1000 + round(record["duration_ms"])
        event["start_time"] = time_us // 1000
    if get("trace_id"):
        event["trace"] = {"uid": get("trace_id"), "span": {"uid": get("span_id", "")}}
    if get("provider"):
        event["dst_endpoint"] = {"name": get("provider"), "svc_name": get("provider")}
    _add_ai_operation(event, record)
    return event


def _add_ai_operation(event: dict[str, Any], record: Mapping[str, Any]) -> None:
    get = record.get
    model = get("target_model") or get("requested_model")
    if not model:
        return
    # The schema demands a provider's name; a request that reached none names the gateway's route.
    event["ai_model"] = {
        "name": model,
        "model_name": model,
        "ai_provider": get("provider") or "none",
    }
    if get("response_model"):
        event["ai_model"]["version"] = get("response_model")
    usage = get("usage") or {}
    context: dict[str, Any] = {
        "uid": get("decision_id"),
        "name": get("endpoint", ""),
        "ai_role_id": 1,
        "ai_role": "User",
        "application": {"name": get("application") or "unknown"},
        "service": {"name": "gateway-extproc"},
    }
    if usage:
        prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
        context |= {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    event["message_context"] = context


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": VERSION,
        "uid": record["decision_id"],
        "correlation_uid": record.get("request_id", ""),
        "log_name": "decisions",
        "original_time": record.get("time", ""),
        "tenant_uid": record.get("tenant", ""),
        "profiles": ["ai_operation", "security_control", "trace"],
        "product": {
            "name": "gateway-extproc",
            "vendor_name": "gateway-extproc",
            "version": record.get("gateway_version", ""),
        },
    }


def _actor(record: Mapping[str, Any]) -> dict[str, Any]:
    """Who asked; the schema demands one of several names, also where nobody was recognised."""
    get = record.get
    user: dict[str, Any] = {"name": get("user") or "unknown"}
    if get("tenant"):
        user["org"] = {"uid": get("tenant"), "name": get("tenant")}
    if get("credential_id"):
        user["credential_uid"] = get("credential_id")
    if get("roles"):
        user["groups"] = [{"name": role} for role in get("roles", ())]
    actor: dict[str, Any] = {"user": user}
    if get("application"):
        actor["app_name"] = get("application")
    return actor


def _api(record: Mapping[str, Any], refusal: Mapping[str, Any]) -> dict[str, Any]:
    get = record.get
    api: dict[str, Any] = {
        "operation": get("endpoint")
        or f"{get('method', '')} {get('path', '')}".strip()
        or "unknown",
        "service": {"name": "gateway-extproc", "uid": get("policy_revision", "")},
        "request": {"uid": get("request_id") or get("decision_id")},
        "response": {"code": get("status", 0)},
    }
    if refusal:
        api["response"]["error"] = refusal.get("code") or refusal.get("reason", "")
    return api


def _source(record: Mapping[str, Any]) -> dict[str, Any]:
    """The log keeps no address: of the source, an application and its credential are known."""
    source = {"name": record.get("application") or "unknown"}
    if record.get("credential_id"):
        source["uid"] = record["credential_id"]
    return source
