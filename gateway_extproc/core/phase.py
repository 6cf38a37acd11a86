"""The points of one ext_proc stream where Envoy waits for an answer.

What may follow what (Envoy 1.40, one router-level stream):

    request_headers ──► request_body ──► response_headers ──► response_body*
          │                  │                  │
          └──────────────────┴── a body-less request or answer skips its body phase

``close`` follows every phase, whoever ended the stream.  An answer that Envoy
made itself (413, 503) arrives as response_headers without the request phases
that would have come before it.
"""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """One point where Envoy waits; the value is the method of a stage that serves it."""

    REQUEST_HEADERS = "request_headers"
    REQUEST_BODY = "request_body"
    RESPONSE_HEADERS = "response_headers"
    RESPONSE_BODY = "response_body"
    CLOSE = "close"


MAY_FOLLOW: dict[Phase | None, frozenset[Phase]] = {
    None: frozenset({Phase.REQUEST_HEADERS, Phase.RESPONSE_HEADERS}),
    Phase.REQUEST_HEADERS: frozenset({Phase.REQUEST_BODY, Phase.RESPONSE_HEADERS, Phase.CLOSE}),
    Phase.REQUEST_BODY: frozenset({Phase.RESPONSE_HEADERS, Phase.CLOSE}),
    Phase.RESPONSE_HEADERS: frozenset({Phase.RESPONSE_BODY, Phase.CLOSE}),
    Phase.RESPONSE_BODY: frozenset({Phase.RESPONSE_BODY, Phase.CLOSE}),
    Phase.CLOSE: frozenset(),
}
