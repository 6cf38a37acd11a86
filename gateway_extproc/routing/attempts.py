"""Which attempts were made, from what Envoy tells at the response headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway_extproc.core.route import Attempt, Target


def attempts_made(
    targets: Sequence[Target], count: int, notes: Mapping[str, str], final_status: int
) -> tuple[Attempt, ...]:
    """The attempts in order.

    ``notes`` maps an attempt's number, from 1, to the status that it was answered with, and the
    kind of refusal behind a space where there is one (``400 context_window``); both noted by the
    cluster's own filter.  A failed attempt without a note sent no answer: it was
    reset, refused, or ran into its deadline.
    """
    made = []
    for index, target in enumerate(targets[:count]):
        cluster = attempt_cluster(target, index)
        is_last = index == min(count, len(targets)) - 1
        noted, _, kind = notes.get(str(index + 1), "").partition(" ")
        status = int(noted) if noted.isdecimal() else 0
        if is_last and not status:
            status = final_status
        made.append(Attempt(target.name, cluster, status, kind or _outcome(status)))
    return tuple(made)


def attempt_cluster(target: Target, index: int) -> str:
    """The cluster through which a target is tried as attempt ``index``, from 0."""
    return target.cluster if index == 0 else target.fallback_cluster


def find_answering(targets: Sequence[Target], cluster: str, count: int) -> Target | None:
    """The target that answered the attempt ``count`` (from 1) through a cluster.

    None when Envoy itself did, or somebody who was not asked.  Several targets of one provider
    share its clusters: the number of the attempt tells them apart.
    """
    if not 1 <= count <= len(targets):
        return None
    target = targets[count - 1]
    return target if attempt_cluster(target, count - 1) == cluster else None


def _outcome(status: int) -> str:
    if status == 0:
        return "no_answer"
    return "ok" if status < 400 else "error"
