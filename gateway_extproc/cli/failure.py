"""How a command fails: one clear line, a fixed exit code, no traceback."""

from __future__ import annotations


class CommandFailure(Exception):
    """Ends a command; ``message`` is what the person at the terminal reads."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
