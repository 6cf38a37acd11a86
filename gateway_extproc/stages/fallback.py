"""The second and later attempts: made anew from the original request.

Runs in an upstream-level stream, maybe in another process than the first attempt:
all it knows is the note that the first stream left in Envoy's dynamic metadata.
Without a note it refuses; it never guesses.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

import orjson

from gateway_extproc.config.compile import Snapshot
from gateway_extproc.config.model import Provider
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.endpoint import BY_NAME
from gateway_extproc.core.errors import Refusal, RequestError, refuse
from gateway_extproc.core.form import from_json
from gateway_extproc.core.names import ATTEMPT_HEADER
from gateway_extproc.core.ports import Dialect
from gateway_extproc.core.verdict import Answer, Decision
from gateway_extproc.stages.attempt import AttemptBuilder, foreign_headers

log = logging.getLogger(__name__)

_NO_ORIGINAL = refuse(
    "fallback_without_original", "The request could not be sent to another provider."
)
_UNAVAILABLE = refuse("provider_unavailable", "No provider of this model is available now.")


class Fallback:
    """Prepares one later attempt; called by the wire, outside of the pipeline."""

    def __init__(
        self, snapshot: Snapshot, dialects: Mapping[str, Dialect], attempts: AttemptBuilder
    ) -> None:
        self._dialects = dialects
        self._providers: Mapping[str, Provider] = snapshot.targets_by_cluster
        self._base_paths = {
            cluster: urlsplit(provider.base_url).path.rstrip("/")
            for cluster, provider in self._providers.items()
        }
        self._attempts = attempts

    def __call__(self, cluster: str, note: str, headers: dict[str, str]) -> Decision:
        """The attempt at ``cluster``: body, path, credential; or why there is none.

        A refusal is written as the provider of this cluster would write it: the
        router-level stream reads it like any provider's error and translates it.
        """
        provider = self._providers.get(cluster)
        made = self._make(provider, cluster, note, headers)
        if isinstance(made, Decision):
            return made
        dialect = self._dialects[provider.dialect if provider else "openai"]
        body = dialect.refusal_body(made, headers.get("x-request-id", ""))
        headers_out = (("content-type", "application/json"),)
        return Decision(answer=Answer(made.status, headers_out, body, made.reason))

    def _make(
        self, provider: Provider | None, cluster: str, note: str, headers: dict[str, str]
    ) -> Decision | Refusal:
        if provider is None or not note:
            log.error("fallback to %s without provider or original", cluster)
            return _NO_ORIGINAL
        original = orjson.loads(note)
        model = _model(original["further"], cluster, headers.get(ATTEMPT_HEADER, ""))
        if model is None:
            log.error("this attempt at %s is not in the plan", cluster)
            return _NO_ORIGINAL
        try:
            return self._prepare(provider, model, original, cluster, headers)
        except RequestError as error:
            return error.refusal
        except LookupError:
            log.error("no credential for provider %s", provider.id)
            return _UNAVAILABLE

    def _prepare(
        self,
        provider: Provider,
        model: str,
        original: dict[str, object],
        cluster: str,
        headers: dict[str, str],
    ) -> Decision:
        request, base_path = _request(original), self._base_paths[cluster]
        position = _position(original, cluster)
        dialect = provider.dialect
        language = self._attempts.language(provider.id, dialect, request.endpoint)
        cap = original["max_tokens"]
        assert isinstance(cap, int)
        attempt = int(headers[ATTEMPT_HEADER])  # ``_model`` has found it in the plan
        dropping = original.get("dropping", [])
        assert isinstance(dropping, list)
        body = self._attempts.write(
            request, language, model, cap, provider=provider.id, drop=attempt in dropping
        ).body
        body_headers = self._attempts.body_headers(
            request, language, base_path, model, body, provider.id
        )
        set_headers = (
            *body_headers,
            *self._attempts.credential_headers(
                provider.id,
                dialect,
                headers,
                position,
                host=urlsplit(provider.base_url).netloc,
                region=provider.region,
                path=dict(body_headers)[":path"],
                body=body,
            ),
        )
        names = {name for name, _ in set_headers}
        foreign = foreign_headers(headers, dialect)
        return Decision(
            set_headers=set_headers,
            # A header that is both set and removed would hang on Envoy's order.
            remove_headers=tuple(name for name in foreign if name not in names),
            body=body,
        )


def _position(original: dict[str, object], cluster: str) -> int:
    """Which of the provider's credentials was chosen for this attempt."""
    positions = original.get("credentials", {})
    assert isinstance(positions, dict)
    return int(positions.get(cluster, 0))


def _model(further: list[list[str]], cluster: str, attempt: str) -> str | None:
    """The model of this attempt; None where the plan has no such attempt at this cluster.

    ``further`` are the cluster and the model of each attempt after the first one.
    """
    number = int(attempt) if attempt.isascii() and attempt.isdecimal() and len(attempt) < 3 else 0
    if not 2 <= number <= len(further) + 1:
        return None
    planned, model = further[number - 2]
    return model if planned == cluster else None


def _request(original: dict[str, object]) -> LlmRequest:
    values: dict[str, object] = {
        name: original[name]
        for name in ("dialect", "endpoint", "model", "stream", "wants_usage", "document")
    }
    if BY_NAME[str(original["endpoint"])].form:
        values["document"] = from_json(values["document"])  # type: ignore[arg-type]
    return LlmRequest(max_tokens=original["asked_tokens"], texts=(), **values)  # type: ignore[arg-type]
