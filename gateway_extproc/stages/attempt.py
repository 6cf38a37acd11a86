"""How a request is written for one target; shared by the first attempt and fallbacks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson

from gateway_extproc.config.families import Family
from gateway_extproc.core.chat import LlmRequest
from gateway_extproc.core.endpoint import BY_NAME, spoken
from gateway_extproc.core.errors import RequestError
from gateway_extproc.core.form import form_type, write_form
from gateway_extproc.core.names import DROPPED_HEADER
from gateway_extproc.core.ports import Credentials, Dialect, Sent, Translator
from gateway_extproc.core.verdict import Header
from gateway_extproc.providers.dropping import write
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


HANDSHAKE: Final = frozenset(
    {
        *("connection", "upgrade", "sec-websocket-key", "sec-websocket-version"),
        *("sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions"),
    }
)
"""What makes a websocket of a connection, both ways (RFC 6455)."""

SHOWN: Final = 16
"""Dropped fields that a header names; of more it tells the number."""


class Written(NamedTuple):
    """A provider's body, and the names of the client's fields that it does not say."""

    body: bytes
    dropped: tuple[str, ...] = ()


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
        new_boundary: Callable[[], str] = secrets.token_hex,
    ) -> None:
        self._dialects = dialects
        self._translator_for = translator_for
        self._credentials = credentials
        self._now_s, self._new_boundary = now_s, new_boundary
        self._families = families

    def language(self, provider: str, dialect: str, endpoint: str) -> str:
        """The language in which a provider is asked (``core.endpoint.spoken``)."""
        family = self._families.get(provider)
        return spoken(dialect, endpoint, () if family is None else family.lacks)

    def write(
        self,
        request: LlmRequest,
        dialect: str,
        model: str,
        max_tokens: int,
        *,
        provider: str = "",
        drop: bool,
    ) -> Written:
        """The provider's body; raises ``RequestError`` for what it cannot express.

        With ``drop`` fields that may be left out are, where they cannot be expressed.
        """
        family = self._families.get(provider)
        if family is None and request.mistake is not None:
            raise RequestError(request.mistake)
        translator = self._translator_for(request.dialect, dialect, request.endpoint)
        document, dropped = write(translator, request, dialect, model, max_tokens, drop=drop)
        if family is not None:
            document = adapted(document, family, request, dialect)
        if BY_NAME[request.endpoint].form:
            return Written(write_form(document, self._new_boundary()), dropped)
        return Written(orjson.dumps(document), dropped)

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
        is_form = BY_NAME[request.endpoint].form
        translator = self._translator_for(request.dialect, dialect, request.endpoint)
        family = self._families.get(provider)
        if family is None:
            path = translator.path(base_path, model, stream=request.stream)
        else:
            interface = translator.path("", model, stream=request.stream)
            path = path_at(family, base_path, interface, model)
        return (
            (":path", path),
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


def dropped_headers(dropped: tuple[str, ...]) -> tuple[Header, ...]:
    """What a client is told of the fields that its provider was not; nothing where there are none.

    The names are the gateway's own, never a client's text.
    """
    if not dropped:
        return ()
    shown = list(dropped[:SHOWN])
    if len(dropped) > SHOWN:
        shown.append(f"+{len(dropped) - SHOWN}")
    return ((DROPPED_HEADER, ", ".join(shown)),)
