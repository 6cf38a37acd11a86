"""How a request is written for one target; shared by the first attempt and fallbacks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import orjson

from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.endpoint import BY_NAME
from gateway_extproc.core.form import form_type, write_form
from gateway_extproc.core.ports import Credentials, Dialect, Sent, Translator
from gateway_extproc.core.verdict import Header
from gateway_extproc.routing.watched import credential_name

TranslatorFor = Callable[[str, str, str], Translator]

FORWARDED_HEADERS = frozenset(
    {
        "accept",
        "content-length",
        "content-type",
        "traceparent",
        "tracestate",
        "user-agent",
        # Envoy matches no route for a request without it ("no route match").
        "x-forwarded-proto",
        "x-request-id",
    }
)
"""What of a client's headers may reach a provider; all others are removed."""

FORWARDED_TO = {
    "anthropic": frozenset({"anthropic-beta", "anthropic-version"}),
    "openai": frozenset({"openai-beta"}),
}
"""Headers that only providers of one dialect understand."""


class AttemptBuilder:
    """Writes bodies and headers for targets; pure but for the credentials it is given."""

    def __init__(
        self,
        dialects: Mapping[str, Dialect],
        translator_for: TranslatorFor,
        credentials: Credentials,
        now_s: Callable[[], float],
        new_boundary: Callable[[], str] = secrets.token_hex,
    ) -> None:
        self._dialects = dialects
        self._translator_for = translator_for
        self._credentials = credentials
        self._now_s, self._new_boundary = now_s, new_boundary

    def body(self, request: LlmRequest, dialect: str, model: str, max_tokens: int) -> bytes:
        """The provider's body; raises ``RequestError`` for what it cannot express."""
        translator = self._translator_for(request.dialect, dialect, request.endpoint)
        document = translator.request(request, model, max_tokens, force_usage=request.stream)
        if BY_NAME[request.endpoint].form:
            return write_form(document, self._new_boundary())
        return orjson.dumps(document)

    def body_headers(
        self, request: LlmRequest, dialect: str, base_path: str, model: str, body: bytes
    ) -> tuple[Header, ...]:
        """Where the body goes and what it is."""
        is_form = BY_NAME[request.endpoint].form
        translator = self._translator_for(request.dialect, dialect, request.endpoint)
        return (
            (":path", translator.path(base_path, model, stream=request.stream)),
            ("content-type", form_type(body) if is_form else "application/json"),
            ("content-length", str(len(body))),
            # Output filters read the answer; nobody here would gain from compressing it.
            ("accept-encoding", "identity"),
        )

    def credential_headers(
        self,
        provider: str,
        dialect: str,
        present: Mapping[str, str],
        position: int = 0,
        *,
        method: str = "POST",
        host: str,
        region: str,
        path: str,
        body: bytes,
    ) -> tuple[Header, ...]:
        """The provider's own credential; raises LookupError when it is not at hand.

        ``position`` tells which, where the provider has several.
        Some credentials sign what is sent, so ``path`` and ``body`` must be final.

        Beside it come headers that the provider demands, such as an API version; a
        client of the same dialect that already says one in ``present`` is believed.
        """
        secret = self._credentials.get(credential_name(provider, position))
        sent = Sent(method, host, path, body, region, self._now_s())
        special = FORWARDED_TO.get(dialect, frozenset())
        return tuple(
            header
            for header in self._dialects[dialect].credential_headers(secret.reveal(), sent)
            if header[0] not in special or header[0] not in present
        )


def foreign_headers(names: Mapping[str, str], dialect: str) -> tuple[str, ...]:
    """The headers of a request that must not reach a provider of this dialect.

    The client's credential, the headers of an attempt at another provider, cookies,
    addresses, the gateway's own: everything that is not on the list of what may pass.
    """
    special = FORWARDED_TO.get(dialect, frozenset())
    return tuple(
        name
        for name in names
        if name not in FORWARDED_HEADERS and name not in special and not name.startswith(":")
    )
