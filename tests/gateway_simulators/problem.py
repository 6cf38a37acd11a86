"""What is wrong with a request, free of any provider's wire shape."""

from __future__ import annotations


class Problem(Exception):
    """A request that a provider would refuse; each shape writes it its own way.

    ``type`` is the provider's error type; ``code`` and ``param`` are OpenAI's and
    stay None for Anthropic; ``retry_after`` is the header's text.
    """

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 - the providers' own word
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.code = code
        self.param = param
        self.retry_after = retry_after
