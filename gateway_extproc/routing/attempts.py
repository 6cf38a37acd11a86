"""Which attempts were made, from what Envoy tells at the response headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway_extproc.core.route import Attempt, Target


def attempts_made(
    targets: Sequence[Target], count: int, notes: Mapping[str, str], final_status: int
) -> tuple[Attempt, ...]:
    """The attempts in order.

    ``notes`` maps a cluster to the status it answered with (noted by the
    cluster's own filter); a failed attempt without a note sent no response
    headers: it was reset, refused, or ran into its deadline.
    """
    made = []
    for number, target in enumerate(targets[:count]):
        cluster = target.cluster if number == 0 else target.fallback_cluster
        is_last = number == min(count, len(targets)) - 1
        noted = notes.get(cluster, "")
        status = int(noted) if noted.isdecimal() else 0
        if is_last and not status:
            status = final_status
        made.append(Attempt(target.name, cluster, status, _outcome(status)))
    return tuple(made)


def find_answering(targets: Sequence[Target], cluster: str) -> Target | None:
    """The target behind the cluster that answered; None when Envoy itself did."""
    for target in targets:
        if cluster in (target.cluster, target.fallback_cluster):
            return target
    return None


def _outcome(status: int) -> str:
    if status == 0:
        return "no_answer"
    return "ok" if status < 400 else "error"
