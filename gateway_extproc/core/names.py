"""Names that the processor and the Envoy configuration must agree on."""

from __future__ import annotations

from typing import Final

ROUTE_NAMESPACE: Final = "gateway.route"
"""Dynamic metadata in which Envoy's priority_group specifier finds the plan."""

FALLBACK_NAMESPACE: Final = "gateway.fallback"
"""Dynamic metadata that carries the original request to a fallback attempt.

A namespace of its own, so that no access log that prints the others prints it."""

CLUSTER_NAMESPACE: Final = "gateway.cluster"
"""Cluster metadata that tells an upstream-level stream which cluster it serves."""

ATTEMPTS_NAMESPACE: Final = "gateway.attempts"
"""Dynamic metadata in which each cluster's upstream filter notes its answer's status."""

ATTEMPT_TOLD: Final = "|told"
"""Ends the name of an attempt's second note there: when it began, what its headers said."""

CLAIMS_NAMESPACE: Final = "envoy.filters.http.jwt_authn"
"""Dynamic metadata in which Envoy's jwt_authn filter puts the claims of tokens it verified.

Forwarded only where the configuration says that an issuer is verified by Envoy."""

LOG_NAMESPACE: Final = "gateway"
"""Dynamic metadata for access logs: decision id, tenant, outcome."""

DETAILS_PREFIX: Final = "gateway_"
"""Begins the response code details of every answer that the gateway gives itself.

Envoy's own answers are rewritten by their details; an answer without it would be, too."""

PROCESSOR_CLUSTER: Final = "gateway-extproc"
"""The cluster of the workers."""

NO_CLUSTER: Final = "no-target"
"""The cluster without endpoints to which a request goes that nobody decided about."""

ATTEMPT_HEADER: Final = "x-envoy-attempt-count"
"""Request header in which Envoy's router numbers attempts, from 1; it overwrites any other."""

CAUSE_HEADERS: Final = {
    "context_window": "x-gateway-refused-context-window",
    "content_policy": "x-gateway-refused-content-policy",
}
"""Response headers by which a cluster's filter tells Envoy why a provider refused a request."""

DROPPED_HEADER: Final = "x-gateway-dropped"
"""Response header that names the fields of a request which its provider was not told."""

SHADOW_HEADER: Final = "x-gateway-provider"
"""Request header by which a worker tells Envoy's shadow listener the provider; Envoy removes it."""
