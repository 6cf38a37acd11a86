"""What a provider's shape must be able to say; one implementation a provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from gateway_simulators.answers import Question, Reply
from gateway_simulators.problem import Problem

if TYPE_CHECKING:
    from gateway_simulators.connection import Request

Headers = list[tuple[str, str]]
Other = Callable[[object, str, int], bytes | Iterator[bytes]]
"""Another interface: from a document, a seed for ids, and the characters of an event, to a whole
answer or to events; raises ``Problem``."""

SSE: Final = "text/event-stream; charset=utf-8"


class Shape(Protocol):
    """A provider's wire: its checks, its answers, its errors.  All of it pure."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str:
        """The path of chats; a pattern where the model stands in it."""

    @property
    def others(self) -> Mapping[str, Other]:
        """What else is served, by path."""

    def at(self, path: str) -> Shape | None:
        """The shape as it answers chats at this path; None where nothing is served."""

    @property
    def stream_type(self) -> str:
        """The media type of its streams."""

    @property
    def foreign_credential(self) -> str:
        """The other provider's credential header: seeing it here is a leak."""

    def check_request(self, request: Request, key: str | None) -> None:
        """Raises ``Problem`` unless the provider would accept credential and headers.

        ``key`` None accepts any credential, but not none at all.
        """

    def read(self, document: object) -> Question:
        """The question in a request's JSON; raises ``Problem``."""

    def not_found(self, method: str, path: str) -> Problem: ...

    def wrong_method(self, method: str, path: str) -> Problem: ...

    def bad_json(self) -> Problem: ...

    def refused(self, status: int, message: str) -> Problem:
        """A refusal or an outage with the type that this provider gives to ``status``."""

    def refusal(self, kind: str) -> Problem:
        """The 400 of a prompt that is too long, or that the provider's filter rejects."""

    def problem_body(self, problem: Problem, request_id: str) -> bytes: ...

    def headers(self, request_id: str, served: int) -> Headers:
        """Headers of every answer; ``served`` counts down the rate limit."""

    def whole(self, question: Question, reply: Reply, seed: str) -> bytes: ...

    def events(self, question: Question, reply: Reply, seed: str, width: int) -> Iterator[bytes]:
        """The answer as SSE events, framing included, ``width`` characters of text each."""

    def error_event(self, problem: Problem) -> bytes: ...
