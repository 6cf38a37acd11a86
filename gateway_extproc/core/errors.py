"""Refusals as values, with the reason codes that clients and reviewers see.

A refusal is a value, an exception is a surprise.  The body a client receives
is made from a ``Refusal`` by the dialect that the client speaks
(``providers/``), never by string formatting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Reason code -> (HTTP status, error type in OpenAI's terms).  OpenAI's own codes
# are kept verbatim where they exist, because SDK users switch on them.
REASONS: Final[dict[str, tuple[int, str]]] = {
    # who and what may
    "missing_api_key": (401, "authentication_error"),
    "invalid_api_key": (401, "authentication_error"),
    "expired_api_key": (401, "authentication_error"),
    "revoked_api_key": (401, "authentication_error"),
    "suspended_api_key": (401, "authentication_error"),
    "ambiguous_credential": (401, "authentication_error"),
    "body_digest_mismatch": (401, "authentication_error"),
    "network_not_allowed": (403, "permission_error"),
    "incomplete_identity": (403, "permission_error"),
    "unknown_tenant": (403, "permission_error"),
    "tenant_suspended": (403, "permission_error"),
    "permission_required": (403, "permission_error"),
    "credential_throttled": (429, "rate_limit_error"),
    "invalid_token": (401, "authentication_error"),
    "expired_token": (401, "authentication_error"),
    "signing_keys_unavailable": (503, "api_error"),
    "invalid_signature": (401, "authentication_error"),
    "expired_signature": (401, "authentication_error"),
    "replayed_request": (401, "authentication_error"),
    "replay_check_unavailable": (503, "api_error"),
    "identity_not_mapped": (403, "permission_error"),
    "endpoint_not_allowed": (403, "permission_error"),
    "model_not_allowed": (403, "permission_error"),
    "data_class_not_allowed": (403, "permission_error"),
    "condition_not_met": (403, "permission_error"),
    # what was asked
    "unknown_endpoint": (404, "invalid_request_error"),
    "model_not_found": (404, "invalid_request_error"),
    "not_found": (404, "invalid_request_error"),
    "method_not_allowed": (405, "invalid_request_error"),
    "unsupported_content_type": (415, "invalid_request_error"),
    "unsupported_content_encoding": (415, "invalid_request_error"),
    "body_required": (400, "invalid_request_error"),
    "body_too_large": (413, "invalid_request_error"),
    "invalid_json": (400, "invalid_request_error"),
    "invalid_form": (400, "invalid_request_error"),
    "invalid_request": (400, "invalid_request_error"),
    "unsupported_parameter": (400, "invalid_request_error"),
    "request_timeout": (408, "invalid_request_error"),
    # how much is left
    "rate_limit_exceeded": (429, "rate_limit_error"),
    # OpenAI's own word for a budget that is used up.
    "insufficient_quota": (429, "insufficient_quota"),
    "request_exceeds_limit": (400, "invalid_request_error"),
    "limits_unavailable": (503, "api_error"),
    "prompt_too_long": (400, "invalid_request_error"),
    "request_cost_too_high": (400, "invalid_request_error"),
    # what may pass
    "prompt_blocked": (400, "invalid_request_error"),
    "answer_blocked": (400, "invalid_request_error"),
    "answer_malformed": (502, "api_error"),
    "guard_unavailable": (503, "api_error"),
    # what is kept
    "not_cached": (504, "api_error"),
    # who can answer
    "no_eligible_target": (403, "permission_error"),
    "endpoint_not_served": (400, "invalid_request_error"),
    "target_not_allowed": (403, "permission_error"),
    "region_not_available": (403, "permission_error"),
    "capability_not_available": (400, "invalid_request_error"),
    "max_tokens_too_high": (400, "invalid_request_error"),
    "context_length_exceeded": (400, "invalid_request_error"),
    "targets_drained": (503, "api_error"),
    "provider_unavailable": (503, "api_error"),
    "provider_timeout": (504, "api_error"),
    "request_deadline_exceeded": (504, "api_error"),
    "provider_error": (502, "api_error"),
    "provider_answer_unreadable": (502, "api_error"),
    "provider_stream_incomplete": (502, "api_error"),
    "fallback_without_original": (503, "api_error"),
    # the gateway itself
    "evidence_unavailable": (503, "api_error"),
    "overloaded": (503, "overloaded_error"),
    "gateway_error": (500, "api_error"),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request or an answer does not go on.

    ``reason`` is one of ``REASONS``; ``code`` is what the client reads (the
    reason, or the provider's own code where an answer is passed on); ``param``
    names the offending field; ``retry_after_s`` is exact, in seconds.
    """

    reason: str
    message: str
    status: int
    type: str
    code: str | None
    param: str | None = None
    retry_after_s: float | None = None
    rule: str | None = None


def refuse(
    reason: str,
    message: str,
    *,
    param: str | None = None,
    retry_after_s: float | None = None,
    rule: str | None = None,
) -> Refusal:
    """A refusal for one of ``REASONS``; raises KeyError for an unknown reason."""
    status, type_ = REASONS[reason]
    return Refusal(reason, message, status, type_, reason, param, retry_after_s, rule)


EVIDENCE_UNAVAILABLE: Final = refuse(
    "evidence_unavailable",
    "The gateway cannot record its decisions for now; nothing passes unrecorded.",
    retry_after_s=1.0,
)


DEADLINE: Final = refuse(
    "request_deadline_exceeded", "No provider answered within the time that this request had."
)
"""Ends a request whose deadline for all attempts together has passed."""


class RequestError(Exception):
    """A request that cannot be understood; carries the refusal for its client.

    Raised by pure parsers and translators, caught by the stage that called them.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def invalid(param: str, expected: str) -> RequestError:
    """A ``RequestError`` that names the field and what was expected there."""
    return RequestError(
        refuse("invalid_request", f"'{param}' is invalid: expected {expected}.", param=param)
    )


def unsupported(param: str, target: str) -> RequestError:
    """A ``RequestError`` for a field that the provider's dialect cannot express."""
    return RequestError(
        refuse(
            "unsupported_parameter",
            f"'{param}' cannot be expressed for the {target} provider that serves this model.",
            param=param,
        )
    )
