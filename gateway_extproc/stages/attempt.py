"""How a request is written for one target; shared by the first attempt and fallbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import orjson

from gateway_extproc.config.families import Family
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.ports import Credentials, Dialect, Sent, Translator
from gateway_extproc.core.verdict import Header
from gateway_extproc.providers.families import adapted, headers_for, path_at
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
    """Writes bodies and headers for targets; pure but for the credentials it is given.

    ``families`` tells how servers of OpenAI's dialect differ, by the provider's id.
    """

    def __init__(
        self,
        dialects: Mapping[str, Dialect],
        translator_for: TranslatorFor,
        credentials: Credentials,
        now_s: Callable[[], float],
        families: Mapping[str, Family] = MappingProxyType({}),
    ) -> None:
        self._dialects = dialects
        self._translator_for = translator_for
        self._credentials = credentials
        self._now_s = now_s
        self._families = families

    def body(
        self, request: LlmRequest, dialect: str, model: str, max_tokens: int, provider: str = ""
    ) -> bytes:
        """The provider's body; raises ``RequestError`` for what it cannot express."""
        family = self._families.get(provider)
        if family is None and request.mistake is not None:
            raise RequestError(request.mistake)
        translator = self._translator_for(request.dialect, dialect, request.endpoint)
        document = translator.request(request, model, max_tokens, force_usage=request.stream)
        return orjson.dumps(document if family is None else adapted(document, family, request))

    def body_headers(
        self,
        request: LlmRequest,
        dialect: str,
        base_path: str,
        model: str,
        body: bytes,
        provider: str = "",
    ) -> tuple[Header, ...]:
        """Where the body goes and what it is."""
        translator = self._translator_for(request.dialect, dialect, request.endpoint)
        family = self._families.get(provider)
        if family is None:
            path = translator.path(base_path, model, stream=request.stream)
        else:
            interface = translator.path("", model, stream=request.stream)
            path = path_at(family, base_path, interface, model)
        return (
            (":path", path),
            ("content-type", "application/json"),
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
        sent = Sent("POST", host, path, body, region, self._now_s())
        family = self._families.get(provider)
        if family is not None:
            return headers_for(family, secret.reveal())
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
